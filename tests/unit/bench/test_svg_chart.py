"""Tests of the charts of the bench: valid SVG with every point inside its panel."""

import re
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.svg_chart import PANEL_HEIGHT, PANEL_WIDTH, Panel, axis_step, draw

numbers = st.floats(min_value=0, max_value=1e9)


@given(st.lists(st.tuples(numbers, numbers), max_size=20), st.text(max_size=5))
def test_chart_point_lies_inside_its_panel(points, name):
    name = "".join(letter for letter in name if letter.isprintable())
    panels = [Panel("first", {name: points}), Panel("second <&>", {"a": points}, max_value=5.0)]
    root = ET.fromstring(draw(panels, x_label="hours"))
    lines = root.findall("{*}polyline")
    assert len(lines) == 2
    for number, line in enumerate(lines):
        pairs = re.findall(r"(\S+),(\S+)", line.get("points"))
        assert len(pairs) == len(points)
        for x, y in pairs:
            assert 0 <= float(x) <= PANEL_WIDTH
            assert number * PANEL_HEIGHT <= float(y) <= (number + 1) * PANEL_HEIGHT


@pytest.mark.parametrize("most", [0.003, 0.9, 1, 3, 7.5, 42, 60, 99, 100, 12345])
def test_axis_step_gives_two_to_six_lines(most):
    assert 2 <= most / axis_step(most) <= 6
