"""The kinds ImageStream and ImageStream/status (api-23.1, api-23.5)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from typing import Any

from api.api_context import ApiContext
from api.kinds.kind_base import UnitOfWork
from api.kinds.stored_kind import JsonItem, StoredKind
from api.served_resources import STREAM_STATUS, STREAMS
from models.access.rbac import review_source
from models.job_types import JobRequest, JobTrigger, Priority
from models.resources.stream import ImageStream
from models.resources.wire import Wire
from models.store.database.session import read_connection
from models.store.jobs.job_store import create_job
from models.store.serializers.metadata_json import DeriveRepositories
from models.store.serializers.stream_json import list_stream_texts, load_stream_text
from models.store.streams.stream_list import MAX_SHOWN_HISTORY, list_stream_wires
from models.store.streams.stream_store import (
    cached_stream_text,
    count_streams,
    delete_stream,
    load_stream,
    load_usage,
    save_stream,
)
from models.streams.imports.import_trigger import build_due_import
from models.streams.writes.object_defaults import default_stream
from models.streams.writes.stream_strategy import decorate, derive_repositories
from models.streams.writes.stream_update import NO_USAGE, apply_status_write, apply_write

_STREAM_JSON_PREFIX = f'{{"kind":"{STREAMS.kind}","apiVersion":"{STREAMS.api_version}",'


class StreamKind(StoredKind):
    """ImageStream: the spec is the client's, the status the server's."""

    info = STREAMS
    name_rule = "stream"
    save_detects_existing = True
    selectable = (
        "metadata.name",
        "metadata.namespace",
        "spec.dockerImageRepository",
        "status.dockerImageRepository",
    )

    def load(
        self, work: UnitOfWork, namespace: str, name: str, *, lock: bool = False
    ) -> ImageStream | None:
        return load_stream(
            work.session, namespace, name, history=MAX_SHOWN_HISTORY, for_update=lock
        )

    def patch_base(self, work: UnitOfWork, namespace: str, name: str) -> dict[str, Any]:
        old = self.load_locked(work, namespace, name)
        text = cached_stream_text(work.session, old) if isinstance(old, ImageStream) else None
        if text is None:
            return super().patch_base(work, namespace, name)
        return {"kind": self.info.kind, "apiVersion": self.info.api_version, **json.loads(text)}

    def stored_patch_base(self, work: UnitOfWork, namespace: str, name: str) -> Wire | None:
        return self.load_locked(work, namespace, name)

    def page(
        self, work: UnitOfWork, namespace: str, *, limit: int, after: tuple[str, str] | None
    ) -> list[dict[str, Any]]:
        wires = list_stream_wires(
            work.session, namespace=namespace or None, limit=limit, after=after
        )
        return [self.show_stored(work.context, wire) for wire in wires]

    def get_json(self, context: ApiContext, namespace: str, name: str) -> str | None:
        with read_connection(context.engine) as connection:
            text = load_stream_text(connection, namespace, name, _address_resolver(context))
        return None if text is None else f"{_STREAM_JSON_PREFIX}{text}"

    def page_json(
        self, work: UnitOfWork, namespace: str, *, limit: int, after: tuple[str, str] | None
    ) -> list[JsonItem] | None:
        page = list_stream_texts(
            work.session.connection(),
            namespace=namespace or None,
            limit=limit,
            after=after,
            addresses=_address_resolver(work.context),
        )
        if page is None:
            return None
        return [((each.namespace, each.name), f"{{{each.text}") for each in page]

    def count(self, work: UnitOfWork, namespace: str, *, after: tuple[str, str] | None) -> int:
        return count_streams(work.session, namespace=namespace or None, after=after)

    def check(self, work: UnitOfWork, old: Wire | None, new: Wire) -> ImageStream:
        assert isinstance(new, ImageStream)
        assert old is None or isinstance(old, ImageStream)
        return prepare_stream_write(work, old, new)

    def save(self, work: UnitOfWork, old: Wire | None, new: Wire) -> ImageStream:
        assert isinstance(new, ImageStream)
        assert old is None or isinstance(old, ImageStream)
        return save_stream_and_enqueue(work, old, new)

    def remove(self, work: UnitOfWork, old: Wire) -> None:
        assert isinstance(old, ImageStream)
        delete_stream(work.session, old.metadata.namespace, old.metadata.name, now=work.now)

    def fields(self, shown: Mapping[str, Any]) -> dict[str, str]:
        return super().fields(shown) | {
            "spec.dockerImageRepository": shown["spec"].get("dockerImageRepository", ""),
            "status.dockerImageRepository": shown["status"].get("dockerImageRepository", ""),
        }


class StreamStatusKind(StreamKind):
    """The stream through `/status`: the status may be written, the spec stays (api-23.5)."""

    info = STREAM_STATUS
    has_table = False

    def check(self, work: UnitOfWork, old: Wire | None, new: Wire) -> ImageStream:
        assert isinstance(old, ImageStream)
        assert isinstance(new, ImageStream)
        with_old_spec = new.replace(spec=old.spec)
        return apply_status_write(
            old, with_old_spec, rules=work.context.rules, usage=_load_usage_of(work, old)
        )


def prepare_stream_write(
    work: UnitOfWork, old: ImageStream | None, new: ImageStream, *, accept_status: bool = False
) -> ImageStream:
    """Return a user's write of a stream with all rules applied (api-20.5, api-23.1).

    With `accept_status` the status of `new` is stored too, for writes that the server derived from
    the stored stream. Raises InvalidObjectError with all errors.
    """
    mode = work.context.settings.default_import_mode
    return apply_write(
        old,
        default_stream(new, mode=mode),
        now=work.now,
        rules=work.context.rules,
        accept_status=accept_status,
        usage=_load_usage_of(work, old),
        lookup=lambda namespace, name: load_stream(
            work.session, namespace, name, history=MAX_SHOWN_HISTORY
        ),
        review=partial(review_source, work.caller),
    )


def save_stream_and_enqueue(
    work: UnitOfWork, old: ImageStream | None, new: ImageStream
) -> ImageStream:
    """Save a stream, and create the job of an import that its spec makes due (api-28.12)."""
    saved = save_stream(work.session, old, new, now=work.now)
    if saved is not old:
        enqueue_due_import(work, saved)
    return decorate(saved, work.context.rules)


def enqueue_due_import(work: UnitOfWork, stream: ImageStream) -> None:
    """Create the job of the import that the stream's spec makes due, if any."""
    import_request = build_due_import(stream)
    if import_request is None or work.dry_run:
        return
    job_request = JobRequest(
        import_request,
        trigger=JobTrigger.API,
        priority=Priority.INTERACTIVE,
        user=work.caller.user,
        coalesce=True,
        due=True,
    )
    work.jobs_to_publish.append(create_job(work.session, job_request, now=work.now))


def _address_resolver(context: ApiContext) -> DeriveRepositories:
    return partial(derive_repositories, context.rules)


def _load_usage_of(work: UnitOfWork, old: ImageStream | None) -> Any:
    if old is None or not work.context.rules.max_images:
        return NO_USAGE
    return load_usage(work.session, old.metadata.namespace, old.metadata.name)
