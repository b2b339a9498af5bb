"""One write of a stream, from the desired state to what is stored (imports-5.9, imports-6.2).

First generations (imports-6.3), then tags that follow other tags (imports-6.6), then validation
(imports-6.16) and limits.
"""

from __future__ import annotations

from datetime import datetime

from models.errors import FieldError, InvalidObjectError
from models.resources.stream import ImageStream
from models.streams.imports.import_rules import ImportRules
from models.streams.tags.tag_tracking import SourceReview, StreamLookup, track_tags, verify_tags
from models.streams.writes.stream_quota import StreamUsage, check_limits
from models.streams.writes.stream_strategy import (
    decorate,
    prepare_create,
    prepare_status_update,
    prepare_update,
)
from models.streams.writes.stream_validation import validate_stream

NO_USAGE = StreamUsage()


def apply_write(
    old: ImageStream | None,
    new: ImageStream,
    *,
    now: datetime,
    rules: ImportRules,
    accept_status: bool = False,
    usage: StreamUsage = NO_USAGE,
    lookup: StreamLookup | None = None,
    review: SourceReview | None = None,
) -> ImageStream:
    """Return the stream that a create (`old` None) or an update results in.

    `accept_status` is for imports, which bring the status; a client's status is ignored. `lookup`
    finds other streams; `review` checks whether the caller may tag from another namespace. Raises
    InvalidObjectError.
    """
    if old is None:
        prepared = prepare_create(new, accept_status=accept_status)
        changed_tags = frozenset(tag.name for tag in prepared.spec.tags)
    else:
        prepared, changed_tags = prepare_update(old, new, accept_status=accept_status)
    tracked, errors = track_tags(
        prepared, changed_tags, old=old, now=now, rules=rules, lookup=lookup
    )
    if review is not None:
        denied = verify_tags(tracked, changed_tags, review)
        # A caller without access must not learn whether the source exists (api-16.8).
        hidden = tuple(f"{error.field}." for error in denied)
        errors = [error for error in errors if not error.field.startswith(hidden)] + denied
    return _validate_write(old, decorate(tracked, rules), errors, rules=rules, usage=usage)


def apply_status_write(
    old: ImageStream, new: ImageStream, *, rules: ImportRules, usage: StreamUsage = NO_USAGE
) -> ImageStream:
    """Return the stream that a write of its status results in: spec kept, no followers
    (imports-6.11).
    """
    updated = decorate(prepare_status_update(old, new), rules)
    return _validate_write(old, updated, [], rules=rules, usage=usage, of_status=True)


def _validate_write(
    old: ImageStream | None,
    new: ImageStream,
    errors: list[FieldError],
    *,
    rules: ImportRules,
    usage: StreamUsage,
    of_status: bool = False,
) -> ImageStream:
    violations = validate_stream(new, old=old, allow_list=rules.allow_list, of_status=of_status)
    errors = [*errors, *violations]
    if errors:
        raise InvalidObjectError(kind="ImageStream", name=new.metadata.name, errors=errors)
    check_limits(old, new, rules=rules, usage=usage)
    return new
