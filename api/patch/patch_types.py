"""JSON patch, merge patch and strategic merge patch: a body and an object make a new object (C8).

Nothing is changed in place: what a patch leaves alone is the very same part in the result.
"""

from __future__ import annotations

from typing import Any

from api.codec.json_decoder import load_json
from api.codec.json_values import describe_json
from api.patch.json_patch import Draft, carry_out
from api.patch.merge_keys import shape_of
from api.patch.strategic_merge import merge_strategic
from models.api_errors import BadRequestError, InvalidPatchError, TooLargeError

MAX_OPERATIONS = 10_000
_MEMBERS = frozenset({"op", "path", "from", "value"})


def apply_json_patch(current: dict[str, Any], body: bytes) -> dict[str, Any]:
    """The object after all operations of RFC 6902, or InvalidPatchError and nothing of them."""
    operations = _read_operations(body)
    draft = Draft(current)
    for operation in operations:
        carry_out(draft, operation)
    if not isinstance(draft.root, dict):
        raise InvalidPatchError
    return draft.root


def find_unknown_members(body: bytes) -> list[str]:
    """What strict validation holds against a JSON patch itself (C11), in document order."""
    return [
        f'json patch unknown field "[{position}].{name}"'
        for position, operation in enumerate(_read_operations(body))
        for name in operation
        if name not in _MEMBERS
    ]


def apply_merge_patch(current: dict[str, Any], body: bytes) -> dict[str, Any]:
    """The object with the patch's members put in, its nulls taken out (RFC 7386)."""
    merged = merge_json(current, _read_object(body))
    assert isinstance(merged, dict)
    return merged


def apply_strategic_patch(current: dict[str, Any], body: bytes, kind: str) -> dict[str, Any]:
    """The object merged by the rules of its kind: keyed lists element by element."""
    return merge_strategic(current, _read_object(body), shape_of(kind))


def merge_json(current: Any, patch: Any) -> Any:
    """RFC 7386 for any two values; the only rule is that null removes."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(current) if isinstance(current, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_json(merged.get(name), value)
    return merged


def _read_operations(body: bytes) -> list[dict[str, Any]]:
    operations = _read(body)
    if not isinstance(operations, list):
        raise _mistyped(operations, "jsonpatch.Patch")
    if len(operations) > MAX_OPERATIONS:
        raise TooLargeError(
            f"The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, "
            f"got {len(operations)}"
        )
    for operation in operations:
        if not isinstance(operation, dict):
            raise _mistyped(operation, "jsonpatch.Operation")
    return operations


def _read_object(body: bytes) -> dict[str, Any]:
    patch = _read(body)
    if not isinstance(patch, dict):
        raise _mistyped(patch, "map[string]interface {}")
    return patch


def _read(body: bytes) -> Any:
    try:
        return load_json(body)
    except BadRequestError as error:
        raise BadRequestError(f"error decoding patch: {error.text}") from None


def _mistyped(value: Any, wanted: str) -> BadRequestError:
    return BadRequestError(
        f"error decoding patch: json: cannot unmarshal {describe_json(value)} into Go value of "
        f"type {wanted}"
    )
