"""Query options, and DeleteOptions in the body of a DELETE (api-1.5, api-9.2, api-9.3, api-9.4).

Unknown parameters are ignored, as are those without effect here (`pretty`, `timeout`,
`gracePeriodSeconds`). The first value of a parameter counts, but `dryRun` may repeat. Clients send
`fieldManager`, `fieldValidation` and `dryRun` with every write (clients-4.1).
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
MAX_FIELD_MANAGER_BYTES = 128
_VALIDATION_MODES = ("", "Ignore", "Strict", "Warn")
_PROPAGATION_POLICIES = ("Foreground", "Background", "Orphan")
_INT64_LIMIT = 2**63
Query = Mapping[str, list[str]]


@dataclass(frozen=True, slots=True)
class CreateOptions:
    """Options of a POST; `field_validation` is Ignore, Warn or Strict, never empty."""

    dry_run: bool = False
    field_validation: str = "Warn"
    field_manager: str = ""


@dataclass(frozen=True, slots=True)
class UpdateOptions(CreateOptions):
    """Options of a PUT."""


@dataclass(frozen=True, slots=True)
class PatchOptions(CreateOptions):
    """Options of a PATCH; `force` is for server-side apply only."""

    force: bool = False


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    """Options of a DELETE; `uid` and `resource_version` are preconditions, empty if not given.

    `orphan` is false if the caller sent `orphanDependents=false` (api-1.4); every propagation
    policy has the effect of Background here (api-10.3).
    """

    dry_run: bool = False
    uid: str = ""
    resource_version: str = ""
    orphan: bool | None = None


@dataclass(frozen=True, slots=True)
class ListOptions:
    """Options of a list, a watch or the DELETE of a collection; a `limit` of 0 means none.

    `match` is Exact, NotOlderThan or empty. The field selector is parsed where the kind is known.
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
    """Return the options of a POST. Raises InvalidObjectError of kind CreateOptions."""
    return CreateOptions(**_write_options(query, "CreateOptions"))


def parse_update_options(query: Query) -> UpdateOptions:
    """Return the options of a PUT. Raises InvalidObjectError of kind UpdateOptions."""
    return UpdateOptions(**_write_options(query, "UpdateOptions"))


def parse_patch_options(query: Query, content_type: str) -> PatchOptions:
    """Return the options of a PATCH. Raises InvalidObjectError of kind PatchOptions.

    An apply patch needs a field manager; the other patch types accept no `force`.
    """
    force = _parse_flag(query, "force")
    errors = []
    if content_type.partition(";")[0].strip().lower() == APPLY_PATCH:
        if not _first_value(query, "fieldManager"):
            errors.append(FieldError.required("fieldManager", "is required for apply patch"))
    elif force is not None:
        detail = "may not be specified for non-apply patch"
        errors.append(FieldError.forbidden("force", detail))
    return PatchOptions(**_write_options(query, "PatchOptions", errors), force=bool(force))


def parse_delete_options(query: Query, body: Mapping[str, Any] | None) -> DeleteOptions:
    """Return the options of the body or, if there is no body at all, of the query (api-10.1).

    Raises BadRequestError for a wrong type, else InvalidObjectError of kind DeleteOptions.
    """
    found = _delete_options_from_query(query) if body is None else body
    preconditions = _typed_value(found, "preconditions", dict) or {}
    orphan = _typed_value(found, "orphanDependents", bool)
    policy = _typed_value(found, "propagationPolicy", str)
    dry_run = _typed_value(found, "dryRun", list) or []
    if not all(isinstance(each, str) for each in dry_run):
        raise _wrong_type("dryRun", "[]string")
    errors = []
    if orphan is not None and policy is not None:
        detail = "orphanDependents and deletionPropagation cannot be both set"
        errors.append(FieldError.invalid("propagationPolicy", _truncate(policy), detail))
    elif policy is not None and policy not in _PROPAGATION_POLICIES:
        known = (*_PROPAGATION_POLICIES, "nil")
        errors.append(FieldError.not_supported("propagationPolicy", _truncate(policy), *known))
    errors.extend(_check_dry_run(dry_run))
    _raise_if_invalid("DeleteOptions", errors)
    return DeleteOptions(
        dry_run=bool(dry_run),
        uid=_typed_value(preconditions, "uid", str) or "",
        resource_version=_typed_value(preconditions, "resourceVersion", str) or "",
        orphan=orphan,
    )


