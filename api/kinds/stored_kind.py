"""Kinds that have rows of their own: what the generic verbs do to them (`api.md` C5 to C14)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

from api.api_context import House
from api.codec.storage_conversion import open_stored
from api.kinds.kind_base import Kind, Work, metadata_of, random_suffix
from api.object_meta import prepare_metadata_create, prepare_metadata_update, validate_metadata
from api.request.object_selectors import FieldSelector
from api.request.query_options import DeleteOptions
from api.response.http_response import status_success
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
from models.store.access.namespace_store import hold_namespace
from models.store.database.db_errors import MODIFIED

GENERATED_TRIES = 8
PrintedItem = tuple[tuple[str, str], str]  # namespace and name; JSON without kind and apiVersion


class StoredKind(Kind):
    """Rows of its own: `load`, `page`, `check`, `save` and `remove` are what a kind adds."""

    name_rule = "segment"
    show_logged: Callable[[dict[str, Any]], dict[str, Any]] | None = None
    save_tells = False  # whether saving something new tells that it was there already
    needs_version = True  # whether a PUT has to name the version that it replaces (C7)

    @abstractmethod
    def load(self, work: Work, namespace: str, name: str, *, lock: bool = False) -> Wire | None:
        """The stored object; with `lock` nobody else writes it until the transaction ends."""

    @abstractmethod
    def page(
        self, work: Work, namespace: str, *, limit: int, after: tuple[str, str] | None
    ) -> list[dict[str, Any]]:
        """The next shown objects in the order of namespace and name; no namespace: of all."""

    def print_page(
        self, work: Work, namespace: str, *, limit: int, after: tuple[str, str] | None
    ) -> list[PrintedItem] | None:
        """The same page as JSON, where there is a quick way to it; None: take the other."""
        return None

    def narrowed(self, wanted: FieldSelector) -> StoredKind:
        """The same kind, whose pages may leave out what `wanted` does not match anyway."""
        return self

    @property
    def logged_as(self) -> str:
        """The kind under which the log of changes has it."""
        return self.info.kind

    def visible(self, caller: Caller) -> set[str] | None:
        """The names that the caller may see; None: all."""
        return None

    def show_stored(self, house: House, stored: dict[str, Any]) -> dict[str, Any]:
        """The shown form of what the store has printed already."""
        info = self.info
        opened = open_stored(info.kind, stored, rules=house.rules, cipher=house.cipher)
        return {"kind": info.kind, "apiVersion": info.api_version, **opened}

    @abstractmethod
    def count(self, work: Work, namespace: str, *, after: tuple[str, str] | None) -> int:
        """How many objects lie behind `after`."""

    @abstractmethod
    def check(self, work: Work, old: Wire | None, new: Wire) -> Wire:
        """The object as the kind's own rules make it. InvalidObjectError where they refuse it."""

    @abstractmethod
    def save(self, work: Work, old: Wire | None, new: Wire) -> Wire:
        """Write it; StreamConflictError where the stored object is no longer `old`."""

    @abstractmethod
    def remove(self, work: Work, old: Wire) -> None:
        """Delete it."""

    # -- verbs --

    def get(self, work: Work, namespace: str, name: str) -> dict[str, Any]:
        found = self.load(work, namespace, name)
        if found is None:
            raise self.not_found(name)
        return self.show(found)

    def post(self, work: Work, namespace: str, body: Wire) -> dict[str, Any]:
        generated = not metadata_of(body).name and bool(metadata_of(body).generate_name)
        for attempt in range(GENERATED_TRIES if generated else 1):
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
                if attempt == GENERATED_TRIES - 1:
                    raise _not_unique(error) from None
        raise AssertionError("unreachable")

    def put(
        self, work: Work, namespace: str, name: str, body: Wire, *, patched: bool = False
    ) -> tuple[dict[str, Any], bool]:
        old = self.hold(work, namespace, name)
        if old is None:
            raise self.not_found(name)
        sent = metadata_of(body)
        self._check_identity(old, sent, patched=patched)
        metadata = prepare_metadata_update(metadata_of(old), sent)
        new = self._checked(work, old, body.replace(metadata=metadata))
        if metadata.deletion_timestamp is not None and not metadata.finalizers:
            self.remove(work, old)
            return self.show(new), False
        return self._shown(work, old, self.save(work, old, new)), False

    def base(self, work: Work, namespace: str, name: str) -> dict[str, Any]:
        old = self.hold(work, namespace, name)
        if old is None:
            raise self.not_found(name)
        return self.show(old)

    def delete(
        self, work: Work, namespace: str, name: str, options: DeleteOptions
    ) -> dict[str, Any]:
        old = self.hold(work, namespace, name)
        if old is None:
            raise self.not_found(name)
        check_preconditions(self, old, options)
        return self.delete_loaded(work, old)

    def delete_loaded(self, work: Work, old: Wire) -> dict[str, Any]:
        """Delete it, or mark it as being deleted while it has finalizers (C12)."""
        metadata = metadata_of(old)
        if metadata.finalizers:
            if metadata.deletion_timestamp is not None:
                return self.show(old)
            generation = metadata.generation + 1 if metadata.generation else 0
            marked = metadata.replace(deletion_timestamp=work.now, generation=generation)
            return self._shown(work, old, self.save(work, old, old.replace(metadata=marked)))
        self.remove(work, old)
        details = {
            "name": metadata.name,
            "group": self.info.group,
            "kind": self.info.resource,
            "uid": metadata.uid,
        }
        return status_success({key: value for key, value in details.items() if value})

    # -- steps --

    def hold(self, work: Work, namespace: str, name: str) -> Wire | None:
        """The object, read once and locked until the transaction ends."""
        key = (self.info.kind, namespace, name)
        if key not in work.held:
            work.held[key] = self.load(work, namespace, name, lock=True)
        return work.held[key]

    def _create(self, work: Work, new: Wire) -> dict[str, Any]:
        metadata = metadata_of(new)
        require_namespace(work, self, metadata)
        new = self._checked(work, None, new)
        if not self.save_tells:
            old = self.load(work, metadata.namespace, metadata.name)
            if old is not None:
                raise self._exists(metadata, old)
        try:
            return self._shown(work, None, self.save(work, None, new))
        except StreamConflictError:
            old = self.load(work, metadata.namespace, metadata.name)
            raise self._exists(metadata, old) from None

    def _shown(self, work: Work, old: Wire | None, saved: Wire) -> dict[str, Any]:
        """What was saved; a trial gives out no new version (C10)."""
        if work.dry_run:
            version = "" if old is None else metadata_of(old).resource_version
            metadata = metadata_of(saved).replace(resource_version=version)
            saved = saved.replace(metadata=metadata)
        return self.show(saved)

    def _checked(self, work: Work, old: Wire | None, new: Wire) -> Wire:
        """The object by all the rules, those of its metadata first; all refusals together."""
        before = None if old is None else metadata_of(old)
        errors = validate_metadata(metadata_of(new), rule=self.name_rule, old=before)
        try:
            new = self.check(work, old, new)
        except InvalidObjectError as error:
            raise self._refusal(new, [*errors, *error.errors]) from error
        if errors:
            raise self._refusal(new, errors)
        return new

    def _refusal(self, new: Wire, errors: list[FieldError]) -> InvalidObjectError:
        return InvalidObjectError(
            kind=self.info.kind,
            name=metadata_of(new).name,
            errors=errors,
            group=self.info.group,
        )

    def _exists(self, metadata: ObjectMeta, old: Wire | None) -> AlreadyExistsError:
        error = AlreadyExistsError(
            resource=self.info.resource, name=metadata.name, group=self.info.group
        )
        if old is not None and metadata_of(old).deletion_timestamp is not None:
            error.text = f"object is being deleted: {error.text}"
        return error

    def _check_identity(self, old: Wire, sent: ObjectMeta, *, patched: bool) -> None:
        """Whether a body may replace what is stored: its uid and version say of what (C7)."""
        stored = metadata_of(old)
        if sent.uid and sent.uid != stored.uid:
            if patched:
                error = FieldError.invalid("metadata.uid", sent.uid, "field is immutable")
                raise self._refusal(old, [error])
            raise self._conflict(
                stored.name,
                f"Precondition failed: UID in precondition: {sent.uid}, "
                f"UID in object meta: {stored.uid}",
            )
        version = sent.resource_version
        if not version:
            if self.needs_version and not patched:
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
            raise self._conflict(stored.name, MODIFIED)

    def _conflict(self, name: str, detail: str) -> StreamConflictError:
        return StreamConflictError(
            detail,
            name=name,
            resource=self.info.resource.partition("/")[0],
            group=self.info.group,
        )


def require_namespace(work: Work, kind: Kind, metadata: ObjectMeta) -> None:
    """New things need a live namespace (`api.md` C2)."""
    if not kind.info.namespaced:
        return
    namespace = hold_namespace(work.session, metadata.namespace)
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
    """The delete's own conditions on uid and version (C12)."""
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
    for word, wanted, stored, what in pairs:
        if wanted and wanted != stored:
            raise StreamConflictError(
                f"the {word} in the precondition ({wanted}) does not match the {word} in record "
                f"({stored}). The object might have {what}",
                name=metadata.name,
                resource=kind.info.kind,
                group=kind.info.group,
            )


def _not_unique(error: AlreadyExistsError) -> AlreadyExistsError:
    error.text += ", the server was not able to generate a unique name for the object"
    return error
