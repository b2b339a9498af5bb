"""ImageStreamTags and ImageTags: views of one tag, whose writes edit the stream (B8, B9)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from api.api_context import House
from api.auth.token_authenticator import require
from api.kinds.kind_base import (
    BegunMeanwhileError,
    Kind,
    Work,
    metadata_of,
    random_suffix,
    try_again,
)
from api.kinds.stored_kind import require_namespace
from api.kinds.streams import store_stream, write_stream
from api.object_meta import check_metadata, prepare_metadata_create
from api.request.query_options import DeleteOptions
from api.response.http_response import status_success
from api.served_resources import IMAGE_TAGS, STREAM_TAGS
from models.errors import StreamConflictError
from models.reference import DEFAULT_TAG
from models.resources.image import Image
from models.resources.meta import ObjectMeta
from models.resources.stream import ImageStream
from models.resources.wire import Wire
from models.store.database.session import looking
from models.store.images.image_store import load_image
from models.store.serializers.tag_json import read_tag_text
from models.store.streams.stream_list import SHOWN_HISTORY
from models.store.streams.stream_store import list_streams, load_stream
from models.streams.tags.tag_views import (
    list_imagetags,
    list_istags,
    parse_tag_name,
    read_imagetag,
    read_istag,
    view_imagetag,
    view_istag,
    wanted_image,
)
from models.streams.tags.tag_writes import (
    TagWrite,
    create_imagetag,
    create_istag,
    current_imagetag,
    current_istag,
    delete_tag,
    put_imagetag,
    put_istag,
)
from models.streams.writes.stream_strategy import decorate

STEP = 500
_HEAD = f'{{"kind":"{STREAM_TAGS.kind}","apiVersion":"{STREAM_TAGS.api_version}",'


@dataclass(frozen=True, slots=True)
class _Rules:
    """The rules of one view (`models/streams`); `history` is how many events its list shows."""

    create: Callable[..., ImageStream]
    put: Callable[..., TagWrite]
    current: Callable[..., Wire]
    read: Callable[[ImageStream | None, str, str, Image | None], Wire]
    view: Callable[[ImageStream, str, Image | None], Wire]
    list: Callable[[ImageStream], Sequence[Wire]]
    history: int = 1


class _TagKind(Kind):
    """What both views share: the stream behind them."""

    _rules: _Rules

    def check_name(self, name: str) -> None:
        parse_tag_name(name, self.info.kind)

    def list_all(self, work: Work, namespace: str) -> list[dict[str, Any]]:
        """Every tag, sorted by namespace, stream and tag; images are not loaded."""
        found: list[dict[str, Any]] = []
        after = None
        while True:
            streams = list_streams(
                work.session,
                namespace=namespace or None,
                limit=STEP,
                after=after,
                history=self._rules.history,
            )
            for stream in streams:
                seen = decorate(stream, work.house.rules)
                found.extend(self.show(each) for each in self._rules.list(seen))
            if len(streams) < STEP:
                return found
            after = (streams[-1].metadata.namespace, streams[-1].metadata.name)

    def delete(
        self, work: Work, namespace: str, name: str, options: DeleteOptions
    ) -> dict[str, Any]:
        stream_name, _ = parse_tag_name(name, self.info.kind)
        stream = self._load(work, namespace, stream_name, lock=True)
        new = delete_tag(
            stream,
            name=name,
            kind=self.info.kind,
            uid=options.uid,
            resource_version=options.resource_version,
        )
        assert stream is not None
        store_stream(work, stream, write_stream(work, stream, new, keep_status=True))
        return status_success()

    def get(self, work: Work, namespace: str, name: str) -> dict[str, Any]:
        stream_name, tag = parse_tag_name(name, self.info.kind)
        stream = self._load(work, namespace, stream_name)
        image = self._image(work, stream, tag)
        return self.show(self._rules.read(stream, stream_name, tag, image))

    def post(self, work: Work, namespace: str, body: Wire) -> dict[str, Any]:
        metadata = prepare_metadata_create(
            metadata_of(body), namespace=namespace, suffix=random_suffix, now=work.now
        )
        name, _, tag = metadata.name.partition(":")
        old = self._load(work, namespace, name, lock=True)
        new = self._rules.create(
            old,
            body.replace(metadata=metadata),
            namespace=namespace,
            allow_list=work.house.rules.allow_list,
            check_meta=check_metadata,
        )
        return self._show_tag(work, self._save(work, namespace, old, new), tag or DEFAULT_TAG)

    def base(self, work: Work, namespace: str, name: str) -> dict[str, Any]:
        stream_name, _ = parse_tag_name(name, self.info.kind)
        stream = self._load(work, namespace, stream_name, lock=True)
        return self.show(self._rules.current(stream, namespace=namespace, name=name))

    def put(
        self, work: Work, namespace: str, name: str, body: Wire, *, patched: bool = False
    ) -> tuple[dict[str, Any], bool]:
        stream_name, tag = parse_tag_name(name, self.info.kind)
        old = self._load(work, namespace, stream_name, lock=True)
        written = self._rules.put(
            old,
            body,
            namespace=namespace,
            name=name,
            allow_list=work.house.rules.allow_list,
            check_meta=check_metadata,
        )
        saved = self._save(work, namespace, old, written.stream)
        return self._show_tag(work, saved, tag), written.created

    def _show_tag(self, work: Work, stream: ImageStream, tag: str) -> dict[str, Any]:
        return self.show(self._rules.view(stream, tag, self._image(work, stream, tag)))

    def _load(
        self, work: Work, namespace: str, name: str, *, lock: bool = False
    ) -> ImageStream | None:
        found = load_stream(work.session, namespace, name, history=SHOWN_HISTORY, for_update=lock)
        return None if found is None else decorate(found, work.house.rules)

    def _save(
        self, work: Work, namespace: str, old: ImageStream | None, new: ImageStream
    ) -> ImageStream:
        if old is None:
            require_namespace(work, self, ObjectMeta(name=new.metadata.name, namespace=namespace))
            require(
                work.caller,
                verb="create",
                group=self.info.group,
                resource=self.info.resource,
                namespace=namespace,
                name=new.metadata.name,
            )
        if new is old:
            return new
        try:
            saved = store_stream(work, old, write_stream(work, old, new))
        except StreamConflictError as error:
            if old is None:
                raise BegunMeanwhileError(try_again("create", self.info)) from error
            raise
        if not work.dry_run:
            return saved
        version = "" if old is None else old.metadata.resource_version
        return saved.replace(metadata=saved.metadata.replace(resource_version=version))

    def _image(self, work: Work, stream: ImageStream | None, tag: str) -> Image | None:
        digest = wanted_image(stream, tag)
        return load_image(work.session, digest) if digest else None


class StreamTagKind(_TagKind):
    """ImageStreamTag: one tag with the image it means now."""

    info = STREAM_TAGS
    _rules = _Rules(
        create=create_istag,
        put=put_istag,
        current=current_istag,
        read=read_istag,
        view=view_istag,
        list=list_istags,
    )

    def print_one(self, house: House, namespace: str, name: str) -> str | None:
        stream, tag = parse_tag_name(name)
        with looking(house.engine) as connection:
            text = read_tag_text(connection, namespace, stream, tag)
        return None if text is None else f"{_HEAD}{text}"


class ImageTagKind(_TagKind):
    """ImageTag: one tag's wish, history and image."""

    info = IMAGE_TAGS
    _rules = _Rules(
        create=create_imagetag,
        put=put_imagetag,
        current=current_imagetag,
        read=read_imagetag,
        view=view_imagetag,
        list=list_imagetags,
        history=SHOWN_HISTORY,
    )
