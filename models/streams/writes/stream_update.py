"""One write of a stream, from the wish to what is stored (`import.md` 5.6, 6.2 to 6.8).

Generations first, then tags that follow other tags, then the rules and the limits.
"""

from __future__ import annotations

from datetime import datetime

from models.errors import FieldError, InvalidObjectError
from models.resources.stream import ImageStream
from models.streams.imports.import_rules import ImportRules
from models.streams.tags.tag_tracking import Lookup, Review, track_tags, verify_tags
from models.streams.writes.stream_quota import StreamUsage, check_limits
from models.streams.writes.stream_strategy import (
    decorate,
    prepare_create,
    prepare_update,
    settle_status,
)
from models.streams.writes.stream_validation import validate_stream

NO_USAGE = StreamUsage()


def apply_write(
    old: ImageStream | None,
    new: ImageStream,
    *,
    now: datetime,
    rules: ImportRules,
    keep_status: bool = False,
    usage: StreamUsage = NO_USAGE,
    lookup: Lookup | None = None,
    review: Review | None = None,
) -> ImageStream:
    """The stream that a create (`old` None) or an update comes to. InvalidObjectError if not one.

    `keep_status` is for imports, which bring the status; a client's status is not looked at.
    `lookup` finds other streams, `review` asks whether the caller may tag from another namespace.
    """
    if old is None:
        prepared = prepare_create(new, keep_status=keep_status)
        moved = frozenset(tag.name for tag in prepared.spec.tags)
    else:
        prepared, moved = prepare_update(old, new, keep_status=keep_status)
    written, errors = track_tags(prepared, moved, old=old, now=now, rules=rules, lookup=lookup)
    if review is not None:
        denied = verify_tags(written, moved, review)
        # Whoever may not look must not learn whether there is anything (`api.md` D.4).
        hidden = tuple(f"{error.field}." for error in denied)
        errors = [error for error in errors if not error.field.startswith(hidden)] + denied
    return _check(old, decorate(written, rules), errors, rules=rules, usage=usage)


def apply_status_write(
    old: ImageStream, new: ImageStream, *, rules: ImportRules, usage: StreamUsage = NO_USAGE
) -> ImageStream:
    """The stream that a write of its status comes to: the spec stays, nothing follows (6.8)."""
    settled = decorate(settle_status(old, new), rules)
    return _check(old, settled, [], rules=rules, usage=usage, of_status=True)


def _check(
    old: ImageStream | None,
    new: ImageStream,
    errors: list[FieldError],
    *,
    rules: ImportRules,
    usage: StreamUsage,
    of_status: bool = False,
) -> ImageStream:
    wrong = validate_stream(new, old=old, allow_list=rules.allow_list, of_status=of_status)
    errors = [*errors, *wrong]
    if errors:
        raise InvalidObjectError(kind="ImageStream", name=new.metadata.name, errors=errors)
    check_limits(old, new, rules=rules, usage=usage)
    return new
