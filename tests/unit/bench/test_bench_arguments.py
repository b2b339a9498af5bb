"""Tests of the command line of the bench."""

from bench.__main__ import parse_arguments
from bench.scheduling.simulation_types import SimulationScale


def test_parse_arguments_without_options_gives_default_scale():
    arguments = parse_arguments([])
    default = SimulationScale()
    assert (arguments.tags, arguments.registries) == (default.tags, default.registries)
    assert (arguments.hours, arguments.tick) == (default.hours, default.tick)


def test_parse_arguments_reads_scale():
    arguments = parse_arguments(["--only", "simulation", "--tags", "1000000", "--hours", "0.5"])
    assert (arguments.only, arguments.tags, arguments.hours) == ("simulation", 1_000_000, 0.5)