def parse_list_options(query: Query, *, watching: bool = False) -> ListOptions:
    """Return the options of a list or watch; `watching` is for paths that always watch.

    Raises BadRequestError for what cannot be parsed, InvalidObjectError for an invalid combination.
    """
    options = ListOptions(
        label_selector=parse_label_selector(_first_value(query, "labelSelector")),
        field_selector=_first_value(query, "fieldSelector"),
        limit=max(0, _parse_int(query, "limit") or 0),
        continue_token=_first_value(query, "continue"),
        resource_version=_first_value(query, "resourceVersion"),
        match=_first_value(query, "resourceVersionMatch"),
        watch=watching or _is_watch(query),
        timeout_seconds=_parse_timeout(query),
        bookmarks=bool(_parse_flag(query, "allowWatchBookmarks")),
        send_initial_events=_parse_flag(query, "sendInitialEvents"),
    )
    _raise_if_invalid(
        "ListOptions", _check_watch(options) if options.watch else _check_list(options)
    )
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
        errors.append(
            FieldError.not_supported(field, _truncate(match), "Exact", "NotOlderThan", "")
        )
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
        errors.append(FieldError.not_supported(field, _truncate(match), "NotOlderThan"))
    return errors


def _write_options(
    query: Query, kind: str, errors: list[FieldError] | None = None
) -> dict[str, Any]:
    """Return the options that POST, PUT and PATCH share, checked in upstream's order."""
    manager = _first_value(query, "fieldManager")
    mode = _first_value(query, "fieldValidation")
    found = [*(errors or ()), *_check_manager(manager), *_check_dry_run(query.get("dryRun", []))]
    if mode not in _VALIDATION_MODES:
        found.append(
            FieldError.not_supported("fieldValidation", _truncate(mode), *_VALIDATION_MODES)
        )
    _raise_if_invalid(kind, found)
    return {
        "dry_run": bool(query.get("dryRun")),
        "field_validation": mode or "Warn",
        "field_manager": manager,
    }


def _check_manager(manager: str) -> list[FieldError]:
    errors = []
    if len(manager.encode("utf-8", "replace")) > MAX_FIELD_MANAGER_BYTES:
        errors.append(FieldError.too_long("fieldManager", MAX_FIELD_MANAGER_BYTES))
    for position, each in enumerate(manager):
        if not each.isprintable():
            detail = f"invalid character U+{ord(each):04X} (at position {position})"
            shown = "".join(one if one.isprintable() else "?" for one in _truncate(manager))
            errors.append(FieldError.invalid("fieldManager", shown, detail))
            break
    return errors


def _check_dry_run(values: list[str]) -> list[FieldError]:
    if all(each == "All" for each in values):
        return []
    return [FieldError.not_supported("dryRun", [_truncate(each) for each in values[:10]], "All")]


def _raise_if_invalid(kind: str, errors: list[FieldError]) -> None:
    if errors:
        raise InvalidObjectError(kind=kind, name="", errors=errors, group=META_GROUP)


def _delete_options_from_query(query: Query) -> dict[str, Any]:
    return {
        "dryRun": list(query.get("dryRun", [])),
        "orphanDependents": _parse_flag(query, "orphanDependents"),
        "propagationPolicy": _first_value(query, "propagationPolicy") or None,
    }


def _first_value(query: Query, name: str) -> str:
    values = query.get(name)
    return values[0] if values else ""


def _parse_flag(query: Query, name: str) -> bool | None:
    """Return a boolean as upstream does: all but `false` and `0` is true; None if not given."""
    values = query.get(name)
    return values[0].lower() not in {"false", "0"} if values else None


def _is_watch(query: Query) -> bool:
    return _first_value(query, "watch") not in {"", "0", "false"}


def _parse_int(query: Query, name: str) -> int | None:
    text = _first_value(query, name)
    if not text:
        return None
    found = re.fullmatch(r"([+-]?)0*([0-9]+)", text, re.ASCII)
    if found is None:
        raise BadRequestError(f'strconv.ParseInt: parsing "{_truncate(text)}": invalid syntax')
    sign, digits = found.groups()
    number = int(sign + digits) if len(digits) < 20 else _INT64_LIMIT
    if not -_INT64_LIMIT <= number < _INT64_LIMIT:
        raise BadRequestError(f'strconv.ParseInt: parsing "{_truncate(text)}": value out of range')
    return number


def _parse_timeout(query: Query) -> float | None:
    """Return the seconds of `timeoutSeconds`, or None if it is not given or not above zero."""
    seconds = _parse_int(query, "timeoutSeconds")
    return float(seconds) if seconds is not None and seconds > 0 else None


def _typed_value(found: Mapping[str, Any], name: str, kind: type) -> Any:
    value = found.get(name)
    if value is not None and not isinstance(value, kind):
        type_names = {dict: "v1.Preconditions", bool: "bool", str: "string", list: "[]string"}
        raise _wrong_type(name, type_names[kind])
    return value


def _wrong_type(field: str, wanted: str) -> BadRequestError:
    return BadRequestError(
        'DeleteOptions in version "v1" cannot be handled as a DeleteOptions: json: cannot '
        f"unmarshal the value of DeleteOptions.{field} into Go value of type {wanted}"
    )


def _truncate(text: str) -> str:
    return text if len(text) <= 200 else text[:200] + "..."
