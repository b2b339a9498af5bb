"""What a query, or the body of a DELETE, says beside the object itself (`api.md` A.2, C10 to C14).

Parameters that we do not know are ignored, as are those that mean nothing here (`pretty`,
`timeout`, `gracePeriodSeconds`). The first value of a parameter counts, but `dryRun` may repeat.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from api.request.object_selectors import LabelSelector, parse_label_selector
from models.api_errors import BadRequestError
from models.errors import FieldError, InvalidObjectError

APPLY_PATCH = "application/apply-patch+yaml"
META_GROUP = "meta.k8s.io"
LONGEST_MANAGER = 128
_MODES = ("", "Ignore", "Strict", "Warn")
_POLICIES = ("Foreground", "Background", "Orphan")
_INT64 = 2**63
Query = Mapping[str, list[str]]


@dataclass(frozen=True, slots=True)
class CreateOptions:
    """Of a POST. `field_validation` is Ignore, Warn or Strict, never empty."""

    dry_run: bool = False
    field_validation: str = "Warn"
    field_manager: str = ""


@dataclass(frozen=True, slots=True)
class UpdateOptions(CreateOptions):
    """Of a PUT."""


@dataclass(frozen=True, slots=True)
class PatchOptions(CreateOptions):
    """Of a PATCH; `force` only for server-side apply."""

    force: bool = False


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    """Of a DELETE; `uid` and `resource_version` are preconditions, empty where there are none.

    `orphan` is false where the caller said `orphanDependents=false` (A.3); every propagation
    policy is Background here (C12).
    """

    dry_run: bool = False
    uid: str = ""
    resource_version: str = ""
    orphan: bool | None = None


@dataclass(frozen=True, slots=True)
class ListOptions:
    """Of a list, a watch or the DELETE of a collection; `limit` 0 is none.

    `match` is Exact, NotOlderThan or empty. The field selector is parsed where its kind is known.
    """

    label_selector: LabelSelector = LabelSelector()  # noqa: RUF009 - frozen
    field_selector: str = ""
    limit: int = 0
    continue_token: str = ""
    resource_version: str = ""
    match: str = ""
    watch: bool = False
    timeout_seconds: float | None = None
    bookmarks: bool = False
    send_initial_events: bool | None = None


def parse_create_options(query: Query) -> CreateOptions:
    """InvalidObjectError of kind CreateOptions with all that is wrong."""
    return CreateOptions(**_write_options(query, "CreateOptions"))


def parse_update_options(query: Query) -> UpdateOptions:
    """InvalidObjectError of kind UpdateOptions with all that is wrong."""
    return UpdateOptions(**_write_options(query, "UpdateOptions"))


def parse_patch_options(query: Query, content_type: str) -> PatchOptions:
    """InvalidObjectError of kind PatchOptions; apply needs a manager, others take no `force`."""
    force = _read_flag(query, "force")
    errors = []
    if content_type.partition(";")[0].strip().lower() == APPLY_PATCH:
        if not _first(query, "fieldManager"):
            errors.append(FieldError.required("fieldManager", "is required for apply patch"))
    elif force is not None:
        detail = "may not be specified for non-apply patch"
        errors.append(FieldError.forbidden("force", detail))
    return PatchOptions(**_write_options(query, "PatchOptions", errors), force=bool(force))


def parse_delete_options(query: Query, body: Mapping[str, Any] | None) -> DeleteOptions:
    """From the body, or from the query where there is no body at all (C12)."""
    found = _from_query(query) if body is None else body
    preconditions = _typed(found, "preconditions", dict) or {}
    orphan = _typed(found, "orphanDependents", bool)
    policy = _typed(found, "propagationPolicy", str)
    dry_run = _typed(found, "dryRun", list) or []
    if not all(isinstance(each, str) for each in dry_run):
        raise _wrong_type("dryRun", "[]string")
    errors = []
    if orphan is not None and policy is not None:
        detail = "orphanDependents and deletionPropagation cannot be both set"
        errors.append(FieldError.invalid("propagationPolicy", _cut(policy), detail))
    elif policy is not None and policy not in _POLICIES:
        known = (*_POLICIES, "nil")
        errors.append(FieldError.not_supported("propagationPolicy", _cut(policy), *known))
    errors.extend(_check_dry_run(dry_run))
    _raise("DeleteOptions", errors)
    return DeleteOptions(
        dry_run=bool(dry_run),
        uid=_typed(preconditions, "uid", str) or "",
        resource_version=_typed(preconditions, "resourceVersion", str) or "",
        orphan=orphan,
    )


def parse_list_options(query: Query, *, watching: bool = False) -> ListOptions:
    """`watching` is for paths that watch whatever the query says.

    Raises BadRequestError for what cannot be read, InvalidObjectError for what cannot be meant.
    """
    options = ListOptions(
        label_selector=parse_label_selector(_first(query, "labelSelector")),
        field_selector=_first(query, "fieldSelector"),
        limit=max(0, _read_int(query, "limit") or 0),
        continue_token=_first(query, "continue"),
        resource_version=_first(query, "resourceVersion"),
        match=_first(query, "resourceVersionMatch"),
        watch=watching or _is_watch(query),
        timeout_seconds=_read_timeout(query),
        bookmarks=bool(_read_flag(query, "allowWatchBookmarks")),
        send_initial_events=_read_flag(query, "sendInitialEvents"),
    )
    _raise("ListOptions", _check_watch(options) if options.watch else _check_list(options))
    if options.continue_token and options.resource_version not in {"", "0"} and not options.watch:
        raise BadRequestError("specifying resource version is not allowed when using continue")
    return options


def _check_list(options: ListOptions) -> list[FieldError]:
    field, match, errors = "resourceVersionMatch", options.match, []
    if match and not options.resource_version:
        detail = "resourceVersionMatch is forbidden unless resourceVersion is provided"
        errors.append(FieldError.forbidden(field, detail))
    if match and options.continue_token:
        detail = "resourceVersionMatch is forbidden with continue"
        errors.append(FieldError.forbidden(field, detail))
    if match not in {"", "Exact", "NotOlderThan"}:
        errors.append(FieldError.not_supported(field, _cut(match), "Exact", "NotOlderThan", ""))
    if match == "Exact" and options.resource_version == "0":
        detail = 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'
        errors.append(FieldError.forbidden(field, detail))
    if options.send_initial_events is not None:
        detail = "sendInitialEvents is forbidden for list"
        errors.append(FieldError.forbidden("sendInitialEvents", detail))
    return errors


def _check_watch(options: ListOptions) -> list[FieldError]:
    field, match, errors = "resourceVersionMatch", options.match, []
    if options.send_initial_events is not None and match != "NotOlderThan":
        detail = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
        errors.append(FieldError.forbidden(field, detail))
    if match and options.send_initial_events is None:
        detail = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
        errors.append(FieldError.forbidden(field, detail))
    if match not in {"", "NotOlderThan"}:
        errors.append(FieldError.not_supported(field, _cut(match), "NotOlderThan"))
    return errors


def _write_options(
    query: Query, kind: str, errors: list[FieldError] | None = None
) -> dict[str, Any]:
    """What POST, PUT and PATCH share, checked in upstream's order."""
    manager = _first(query, "fieldManager")
    mode = _first(query, "fieldValidation")
    found = [*(errors or ()), *_check_manager(manager), *_check_dry_run(query.get("dryRun", []))]
    if mode not in _MODES:
        found.append(FieldError.not_supported("fieldValidation", _cut(mode), *_MODES))
    _raise(kind, found)
    return {
        "dry_run": bool(query.get("dryRun")),
        "field_validation": mode or "Warn",
        "field_manager": manager,
    }


