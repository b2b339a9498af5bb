"""Kinds with stored rows: what the generic verbs do to them (api-6.5, api-10.1)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

from api.api_context import ApiContext
from api.codec.storage_conversion import convert_stored
from api.kinds.kind_base import Kind, UnitOfWork, metadata_of, random_suffix
from api.object_meta import prepare_metadata_create, prepare_metadata_update, validate_metadata
from api.request.object_selectors import FieldSelector
from api.request.query_options import DeleteOptions
from api.response.http_response import build_success_status
from models.access.rbac import Caller
from models.api_errors import BadRequestError
from models.errors import (
    AlreadyExistsError,
    FieldError,
    ForbiddenError,
    InvalidObjectError,
    NotFoundError,
    StreamConflictError,
)
from models.resources.core import TERMINATING
from models.resources.meta import ObjectMeta
from models.resources.wire import Wire
from models.store.access.namespace_store import lock_namespace
from models.store.database.db_errors import MODIFIED_MESSAGE

MAX_GENERATE_NAME_ATTEMPTS = 8
JsonItem = tuple[tuple[str, str], str]  # namespace and name; JSON without kind and apiVersion


class StoredKind(Kind):
    """A kind with rows of its own; it implements `load`, `page`, `check`, `save` and `remove`."""

    name_rule = "segment"
    show_logged: Callable[[dict[str, Any]], dict[str, Any]] | None = None
    save_detects_existing = False  # whether `save` of a new object raises if it exists already
    requires_resource_version = True  # whether a PUT must name the version it replaces (api-6.6)

    @abstractmethod
    def load(
        self, work: UnitOfWork, namespace: str, name: str, *, lock: bool = False
    ) -> Wire | None:
        """Return the stored object; `lock` locks its row until the transaction ends."""

    @abstractmethod
    def page(
        self, work: UnitOfWork, namespace: str, *, limit: int, after: tuple[str, str] | None
    ) -> list[dict[str, Any]]:
        """Return the next shown objects by namespace and name; an empty namespace means all."""

    def page_json(
        self, work: UnitOfWork, namespace: str, *, limit: int, after: tuple[str, str] | None
    ) -> list[JsonItem] | None:
        """Return the same page as JSON texts, or None if there is no fast path."""
        return None

    def narrow(self, field_selector: FieldSelector) -> StoredKind:
        """Return a kind whose pages may leave out objects that `field_selector` does not match."""
        return self

    @property
    def log_kind(self) -> str:
        """Return the kind under which the change log records the objects."""
        return self.info.kind

    def visible_names(self, caller: Caller) -> set[str] | None:
        """Return the names that the caller may see; None means all."""
        return None

    def show_stored(self, context: ApiContext, stored: dict[str, Any]) -> dict[str, Any]:
        """Return the shown form of a stored wire object."""
        info = self.info
        converted = convert_stored(info.kind, stored, rules=context.rules, cipher=context.cipher)
        return {"kind": info.kind, "apiVersion": info.api_version, **converted}

    @abstractmethod
    def count(self, work: UnitOfWork, namespace: str, *, after: tuple[str, str] | None) -> int:
        """Return how many objects follow `after`."""

    @abstractmethod
    def check(self, work: UnitOfWork, old: Wire | None, new: Wire) -> Wire:
        """Return the object defaulted and validated by the kind's own rules.

        Raises InvalidObjectError with every error.
        """

    @abstractmethod
    def save(self, work: UnitOfWork, old: Wire | None, new: Wire) -> Wire:
        """Write the object. Raises StreamConflictError if the stored object is no longer `old`."""

    @abstractmethod
    def remove(self, work: UnitOfWork, old: Wire) -> None:
        """Delete the object."""

    # -- verbs --

    def get(self, work: UnitOfWork, namespace: str, name: str) -> dict[str, Any]:
        found = self.load(work, namespace, name)
        if found is None:
            raise self.not_found(name)
        return self.show(found)

    def post(self, work: UnitOfWork, namespace: str, body: Wire) -> dict[str, Any]:
        generated = not metadata_of(body).name and bool(metadata_of(body).generate_name)
        for attempt in range(MAX_GENERATE_NAME_ATTEMPTS if generated else 1):
            metadata = prepare_metadata_create(
                metadata_of(body),
                namespace=namespace if self.info.namespaced else "",
                suffix=random_suffix,
                now=work.now,
            )
            try:
                return self._create(work, body.replace(metadata=metadata))
            except AlreadyExistsError as error:
                if not generated:
                    raise
                if attempt == MAX_GENERATE_NAME_ATTEMPTS - 1:
                    raise _name_generation_failed(error) from None
        raise AssertionError("unreachable")

    def put(
        self, work: UnitOfWork, namespace: str, name: str, body: Wire, *, patched: bool = False
    ) -> tuple[dict[str, Any], bool]:
        old = self.load_locked(work, namespace, name)
        if old is None:
            raise self.not_found(name)
        sent = metadata_of(body)
        self._check_identity(old, sent, patched=patched)
        metadata = prepare_metadata_update(metadata_of(old), sent)
        new = self._prepare_and_validate(work, old, body.replace(metadata=metadata))
        if metadata.deletion_timestamp is not None and not metadata.finalizers:
            self.remove(work, old)
            return self.show(new), False
        return self._show_saved(work, old, self.save(work, old, new)), False

    def patch_base(self, work: UnitOfWork, namespace: str, name: str) -> dict[str, Any]:
        old = self.load_locked(work, namespace, name)
        if old is None:
            raise self.not_found(name)
        return self.show(old)

    def delete(
        self, work: UnitOfWork, namespace: str, name: str, options: DeleteOptions
    ) -> dict[str, Any]:
        old = self.load_locked(work, namespace, name)
        if old is None:
            raise self.not_found(name)
        check_preconditions(self, old, options)
        return self.delete_loaded(work, old)

    def delete_loaded(self, work: UnitOfWork, old: Wire) -> dict[str, Any]:
        """Delete the object, or set its deletionTimestamp while it has finalizers (api-10.4)."""
        metadata = metadata_of(old)
        if metadata.finalizers:
            if metadata.deletion_timestamp is not None:
                return self.show(old)
            generation = metadata.generation + 1 if metadata.generation else 0
            marked = metadata.replace(deletion_timestamp=work.now, generation=generation)
            return self._show_saved(work, old, self.save(work, old, old.replace(metadata=marked)))
        self.remove(work, old)
        details = {
            "name": metadata.name,
            "group": self.info.group,
            "kind": self.info.resource,
            "uid": metadata.uid,
        }
        return build_success_status({key: value for key, value in details.items() if value})

    # -- steps --

    def load_locked(self, work: UnitOfWork, namespace: str, name: str) -> Wire | None:
        """Return the object, read once and locked until the transaction ends."""
        key = (self.info.kind, namespace, name)
        if key not in work.locked:
            work.locked[key] = self.load(work, namespace, name, lock=True)
        return work.locked[key]

    def _create(self, work: UnitOfWork, new: Wire) -> dict[str, Any]:
        metadata = metadata_of(new)
        require_namespace(work, self, metadata)
        new = self._prepare_and_validate(work, None, new)
        if not self.save_detects_existing:
            old = self.load(work, metadata.namespace, metadata.name)
            if old is not None:
                raise self._already_exists_error(metadata, old)
        try:
            return self._show_saved(work, None, self.save(work, None, new))
        except StreamConflictError:
            old = self.load(work, metadata.namespace, metadata.name)
            raise self._already_exists_error(metadata, old) from None

    def _show_saved(self, work: UnitOfWork, old: Wire | None, saved: Wire) -> dict[str, Any]:
        """Return what was saved; a dry run issues no new version (api-9.1)."""
        if work.dry_run:
            version = "" if old is None else metadata_of(old).resource_version
            metadata = metadata_of(saved).replace(resource_version=version)
            saved = saved.replace(metadata=metadata)
        return self.show(saved)

    def _prepare_and_validate(self, work: UnitOfWork, old: Wire | None, new: Wire) -> Wire:
        """Return the object after all rules, metadata first.

        Raises InvalidObjectError with all errors together.
        """
        old_metadata = None if old is None else metadata_of(old)
        errors = validate_metadata(metadata_of(new), rule=self.name_rule, old=old_metadata)
        try:
            new = self.check(work, old, new)
        except InvalidObjectError as error:
            raise self._invalid_error(new, [*errors, *error.errors]) from error
        if errors:
            raise self._invalid_error(new, errors)
        return new

    def _invalid_error(self, new: Wire, errors: list[FieldError]) -> InvalidObjectError:
        return InvalidObjectError(
            kind=self.info.kind,
            name=metadata_of(new).name,
            errors=errors,
            group=self.info.group,
        )

    def _already_exists_error(self, metadata: ObjectMeta, old: Wire | None) -> AlreadyExistsError:
        error = AlreadyExistsError(
            resource=self.info.resource, name=metadata.name, group=self.info.group
        )
        if old is not None and metadata_of(old).deletion_timestamp is not None:
            error.text = f"object is being deleted: {error.text}"
        return error

    def _check_identity(self, old: Wire, sent: ObjectMeta, *, patched: bool) -> None:
        """Raise unless uid and resourceVersion of a body allow it to replace the stored object.

        Source: api-5.4, api-6.7.
        """
        stored = metadata_of(old)
        if sent.uid and sent.uid != stored.uid:
            if patched:
                error = FieldError.invalid("metadata.uid", sent.uid, "field is immutable")
                raise self._invalid_error(old, [error])
            raise self._conflict_error(
                stored.name,
                f"Precondition failed: UID in precondition: {sent.uid}, "
                f"UID in object meta: {stored.uid}",
            )
        version = sent.resource_version
        if not version:
            if self.requires_resource_version and not patched:
                raise InvalidObjectError(
                    kind=self.info.resource.partition("/")[0],
                    name=stored.name,
                    errors=[
                        FieldError.invalid(
                            "metadata.resourceVersion", 0, "must be specified for an update"
                        )
                    ],
                    group=self.info.group,
                )
            return
        if not (version.isascii() and version.isdigit()):
            raise BadRequestError(
                f'invalid resource version: metadata.resourceVersion: Invalid value: "{version}": '
                "must be a number"
            )
        if version != stored.resource_version:
            raise self._conflict_error(stored.name, MODIFIED_MESSAGE)

    def _conflict_error(self, name: str, detail: str) -> StreamConflictError:
        return StreamConflictError(
            detail,
            name=name,
            resource=self.info.resource.partition("/")[0],
            group=self.info.group,
        )


def require_namespace(work: UnitOfWork, kind: Kind, metadata: ObjectMeta) -> None:
    """Raise unless the namespace of a new object exists and is not terminating (api-2.8)."""
    if not kind.info.namespaced:
        return
    namespace = lock_namespace(work.session, metadata.namespace)
    if namespace is None:
        raise NotFoundError(resource="namespaces", name=metadata.namespace, group="")
    if namespace.status.phase == TERMINATING:
        raise ForbiddenError(
            f"unable to create new content in namespace {metadata.namespace} because it is being "
            "terminated",
            resource=kind.info.resource,
            name=metadata.name,
            group=kind.info.group,
        )


def check_preconditions(kind: Kind, old: Wire, options: DeleteOptions) -> None:
    """Raise StreamConflictError unless uid and version of DeleteOptions are the stored ones.

    Source: api-10.2.
    """
    metadata = metadata_of(old)
    pairs = (
        ("UID", options.uid, metadata.uid, "been deleted and then recreated"),
        (
            "ResourceVersion",
            options.resource_version,
            metadata.resource_version,
            "been modified",
        ),
    )
    for condition, expected, stored, explanation in pairs:
        if expected and expected != stored:
            raise StreamConflictError(
                f"the {condition} in the precondition ({expected}) does not match the {condition} "
                f"in record ({stored}). The object might have {explanation}",
                name=metadata.name,
                resource=kind.info.kind,
                group=kind.info.group,
            )


def _name_generation_failed(error: AlreadyExistsError) -> AlreadyExistsError:
    error.text += ", the server was not able to generate a unique name for the object"
    return error
