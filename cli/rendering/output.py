"""Writes to the terminal: data on stdout, messages on stderr, colours on terminals only."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

Cell = str | tuple[str, str]  # text, or text and style
_COLUMN_GAP = "   "


def strip_control_characters(text: str) -> str:
    """Return one line without control characters: text from a registry must not control the
    terminal.
    """
    return "".join(
        " " if each in "\r\n\t" else each if each.isprintable() else "\N{REPLACEMENT CHARACTER}"
        for each in text
    )


@cache
def console(*, stderr: bool = False) -> Console:
    """Return the console of stdout, or of stderr."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, soft_wrap=True, emoji=False, markup=False)


def print_message(text: str, *, style: str = "") -> None:
    """Print a message as one line on stderr."""
    console(stderr=True).print(strip_control_characters(text), style=style or None)


def print_line(*cells: Cell) -> None:
    """Print one line of data on stdout, made of styled cells."""
    console().print(_join_cells(cells))


def print_columns(header: Sequence[str], rows: Iterable[Sequence[Cell]]) -> None:
    """Print data as aligned columns under their names.

    The last cell of a row that is shorter than the header may be of any length.
    """
    table = [[_split_cell(cell) for cell in row] for row in rows]
    widths = [len(name) for name in header]
    for row in table:
        measured = row if len(row) == len(header) else row[:-1]
        for column, (text, _) in enumerate(measured):
            widths[column] = max(widths[column], len(text))
    console().print(_join_row([(name, "dim") for name in header], widths))
    for row in table:
        console().print(_join_row(row, widths))


def print_document(document: Any, style: str) -> None:
    """Print data as `json` or `yaml`."""
    if style == "json":
        import json

        json.dump(document, sys.stdout, indent=2, ensure_ascii=False)
        sys.stdout.write("\n")
    else:
        import yaml

        yaml.safe_dump(document, sys.stdout, sort_keys=False, allow_unicode=True, width=200)


def print_names(names: Iterable[str]) -> None:
    """Print one name a line, as `oc get -o name` does."""
    for name in names:
        sys.stdout.write(f"{name}\n")


def as_list(kind: str, items: Sequence[dict[str, Any]], *, version: str) -> dict[str, Any]:
    """Build a Kubernetes list of wire objects."""
    return {"kind": f"{kind}List", "apiVersion": version, "metadata": {}, "items": list(items)}


def as_object(kind: str, wire: dict[str, Any], *, version: str) -> dict[str, Any]:
    """Build a wire object with kind and apiVersion first."""
    return {"kind": kind, "apiVersion": version, **wire}


def _split_cell(cell: Cell) -> tuple[str, str]:
    text, style = (cell, "") if isinstance(cell, str) else cell
    return strip_control_characters(text), style


def _join_row(row: Sequence[tuple[str, str]], widths: Sequence[int]) -> Text:
    last = len(row) - 1
    padded: list[Cell] = []
    for column, (text, style) in enumerate(row):
        padded.append((text, style))
        if column != last:
            padded.append(" " * (widths[column] - len(text)) + _COLUMN_GAP)
    return _join_cells(padded)


def _join_cells(cells: Iterable[Cell]) -> Text:
    from rich.text import Text

    joined = Text()
    for cell in cells:
        text, style = _split_cell(cell)
        joined.append(text, style or None)
    joined.rstrip()
    return joined