def _check_manager(manager: str) -> list[FieldError]:
    errors = []
    if len(manager.encode("utf-8", "replace")) > LONGEST_MANAGER:
        errors.append(FieldError.too_long("fieldManager", LONGEST_MANAGER))
    for position, each in enumerate(manager):
        if not each.isprintable():
            detail = f"invalid character U+{ord(each):04X} (at position {position})"
            shown = "".join(one if one.isprintable() else "?" for one in _cut(manager))
            errors.append(FieldError.invalid("fieldManager", shown, detail))
            break
    return errors


def _check_dry_run(values: list[str]) -> list[FieldError]:
    if all(each == "All" for each in values):
        return []
    return [FieldError.not_supported("dryRun", [_cut(each) for each in values[:10]], "All")]


def _raise(kind: str, errors: list[FieldError]) -> None:
    if errors:
        raise InvalidObjectError(kind=kind, name="", errors=errors, group=META_GROUP)


def _from_query(query: Query) -> dict[str, Any]:
    return {
        "dryRun": list(query.get("dryRun", [])),
        "orphanDependents": _read_flag(query, "orphanDependents"),
        "propagationPolicy": _first(query, "propagationPolicy") or None,
    }


def _first(query: Query, name: str) -> str:
    values = query.get(name)
    return values[0] if values else ""


def _read_flag(query: Query, name: str) -> bool | None:
    """As upstream: all but `false` and `0` is true, None where the parameter is missing."""
    values = query.get(name)
    return values[0].lower() not in {"false", "0"} if values else None


def _is_watch(query: Query) -> bool:
    return _first(query, "watch") not in {"", "0", "false"}


def _read_int(query: Query, name: str) -> int | None:
    text = _first(query, name)
    if not text:
        return None
    found = re.fullmatch(r"([+-]?)0*([0-9]+)", text, re.ASCII)
    if found is None:
        raise BadRequestError(f'strconv.ParseInt: parsing "{_cut(text)}": invalid syntax')
    sign, digits = found.groups()
    number = int(sign + digits) if len(digits) < 20 else _INT64
    if not -_INT64 <= number < _INT64:
        raise BadRequestError(f'strconv.ParseInt: parsing "{_cut(text)}": value out of range')
    return number


def _read_timeout(query: Query) -> float | None:
    """None where there is none, or none that could be meant."""
    seconds = _read_int(query, "timeoutSeconds")
    return float(seconds) if seconds is not None and seconds > 0 else None


def _typed(found: Mapping[str, Any], name: str, kind: type) -> Any:
    value = found.get(name)
    if value is not None and not isinstance(value, kind):
        words = {dict: "v1.Preconditions", bool: "bool", str: "string", list: "[]string"}
        raise _wrong_type(name, words[kind])
    return value


def _wrong_type(field: str, wanted: str) -> BadRequestError:
    return BadRequestError(
        'DeleteOptions in version "v1" cannot be handled as a DeleteOptions: json: cannot '
        f"unmarshal the value of DeleteOptions.{field} into Go value of type {wanted}"
    )


def _cut(text: str) -> str:
    return text if len(text) <= 200 else text[:200] + "..."
