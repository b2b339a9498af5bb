"""How things reach the terminal: data on stdout, talk on stderr, colours only for people."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

Cell = str | tuple[str, str]  # text, or text and style
_GAP = "   "


def clean(text: str) -> str:
    """One line without control characters: a registry's words may not drive the terminal."""
    return "".join(
        " " if each in "\r\n\t" else each if each.isprintable() else "\N{REPLACEMENT CHARACTER}"
        for each in text
    )


@cache
def console(*, talk: bool = False) -> Console:
    """Where a person reads: stdout, or stderr for `talk`."""
    from rich.console import Console

    return Console(stderr=talk, highlight=False, soft_wrap=True, emoji=False, markup=False)


def say(text: str, *, style: str = "") -> None:
    """Talk: a line on stderr."""
    console(talk=True).print(clean(text), style=style or None)


def print_line(*cells: Cell) -> None:
    """Data: one line on stdout made of styled pieces."""
    console().print(_line(cells))


def print_columns(header: Sequence[str], rows: Iterable[Sequence[Cell]]) -> None:
    """Data: aligned columns under their names.

    The last cell of a row that is shorter than the header may be as long as it likes.
    """
    table = [[_split(cell) for cell in row] for row in rows]
    widths = [len(name) for name in header]
    for row in table:
        measured = row if len(row) == len(header) else row[:-1]
        for place, (text, _) in enumerate(measured):
            widths[place] = max(widths[place], len(text))
    console().print(_row([(name, "dim") for name in header], widths))
    for row in table:
        console().print(_row(row, widths))


def print_document(document: Any, style: str) -> None:
    """Data: `json` or `yaml`."""
    if style == "json":
        import json

        json.dump(document, sys.stdout, indent=2, ensure_ascii=False)
        sys.stdout.write("\n")
    else:
        import yaml

        yaml.safe_dump(document, sys.stdout, sort_keys=False, allow_unicode=True, width=200)


def print_names(names: Iterable[str]) -> None:
    """Data: one name a line, as `oc get -o name` prints them."""
    for name in names:
        sys.stdout.write(f"{name}\n")


def as_list(kind: str, items: Sequence[dict[str, Any]], *, version: str) -> dict[str, Any]:
    """A Kubernetes list of wire objects."""
    return {"kind": f"{kind}List", "apiVersion": version, "metadata": {}, "items": list(items)}


def as_object(kind: str, wire: dict[str, Any], *, version: str) -> dict[str, Any]:
    """A wire object with its kind in front."""
    return {"kind": kind, "apiVersion": version, **wire}


def _split(cell: Cell) -> tuple[str, str]:
    text, style = (cell, "") if isinstance(cell, str) else cell
    return clean(text), style


def _row(row: Sequence[tuple[str, str]], widths: Sequence[int]) -> Text:
    last = len(row) - 1
    padded: list[Cell] = []
    for place, (text, style) in enumerate(row):
        padded.append((text, style))
        if place != last:
            padded.append(" " * (widths[place] - len(text)) + _GAP)
    return _line(padded)


def _line(cells: Iterable[Cell]) -> Text:
    from rich.text import Text

    line = Text()
    for cell in cells:
        text, style = _split(cell)
        line.append(text, style or None)
    line.rstrip()
    return line
