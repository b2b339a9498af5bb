"""JSON patch, merge patch and strategic merge patch: pure functions of an object and a body.

Rules: api-7.1. Clients also send server-side apply (`server_side_apply`); strategic merge patch is
the default of most (clients-4.2). Nothing is changed in place: what a patch does not change is the
same Python object in the result.
"""

from __future__ import annotations

from typing import Any

from api.codec.json_decoder import parse_json
from api.codec.json_values import json_type_name
from api.patch.json_patch import JsonPatchDraft, apply_operation
from api.patch.merge_keys import merge_schema_of
from api.patch.strategic_merge import merge_strategic
from models.api_errors import BadRequestError, InvalidPatchError, TooLargeError

MAX_OPERATIONS = 10_000
_OPERATION_MEMBERS = frozenset({"op", "path", "from", "value"})


def apply_json_patch(current: dict[str, Any], body: bytes) -> dict[str, Any]:
    """Return the object after all operations of RFC 6902.

    Raises InvalidPatchError if one of them fails, and then none has an effect (api-7.2).
    """
    operations = _parse_operations(body)
    draft = JsonPatchDraft(current)
    for operation in operations:
        apply_operation(draft, operation)
    if not isinstance(draft.root, dict):
        raise InvalidPatchError
    return draft.root


def find_unknown_members(body: bytes) -> list[str]:
    """Return what strict validation finds in a JSON patch itself (api-9.6), in document order."""
    return [
        f'json patch unknown field "[{position}].{name}"'
        for position, operation in enumerate(_parse_operations(body))
        for name in operation
        if name not in _OPERATION_MEMBERS
    ]


def apply_merge_patch(current: dict[str, Any], body: bytes) -> dict[str, Any]:
    """Return the object with the patch's members set and its nulls removed (RFC 7386)."""
    merged = merge_json(current, _parse_object(body))
    assert isinstance(merged, dict)
    return merged


def apply_strategic_patch(current: dict[str, Any], body: bytes, kind: str) -> dict[str, Any]:
    """Return the object merged by the rules of its kind: keyed lists element by element."""
    return merge_strategic(current, _parse_object(body), merge_schema_of(kind))


def merge_json(current: Any, patch: Any) -> Any:
    """Return two values merged by RFC 7386: objects merge, null removes, the rest replaces."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(current) if isinstance(current, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_json(merged.get(name), value)
    return merged


def _parse_operations(body: bytes) -> list[dict[str, Any]]:
    operations = _parse_patch(body)
    if not isinstance(operations, list):
        raise _wrong_type_error(operations, "jsonpatch.Patch")
    if len(operations) > MAX_OPERATIONS:
        raise TooLargeError(
            f"The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, "
            f"got {len(operations)}"
        )
    for operation in operations:
        if not isinstance(operation, dict):
            raise _wrong_type_error(operation, "jsonpatch.Operation")
    return operations


def _parse_object(body: bytes) -> dict[str, Any]:
    patch = _parse_patch(body)
    if not isinstance(patch, dict):
        raise _wrong_type_error(patch, "map[string]interface {}")
    return patch


def _parse_patch(body: bytes) -> Any:
    try:
        return parse_json(body)
    except BadRequestError as error:
        raise BadRequestError(f"error decoding patch: {error.text}") from None


def _wrong_type_error(value: Any, expected: str) -> BadRequestError:
    return BadRequestError(
        f"error decoding patch: json: cannot unmarshal {json_type_name(value)} into Go value of "
        f"type {expected}"
    )
