"""Strategic merge: lists with keys merge element by element, and directives say the rest (C8)."""

from __future__ import annotations

import json
from typing import Any

from api.codec.json_values import describe_json
from api.patch.merge_keys import ANY, Shape
from models.api_errors import BadRequestError

_PATCH = "$patch"
_RETAIN = "$retainKeys"
_ORDER = "$setElementOrder/"
_REMOVE = "$deleteFromPrimitiveList/"


def merge_strategic(
    current: dict[str, Any], patch: dict[str, Any], shape: Shape = ANY
) -> dict[str, Any]:
    """The object that `current` becomes. Parts that the patch does not name are the same parts."""
    directive = patch.get(_PATCH)
    if directive == "replace":
        return {name: value for name, value in patch.items() if name != _PATCH}
    if directive == "delete":
        return {}
    if directive is not None:
        raise BadRequestError(f"unknown patch type found: {_shown(directive)}")
    merged = _retained(current, patch)
    for name, value in patch.items():
        if name.startswith(_REMOVE):
            _remove_values(merged, name.removeprefix(_REMOVE), _listed(name, value))
    for name, value in patch.items():
        if name.startswith("$"):
            _check_directive(name)
        elif value is None:
            merged.pop(name, None)
        else:
            merged[name] = _merge_value(merged.get(name), value, shape.member(name))
    for name, value in patch.items():
        if name.startswith(_ORDER):
            listed = name.removeprefix(_ORDER)
            _order(merged, listed, _listed(name, value), shape.member(listed))
    return merged


def _merge_value(current: Any, patch: Any, shape: Shape) -> Any:
    if isinstance(patch, dict):
        if shape.replaced:
            return patch
        return merge_strategic(current if isinstance(current, dict) else {}, patch, shape)
    if isinstance(patch, list):
        existing = current if isinstance(current, list) else []
        if shape.key:
            return _merge_keyed(existing, patch, shape)
        elements = [each for each in patch if not _replaces(each)]
        return _united(elements, existing) if shape.is_set and elements == patch else elements
    return patch


def _merge_keyed(current: list[Any], patch: list[Any], shape: Shape) -> list[Any]:
    """The elements of `current`, merged with those of the patch that share their key."""
    for element in patch:
        if not isinstance(element, dict):
            raise BadRequestError(f"expected an object with {shape.key}, got {_shown(element)}")
    if any(_replaces(element) for element in patch):
        current = []
        patch = [element for element in patch if not _replaces(element)]
    merged: dict[object, Any] = {}
    for position, element in enumerate(current):
        found = _key_of(element, shape.key)
        merged[(position,) if found is None else found] = element
    for element in patch:
        key = _key_of(element, shape.key)
        if key is None:
            raise BadRequestError(
                f"map: {_shown(element)} does not contain declared merge key: {shape.key}"
            )
        if element.get(_PATCH) == "delete":
            merged.pop(key, None)
        else:
            merged[key] = _merge_value(merged.get(key), element, shape.element)
    return list(merged.values())


def _replaces(element: Any) -> bool:
    return isinstance(element, dict) and element.get(_PATCH) == "replace"


def _key_of(element: Any, key: str) -> str | None:
    """A plain value as text, so that 1 and true stay two keys; None where there is no such key."""
    for part in key.split("."):
        element = element.get(part) if isinstance(element, dict) else None
    return None if element is None or isinstance(element, dict | list) else json.dumps(element)


def _retained(current: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    if _RETAIN not in patch:
        return dict(current)
    kept = {each for each in _listed(_RETAIN, patch[_RETAIN]) if isinstance(each, str)}
    return {name: value for name, value in current.items() if name in kept}


def _remove_values(merged: dict[str, Any], name: str, values: list[Any]) -> None:
    existing = merged.get(name)
    if isinstance(existing, list):
        gone = {_text(value) for value in values}
        merged[name] = [each for each in existing if _text(each) not in gone]


def _united(first: list[Any], then: list[Any]) -> list[Any]:
    return list({_text(each): each for each in (*first, *then)}.values())


def _order(merged: dict[str, Any], name: str, order: list[Any], shape: Shape) -> None:
    """Elements that the patch orders come in that order, each run of others behind its predecessor.

    Lists without keys are one piece: their order is their own.
    """
    existing = merged.get(name)
    if not isinstance(existing, list) or not (shape.key or shape.is_set):
        return
    wanted = [_place(element, shape) for element in order]
    ranks = {place: rank for rank, place in enumerate(wanted) if place is not None}
    rank, ranked = -1, []
    for element in existing:
        place = _place(element, shape)
        rank = rank if place is None else ranks.get(place, rank)
        ranked.append((rank, place not in ranks, element))
    ranked.sort(key=lambda each: each[:2])
    merged[name] = [element for _, _, element in ranked]


def _place(element: Any, shape: Shape) -> str | None:
    return _key_of(element, shape.key) if shape.key else _text(element)


def _check_directive(name: str) -> None:
    if name not in {_PATCH, _RETAIN} and not name.startswith((_ORDER, _REMOVE)):
        raise BadRequestError(f"unknown directive in a strategic merge patch: {name[:80]}")


def _listed(name: str, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise BadRequestError(f"{name[:80]} needs a list, got {_shown(value)}")
    return value


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _shown(value: Any) -> str:
    """What was sent, as Go prints it, without its values: they may be secrets."""
    if isinstance(value, dict):
        return f"map[{' '.join(f'{name[:40]}:…' for name in [*value][:8])}]"
    return describe_json(value)
