"""The bench's command line."""

from bench.__main__ import read_words
from bench.scheduling.simulation import Scale


def test_without_words_the_simulation_has_its_usual_size():
    chosen = read_words([])
    usual = Scale()
    assert (chosen.tags, chosen.registries) == (usual.tags, usual.registries)
    assert (chosen.hours, chosen.tick) == (usual.hours, usual.tick)


def test_the_size_can_be_told():
    chosen = read_words(["--only", "simulation", "--tags", "1000000", "--hours", "0.5"])
    assert (chosen.only, chosen.tags, chosen.hours) == ("simulation", 1_000_000, 0.5)
