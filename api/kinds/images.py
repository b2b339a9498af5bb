"""The kinds Image and ImageSignature, which is stored inside its Image (api-21.1, api-22.1)."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from api.kinds.kind_base import Kind, UnitOfWork, metadata_of
from api.kinds.stored_kind import StoredKind
from api.request.query_options import DeleteOptions
from api.response.http_response import build_success_status
from api.served_resources import IMAGES, SIGNATURES
from models.api_errors import BadRequestError
from models.errors import FieldError, InvalidObjectError, StreamConflictError
from models.images.image_strategy import (
    add_signature,
    prepare_image_create,
    prepare_image_update,
    remove_signature,
)
from models.images.image_validation import parse_signature_name
from models.resources.image import Image, ImageSignature
from models.resources.wire import Wire
from models.store.database.db_errors import MODIFIED_MESSAGE
from models.store.images.image_store import (
    count_images,
    delete_image,
    list_images,
    load_image,
    save_images,
    update_image,
)


class ImageKind(StoredKind):
    """Image, cluster-scoped; a write never changes what the image's digest covers (api-21.7)."""

    info = IMAGES

    def load(
        self, work: UnitOfWork, namespace: str, name: str, *, lock: bool = False
    ) -> Image | None:
        return load_image(work.session, name, for_update=lock)

    def page(
        self,
        work: UnitOfWork,
        namespace: str,
        *,
        limit: int,
        after: tuple[str, str] | None,
    ) -> list[dict[str, Any]]:
        found = list_images(work.session, limit=limit, after=after[1] if after else None)
        return [self.show(each) for each in found]

    def count(self, work: UnitOfWork, namespace: str, *, after: tuple[str, str] | None) -> int:
        return count_images(work.session, after=after[1] if after else None)

    def check(self, work: UnitOfWork, old: Wire | None, new: Wire) -> Image:
        assert isinstance(new, Image)
        if old is None:
            return prepare_image_create(new, now=work.now)
        assert isinstance(old, Image)
        return prepare_image_update(old, new, now=work.now)

    def save(self, work: UnitOfWork, old: Wire | None, new: Wire) -> Image:
        assert isinstance(new, Image)
        if old is None:
            if not save_images(work.session, [new], now=work.now):
                raise StreamConflictError(
                    MODIFIED_MESSAGE, name=new.name, resource=self.info.resource
                )
            stored = load_image(work.session, new.name)
            assert stored is not None
            return stored
        assert isinstance(old, Image)
        return update_image(work.session, old, new, now=work.now)

    def remove(self, work: UnitOfWork, old: Wire) -> None:
        assert isinstance(old, Image)
        delete_image(work.session, old.name, now=work.now)


class SignatureKind(Kind):
    """ImageSignature: create and delete only. The caller needs no right on the image."""

    info = SIGNATURES
    has_table = False

    def check_name(self, name: str) -> None:
        """Raise BadRequestError unless the name is `<image>@<signature>` (api-19.1)."""
        if parse_signature_name(name) is None:
            raise BadRequestError(
                "ImageSignatures must be accessed with <imageName>@<signatureName>"
            )

    def post(self, work: UnitOfWork, namespace: str, body: Wire) -> dict[str, Any]:
        assert isinstance(body, ImageSignature)
        metadata = metadata_of(body)
        if not metadata.name:
            raise InvalidObjectError(
                kind="ImageSignature",
                name="",
                errors=[FieldError.required("metadata.name")],
            )
        parsed = parse_signature_name(metadata.name)
        old = None if parsed is None else load_image(work.session, parsed[0], for_update=True)
        new = add_signature(old, body, str(uuid4()), work.now)
        assert old is not None
        saved = update_image(work.session, old, new, now=work.now)
        stored = next(each for each in saved.signatures if each.metadata.name == metadata.name)
        return self.show(stored)

    def delete(
        self,
        work: UnitOfWork,
        namespace: str,
        name: str,
        options: DeleteOptions,
    ) -> dict[str, Any]:
        parsed = parse_signature_name(name)
        assert parsed is not None
        old = load_image(work.session, parsed[0], for_update=True)
        new = remove_signature(old, name)
        assert old is not None
        update_image(work.session, old, new, now=work.now)
        return build_success_status()
