"""Draws curves as SVG: panels one above the other over a common horizontal axis."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

PANEL_WIDTH, PANEL_HEIGHT = 900, 240
MARGIN_LEFT, MARGIN_RIGHT, MARGIN_TOP, MARGIN_BOTTOM = 70, 20, 40, 40
MIN_SPAN = 1e-9  # smaller values count as zero
COLOURS = ("#1f6fb4", "#d1495b", "#3a8f5c", "#8d6cab", "#c8871e")
Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Panel:
    """A panel of curves by name. Values above `max_value` are cut off."""

    title: str
    curves: Mapping[str, Points]
    max_value: float | None = None


def draw(panels: Sequence[Panel], *, x_label: str) -> str:
    """Return an SVG document of the panels; `x_label` labels the horizontal axis."""
    points = [point for panel in panels for curve in panel.curves.values() for point in curve]
    max_x = max((x for x, _ in points), default=1.0)
    max_x = max_x if max_x >= MIN_SPAN else 1.0
    body = "".join(
        _draw_panel(panel, number * PANEL_HEIGHT, max_x) for number, panel in enumerate(panels)
    )
    height = PANEL_HEIGHT * len(panels) + 20
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{PANEL_WIDTH}" height="{height}" '
        f'viewBox="0 0 {PANEL_WIDTH} {height}" font-family="sans-serif" font-size="12">\n'
        f'<rect width="{PANEL_WIDTH}" height="{height}" fill="white"/>\n{body}'
        f'<text x="{PANEL_WIDTH / 2:g}" y="{height - 6}" text-anchor="middle">'
        f"{escape(x_label)}</text>\n"
        "</svg>\n"
    )


def axis_step(max_value: float) -> float:
    """Return a round step of the axis, so that two to six steps fit up to `max_value`."""
    power: float = 10.0 ** math.floor(math.log10(max_value))
    return next(power * part for part in (0.2, 0.5, 1.0, 2.0) if max_value / (power * part) <= 6)


def _draw_panel(panel: Panel, top: float, max_x: float) -> str:
    max_y = max((y for curve in panel.curves.values() for _, y in curve), default=0.0)
    axis_max = min(max_y, panel.max_value) if panel.max_value is not None else max_y
    axis_max = axis_max if axis_max >= MIN_SPAN else 1.0
    width, height = (
        PANEL_WIDTH - MARGIN_LEFT - MARGIN_RIGHT,
        PANEL_HEIGHT - MARGIN_TOP - MARGIN_BOTTOM,
    )
    base = top + MARGIN_TOP + height

    def to_point(x: float, y: float) -> tuple[float, float]:
        return MARGIN_LEFT + width * x / max_x, base - height * min(y, axis_max) / axis_max

    elements = [
        f'<text x="{MARGIN_LEFT}" y="{top + 20:g}" font-weight="bold">{escape(panel.title)}</text>'
    ]
    for value in _axis_values(axis_max):
        _, y = to_point(0, value)
        elements.append(f'<path d="M{MARGIN_LEFT} {y:.1f}h{width}" stroke="#ddd"/>')
        elements.append(
            f'<text x="{MARGIN_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>'
        )
    for value in _axis_values(max_x):
        x, _ = to_point(value, 0)
        elements.append(f'<path d="M{x:.1f} {base:g}v4" stroke="#888"/>')
        elements.append(
            f'<text x="{x:.1f}" y="{base + 17:g}" text-anchor="middle">{value:g}</text>'
        )
    for number, (name, curve) in enumerate(panel.curves.items()):
        colour = COLOURS[number % len(COLOURS)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (to_point(*point) for point in curve))
        elements.append(f'<polyline points="{path}" fill="none" stroke="{colour}"/>')
        x = PANEL_WIDTH - MARGIN_RIGHT - 150 * (len(panel.curves) - number)
        elements.append(f'<text x="{x}" y="{top + 20:g}" fill="{colour}">{escape(name)}</text>')
    return "\n".join(elements) + "\n"


def _axis_values(max_value: float) -> list[float]:
    step = axis_step(max_value)
    return [step * number for number in range(int(max_value / step + 1e-9) + 1)]
