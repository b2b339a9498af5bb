"""Curves as SVG: panels one above the other, over the same hours. Small, and nothing to install."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 900, 240  # of a panel
LEFT, RIGHT, TOP, BOTTOM = 70, 20, 40, 40
LEAST = 1e-9  # what is less is nothing
COLOURS = ("#1f6fb4", "#d1495b", "#3a8f5c", "#8d6cab", "#c8871e")
Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Panel:
    """What is drawn in one of them: curves by name. `most` cuts off what is higher."""

    title: str
    curves: Mapping[str, Points]
    most: float | None = None


def draw(panels: Sequence[Panel], *, across: str) -> str:
    """An SVG document; `across` says what lies along the horizontal axis."""
    points = [point for panel in panels for curve in panel.curves.values() for point in curve]
    last = max((x for x, _ in points), default=1.0)
    last = last if last >= LEAST else 1.0
    body = "".join(_panel(panel, number * HEIGHT, last) for number, panel in enumerate(panels))
    height = HEIGHT * len(panels) + 20
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        f'viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="12">\n'
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>\n{body}'
        f'<text x="{WIDTH / 2:g}" y="{height - 6}" text-anchor="middle">{escape(across)}</text>\n'
        "</svg>\n"
    )


def step_of(most: float) -> float:
    """A round distance between lines, so that there are two to six up to `most`."""
    power: float = 10.0 ** math.floor(math.log10(most))
    return next(power * part for part in (0.2, 0.5, 1.0, 2.0) if most / (power * part) <= 6)


def _panel(panel: Panel, top: float, last: float) -> str:
    highest = max((y for curve in panel.curves.values() for _, y in curve), default=0.0)
    most = min(highest, panel.most) if panel.most is not None else highest
    most = most if most >= LEAST else 1.0
    width, height = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
    base = top + TOP + height

    def place(x: float, y: float) -> tuple[float, float]:
        return LEFT + width * x / last, base - height * min(y, most) / most

    made = [f'<text x="{LEFT}" y="{top + 20:g}" font-weight="bold">{escape(panel.title)}</text>']
    for value in _lines(most):
        _, y = place(0, value)
        made.append(f'<path d="M{LEFT} {y:.1f}h{width}" stroke="#ddd"/>')
        made.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>')
    for value in _lines(last):
        x, _ = place(value, 0)
        made.append(f'<path d="M{x:.1f} {base:g}v4" stroke="#888"/>')
        made.append(f'<text x="{x:.1f}" y="{base + 17:g}" text-anchor="middle">{value:g}</text>')
    for number, (name, curve) in enumerate(panel.curves.items()):
        colour = COLOURS[number % len(COLOURS)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in curve))
        made.append(f'<polyline points="{path}" fill="none" stroke="{colour}"/>')
        x = WIDTH - RIGHT - 150 * (len(panel.curves) - number)
        made.append(f'<text x="{x}" y="{top + 20:g}" fill="{colour}">{escape(name)}</text>')
    return "\n".join(made) + "\n"


def _lines(most: float) -> list[float]:
    step = step_of(most)
    return [step * number for number in range(int(most / step + 1e-9) + 1)]
