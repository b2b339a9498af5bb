"""The kinds ImageStreamTag and ImageTag: views of one tag, whose writes change the stream.

Their rules are api-24.1 and api-25.1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from api.api_context import ApiContext
from api.auth.token_authenticator import require_access
from api.kinds.kind_base import (
    ConcurrentCreateError,
    Kind,
    UnitOfWork,
    metadata_of,
    random_suffix,
    server_timeout_error,
)
from api.kinds.stored_kind import require_namespace
from api.kinds.streams import prepare_stream_write, save_stream_and_enqueue
from api.object_meta import check_metadata, prepare_metadata_create
from api.request.query_options import DeleteOptions
from api.response.http_response import build_success_status
from api.served_resources import IMAGE_TAGS, STREAM_TAGS
from models.errors import StreamConflictError
from models.reference import DEFAULT_TAG
from models.resources.image import Image
from models.resources.meta import ObjectMeta
from models.resources.stream import ImageStream
from models.resources.wire import Wire
from models.store.database.session import read_connection
from models.store.images.image_store import load_image
from models.store.serializers.tag_json import load_tag_text
from models.store.streams.stream_list import MAX_SHOWN_HISTORY
from models.store.streams.stream_store import list_streams, load_stream
from models.streams.tags.tag_views import (
    build_imagetag,
    build_imagetags,
    build_istag,
    build_istags,
    parse_tag_name,
    require_imagetag,
    require_istag,
    required_image_digest,
)
from models.streams.tags.tag_writes import (
    TagWrite,
    apply_imagetag_create,
    apply_imagetag_put,
    apply_istag_create,
    apply_istag_put,
    apply_tag_delete,
    current_imagetag,
    current_istag,
)
from models.streams.writes.stream_strategy import decorate

STREAM_BATCH_SIZE = 500
_TAG_JSON_PREFIX = f'{{"kind":"{STREAM_TAGS.kind}","apiVersion":"{STREAM_TAGS.api_version}",'


@dataclass(frozen=True, slots=True)
class _TagOperations:
    """The rules of one view (`models/streams`); `history` is how many events its list shows."""

    create: Callable[..., ImageStream]
    put: Callable[..., TagWrite]
    current: Callable[..., Wire]
    read: Callable[[ImageStream | None, str, str, Image | None], Wire]
    view: Callable[[ImageStream, str, Image | None], Wire]
    list: Callable[[ImageStream], Sequence[Wire]]
    history: int = 1


class _TagKind(Kind):
    """What both views share: the stream that they are views of."""

    _operations: _TagOperations

    def check_name(self, name: str) -> None:
        parse_tag_name(name, self.info.kind)

    def list_all(self, work: UnitOfWork, namespace: str) -> list[dict[str, Any]]:
        """Return every tag, sorted by namespace, stream and tag; images are not loaded."""
        found: list[dict[str, Any]] = []
        after = None
        while True:
            streams = list_streams(
                work.session,
                namespace=namespace or None,
                limit=STREAM_BATCH_SIZE,
                after=after,
                history=self._operations.history,
            )
            for stream in streams:
                decorated = decorate(stream, work.context.rules)
                found.extend(self.show(each) for each in self._operations.list(decorated))
            if len(streams) < STREAM_BATCH_SIZE:
                return found
            after = (streams[-1].metadata.namespace, streams[-1].metadata.name)

    def delete(
        self, work: UnitOfWork, namespace: str, name: str, options: DeleteOptions
    ) -> dict[str, Any]:
        stream_name, _ = parse_tag_name(name, self.info.kind)
        stream = self._load(work, namespace, stream_name, lock=True)
        new = apply_tag_delete(
            stream,
            name=name,
            kind=self.info.kind,
            uid=options.uid,
            resource_version=options.resource_version,
        )
        assert stream is not None
        save_stream_and_enqueue(
            work, stream, prepare_stream_write(work, stream, new, accept_status=True)
        )
        return build_success_status()

    def get(self, work: UnitOfWork, namespace: str, name: str) -> dict[str, Any]:
        stream_name, tag = parse_tag_name(name, self.info.kind)
        stream = self._load(work, namespace, stream_name)
        image = self._load_image_of(work, stream, tag)
        return self.show(self._operations.read(stream, stream_name, tag, image))

    def post(self, work: UnitOfWork, namespace: str, body: Wire) -> dict[str, Any]:
        metadata = prepare_metadata_create(
            metadata_of(body), namespace=namespace, suffix=random_suffix, now=work.now
        )
        name, _, tag = metadata.name.partition(":")
        old = self._load(work, namespace, name, lock=True)
        new = self._operations.create(
            old,
            body.replace(metadata=metadata),
            namespace=namespace,
            allow_list=work.context.rules.allow_list,
            check_meta=check_metadata,
        )
        return self._show_tag(work, self._save(work, namespace, old, new), tag or DEFAULT_TAG)

    def patch_base(self, work: UnitOfWork, namespace: str, name: str) -> dict[str, Any]:
        stream_name, _ = parse_tag_name(name, self.info.kind)
        stream = self._load(work, namespace, stream_name, lock=True)
        return self.show(self._operations.current(stream, namespace=namespace, name=name))

    def put(
        self, work: UnitOfWork, namespace: str, name: str, body: Wire, *, patched: bool = False
    ) -> tuple[dict[str, Any], bool]:
        stream_name, tag = parse_tag_name(name, self.info.kind)
        old = self._load(work, namespace, stream_name, lock=True)
        written = self._operations.put(
            old,
            body,
            namespace=namespace,
            name=name,
            allow_list=work.context.rules.allow_list,
            check_meta=check_metadata,
        )
        saved = self._save(work, namespace, old, written.stream)
        return self._show_tag(work, saved, tag), written.created

    def _show_tag(self, work: UnitOfWork, stream: ImageStream, tag: str) -> dict[str, Any]:
        return self.show(self._operations.view(stream, tag, self._load_image_of(work, stream, tag)))

    def _load(
        self, work: UnitOfWork, namespace: str, name: str, *, lock: bool = False
    ) -> ImageStream | None:
        found = load_stream(
            work.session, namespace, name, history=MAX_SHOWN_HISTORY, for_update=lock
        )
        return None if found is None else decorate(found, work.context.rules)

    def _save(
        self, work: UnitOfWork, namespace: str, old: ImageStream | None, new: ImageStream
    ) -> ImageStream:
        if old is None:
            require_namespace(work, self, ObjectMeta(name=new.metadata.name, namespace=namespace))
            require_access(
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
            saved = save_stream_and_enqueue(work, old, prepare_stream_write(work, old, new))
        except StreamConflictError as error:
            if old is None:
                raise ConcurrentCreateError(server_timeout_error("create", self.info)) from error
            raise
        if not work.dry_run:
            return saved
        version = "" if old is None else old.metadata.resource_version
        return saved.replace(metadata=saved.metadata.replace(resource_version=version))

    def _load_image_of(
        self, work: UnitOfWork, stream: ImageStream | None, tag: str
    ) -> Image | None:
        digest = required_image_digest(stream, tag)
        return load_image(work.session, digest) if digest else None


class StreamTagKind(_TagKind):
    """ImageStreamTag: one tag with the image that it points to."""

    info = STREAM_TAGS
    _operations = _TagOperations(
        create=apply_istag_create,
        put=apply_istag_put,
        current=current_istag,
        read=require_istag,
        view=build_istag,
        list=build_istags,
    )

    def get_json(self, context: ApiContext, namespace: str, name: str) -> str | None:
        stream, tag = parse_tag_name(name)
        with read_connection(context.engine) as connection:
            text = load_tag_text(connection, namespace, stream, tag)
        return None if text is None else f"{_TAG_JSON_PREFIX}{text}"


class ImageTagKind(_TagKind):
    """ImageTag: one tag's spec, history and image."""

    info = IMAGE_TAGS
    _operations = _TagOperations(
        create=apply_imagetag_create,
        put=apply_imagetag_put,
        current=current_imagetag,
        read=require_imagetag,
        view=build_imagetag,
        list=build_imagetags,
        history=MAX_SHOWN_HISTORY,
    )
