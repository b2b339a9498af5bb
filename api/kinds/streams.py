"""ImageStreams and their status (`api.md` B6, B7)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from typing import Any

from api.api_context import House
from api.kinds.kind_base import Work
from api.kinds.stored_kind import PrintedItem, StoredKind
from api.served_resources import STREAM_STATUS, STREAMS
from models.access.rbac import review_source
from models.job_types import Asker, JobRequest, Lane
from models.resources.stream import ImageStream
from models.resources.wire import Wire
from models.store.database.session import looking
from models.store.jobs.job_store import create_job
from models.store.serializers.metadata_json import Addresses
from models.store.serializers.stream_json import list_stream_texts, read_stream_text
from models.store.streams.stream_list import SHOWN_HISTORY, list_stream_wires
from models.store.streams.stream_store import (
    count_streams,
    delete_stream,
    load_stream,
    load_usage,
    save_stream,
    text_of,
)
from models.streams.imports.import_trigger import due_import
from models.streams.writes.object_defaults import default_stream
from models.streams.writes.stream_strategy import decorate, derive_addresses
from models.streams.writes.stream_update import NO_USAGE, apply_status_write, apply_write

_HEAD = f'{{"kind":"{STREAMS.kind}","apiVersion":"{STREAMS.api_version}",'


class StreamKind(StoredKind):
    """The stream itself: its spec is the client's, its status the server's."""

    info = STREAMS
    name_rule = "stream"
    save_tells = True
    selectable = (
        "metadata.name",
        "metadata.namespace",
        "spec.dockerImageRepository",
        "status.dockerImageRepository",
    )

    def load(
        self, work: Work, namespace: str, name: str, *, lock: bool = False
    ) -> ImageStream | None:
        return load_stream(work.session, namespace, name, history=SHOWN_HISTORY, for_update=lock)

    def base(self, work: Work, namespace: str, name: str) -> dict[str, Any]:
        old = self.hold(work, namespace, name)
        text = text_of(work.session, old) if isinstance(old, ImageStream) else None
        if text is None:
            return super().base(work, namespace, name)
        return {"kind": self.info.kind, "apiVersion": self.info.api_version, **json.loads(text)}

    def shown_as_is(self, work: Work, namespace: str, name: str) -> Wire | None:
        return self.hold(work, namespace, name)

    def page(
        self, work: Work, namespace: str, *, limit: int, after: tuple[str, str] | None
    ) -> list[dict[str, Any]]:
        wires = list_stream_wires(
            work.session, namespace=namespace or None, limit=limit, after=after
        )
        return [self.show_stored(work.house, wire) for wire in wires]

    def print_one(self, house: House, namespace: str, name: str) -> str | None:
        with looking(house.engine) as connection:
            text = read_stream_text(connection, namespace, name, _addresses(house))
        return None if text is None else f"{_HEAD}{text}"

    def print_page(
        self, work: Work, namespace: str, *, limit: int, after: tuple[str, str] | None
    ) -> list[PrintedItem] | None:
        page = list_stream_texts(
            work.session.connection(),
            namespace=namespace or None,
            limit=limit,
            after=after,
            addresses=_addresses(work.house),
        )
        if page is None:
            return None
        return [((each.namespace, each.name), f"{{{each.text}") for each in page]

    def count(self, work: Work, namespace: str, *, after: tuple[str, str] | None) -> int:
        return count_streams(work.session, namespace=namespace or None, after=after)

    def check(self, work: Work, old: Wire | None, new: Wire) -> ImageStream:
        assert isinstance(new, ImageStream)
        assert old is None or isinstance(old, ImageStream)
        return write_stream(work, old, new)

    def save(self, work: Work, old: Wire | None, new: Wire) -> ImageStream:
        assert isinstance(new, ImageStream)
        assert old is None or isinstance(old, ImageStream)
        return store_stream(work, old, new)

    def remove(self, work: Work, old: Wire) -> None:
        assert isinstance(old, ImageStream)
        delete_stream(work.session, old.metadata.namespace, old.metadata.name, now=work.now)

    def fields(self, shown: Mapping[str, Any]) -> dict[str, str]:
        return super().fields(shown) | {
            "spec.dockerImageRepository": shown["spec"].get("dockerImageRepository", ""),
            "status.dockerImageRepository": shown["status"].get("dockerImageRepository", ""),
        }


class StatusKind(StreamKind):
    """The stream seen through `/status`: what was observed may be written, the spec may not."""

    info = STREAM_STATUS
    has_table = False

    def check(self, work: Work, old: Wire | None, new: Wire) -> ImageStream:
        assert isinstance(old, ImageStream)
        assert isinstance(new, ImageStream)
        kept = new.replace(spec=old.spec)
        return apply_status_write(old, kept, rules=work.house.rules, usage=_usage(work, old))


def write_stream(
    work: Work, old: ImageStream | None, new: ImageStream, *, keep_status: bool = False
) -> ImageStream:
    """A user's write of a stream, by all the rules (`api.md` B3, B6)."""
    mode = work.house.settings.default_import_mode
    return apply_write(
        old,
        default_stream(new, mode=mode),
        now=work.now,
        rules=work.house.rules,
        keep_status=keep_status,
        usage=_usage(work, old),
        lookup=lambda namespace, name: load_stream(
            work.session, namespace, name, history=SHOWN_HISTORY
        ),
        review=partial(review_source, work.caller),
    )


def store_stream(work: Work, old: ImageStream | None, new: ImageStream) -> ImageStream:
    """Save a stream; what its spec makes due is put on the counter with it (`api.md` B13.6)."""
    saved = save_stream(work.session, old, new, now=work.now)
    if saved is not old:
        request_due(work, saved)
    return decorate(saved, work.house.rules)


def request_due(work: Work, stream: ImageStream) -> None:
    """The job that the stream's spec makes due, if any."""
    request = due_import(stream)
    if request is None or work.dry_run:
        return
    wanted = JobRequest(
        request,
        asker=Asker.API,
        lane=Lane.INTERACTIVE,
        user=work.caller.user,
        coalesce=True,
        due=True,
    )
    work.knocks.append(create_job(work.session, wanted, now=work.now))


def _addresses(house: House) -> Addresses:
    return partial(derive_addresses, house.rules)


def _usage(work: Work, old: ImageStream | None) -> Any:
    if old is None or not work.house.rules.max_images:
        return NO_USAGE
    return load_usage(work.session, old.metadata.namespace, old.metadata.name)
