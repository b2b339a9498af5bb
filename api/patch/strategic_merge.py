"""Strategic merge: keyed lists merge by element, directives do the rest (api-7.5, api-7.6)."""

from __future__ import annotations

import json
from typing import Any

from api.codec.json_values import json_type_name
from api.patch.merge_keys import ANY_VALUE, MergeSchema
from models.api_errors import BadRequestError

_PATCH_DIRECTIVE = "$patch"
_RETAIN_KEYS_DIRECTIVE = "$retainKeys"
_ORDER_DIRECTIVE = "$setElementOrder/"
_REMOVE_DIRECTIVE = "$deleteFromPrimitiveList/"


def merge_strategic(
    current: dict[str, Any], patch: dict[str, Any], schema: MergeSchema = ANY_VALUE
) -> dict[str, Any]:
    """Return the merged object. Values that the patch does not name are the same Python objects."""
    directive = patch.get(_PATCH_DIRECTIVE)
    if directive == "replace":
        return {name: value for name, value in patch.items() if name != _PATCH_DIRECTIVE}
    if directive == "delete":
        return {}
    if directive is not None:
        raise BadRequestError(f"unknown patch type found: {_describe_value(directive)}")
    merged = _retain_keys(current, patch)
    for name, value in patch.items():
        if name.startswith(_REMOVE_DIRECTIVE):
            _remove_values(merged, name.removeprefix(_REMOVE_DIRECTIVE), _require_list(name, value))
    for name, value in patch.items():
        if name.startswith("$"):
            _check_directive(name)
        elif value is None:
            merged.pop(name, None)
        else:
            merged[name] = _merge_value(merged.get(name), value, schema.member(name))
    for name, value in patch.items():
        if name.startswith(_ORDER_DIRECTIVE):
            field_name = name.removeprefix(_ORDER_DIRECTIVE)
            _apply_element_order(
                merged, field_name, _require_list(name, value), schema.member(field_name)
            )
    return merged


def _merge_value(current: Any, patch: Any, schema: MergeSchema) -> Any:
    if isinstance(patch, dict):
        if schema.replaced:
            return patch
        return merge_strategic(current if isinstance(current, dict) else {}, patch, schema)
    if isinstance(patch, list):
        existing = current if isinstance(current, list) else []
        if schema.key:
            return _merge_keyed(existing, patch, schema)
        elements = [each for each in patch if not _is_replace_directive(each)]
        return _union(elements, existing) if schema.is_set and elements == patch else elements
    return patch


def _merge_keyed(current: list[Any], patch: list[Any], schema: MergeSchema) -> list[Any]:
    """Return the elements of `current`, merged with those of the patch by their key."""
    for element in patch:
        if not isinstance(element, dict):
            raise BadRequestError(
                f"expected an object with {schema.key}, got {_describe_value(element)}"
            )
    if any(_is_replace_directive(element) for element in patch):
        current = []
        patch = [element for element in patch if not _is_replace_directive(element)]
    merged: dict[object, Any] = {}
    for position, element in enumerate(current):
        found = _key_of(element, schema.key)
        merged[(position,) if found is None else found] = element
    for element in patch:
        key = _key_of(element, schema.key)
        if key is None:
            raise BadRequestError(
                f"map: {_describe_value(element)} does not contain declared merge key: {schema.key}"
            )
        if element.get(_PATCH_DIRECTIVE) == "delete":
            merged.pop(key, None)
        else:
            merged[key] = _merge_value(merged.get(key), element, schema.element)
    return list(merged.values())


def _is_replace_directive(element: Any) -> bool:
    return isinstance(element, dict) and element.get(_PATCH_DIRECTIVE) == "replace"


def _key_of(element: Any, key: str) -> str | None:
    """Return the key of an element as JSON text, so that 1 and true differ; None without a key."""
    for part in key.split("."):
        element = element.get(part) if isinstance(element, dict) else None
    return None if element is None or isinstance(element, dict | list) else json.dumps(element)


def _retain_keys(current: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    if _RETAIN_KEYS_DIRECTIVE not in patch:
        return dict(current)
    retained_names = {
        each
        for each in _require_list(_RETAIN_KEYS_DIRECTIVE, patch[_RETAIN_KEYS_DIRECTIVE])
        if isinstance(each, str)
    }
    return {name: value for name, value in current.items() if name in retained_names}


def _remove_values(merged: dict[str, Any], name: str, values: list[Any]) -> None:
    existing = merged.get(name)
    if isinstance(existing, list):
        removed = {_json_text(value) for value in values}
        merged[name] = [each for each in existing if _json_text(each) not in removed]


def _union(first: list[Any], second: list[Any]) -> list[Any]:
    return list({_json_text(each): each for each in (*first, *second)}.values())


def _apply_element_order(
    merged: dict[str, Any], name: str, order: list[Any], schema: MergeSchema
) -> None:
    """Sort a list by the order that the patch gives; other elements stay behind their predecessor.

    Example: of `a x b y` the order `b a` makes `b y a x`. Atomic lists are left alone.
    """
    existing = merged.get(name)
    if not isinstance(existing, list) or not (schema.key or schema.is_set):
        return
    ordered_keys = [_element_key(element, schema) for element in order]
    ranks = {key: rank for rank, key in enumerate(ordered_keys) if key is not None}
    rank, ranked = -1, []
    for element in existing:
        key = _element_key(element, schema)
        rank = rank if key is None else ranks.get(key, rank)
        ranked.append((rank, key not in ranks, element))
    ranked.sort(key=lambda each: each[:2])
    merged[name] = [element for _, _, element in ranked]


def _element_key(element: Any, schema: MergeSchema) -> str | None:
    return _key_of(element, schema.key) if schema.key else _json_text(element)


def _check_directive(name: str) -> None:
    if name not in {_PATCH_DIRECTIVE, _RETAIN_KEYS_DIRECTIVE} and not name.startswith(
        (_ORDER_DIRECTIVE, _REMOVE_DIRECTIVE)
    ):
        raise BadRequestError(f"unknown directive in a strategic merge patch: {name[:80]}")


def _require_list(name: str, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise BadRequestError(f"{name[:80]} needs a list, got {_describe_value(value)}")
    return value


def _json_text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _describe_value(value: Any) -> str:
    """Return what was sent, as Go prints it, but without the values, which may be secrets."""
    if isinstance(value, dict):
        return f"map[{' '.join(f'{name[:40]}:…' for name in [*value][:8])}]"
    return json_type_name(value)
