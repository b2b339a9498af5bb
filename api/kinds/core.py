"""The kinds Namespace, Project and Secret (api-15.4, api-17.1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from api.kinds.kind_base import UnitOfWork, metadata_of
from api.kinds.stored_kind import StoredKind
from api.request.query_options import DeleteOptions
from api.secret_validation import prepare_secret
from api.served_resources import NAMESPACES, PROJECTS, SECRETS, ResourceInfo
from models.access.rbac import Caller, visible_namespaces
from models.errors import ForbiddenError
from models.resources.core import ACTIVE, Namespace, NamespaceSpec, NamespaceStatus, Project
from models.resources.meta import Secret
from models.resources.wire import Wire
from models.store.access.namespace_store import (
    count_namespaces,
    delete_namespace,
    list_namespaces,
    load_namespace,
    save_namespace,
)
from models.store.access.secret_store import (
    count_secrets,
    delete_secret,
    list_secrets,
    load_secret,
    save_secret,
)
from models.store.access.token_store import unbind_namespace

_PROTECTED_NAMESPACES = frozenset({"default", "kube-system", "kube-public"})
_NAME_LABEL = "kubernetes.io/metadata.name"


class NamespaceKind(StoredKind):
    """Namespace; deleting one deletes its contents first (api-17.3)."""

    info: ResourceInfo = NAMESPACES
    name_rule = "label"
    requires_resource_version = False
    selectable = ("metadata.name", "status.phase")

    def load(
        self,
        work: UnitOfWork,
        namespace: str,
        name: str,
        *,
        lock: bool = False,
    ) -> Wire | None:
        found = load_namespace(work.session, name, for_update=lock)
        return None if found is None else self._to_resource(found)

    def page(
        self,
        work: UnitOfWork,
        namespace: str,
        *,
        limit: int,
        after: tuple[str, str] | None,
    ) -> list[dict[str, Any]]:
        found = list_namespaces(work.session, limit=limit, after=after[1] if after else None)
        return [self.show(self._to_resource(each)) for each in found]

    def count(self, work: UnitOfWork, namespace: str, *, after: tuple[str, str] | None) -> int:
        return count_namespaces(work.session, after=after[1] if after else None)

    def check(self, work: UnitOfWork, old: Wire | None, new: Wire) -> Wire:
        metadata = metadata_of(new)
        labels = {**metadata.labels, _NAME_LABEL: metadata.name}
        new = new.replace(metadata=metadata.replace(labels=labels))
        if old is None:
            return new.replace(
                spec=NamespaceSpec(finalizers=["kubernetes"]), status=NamespaceStatus(phase=ACTIVE)
            )
        return new.replace(spec=old.spec, status=old.status)  # type: ignore[attr-defined]

    def save(self, work: UnitOfWork, old: Wire | None, new: Wire) -> Wire:
        old_namespace = None if old is None else _to_namespace(old)
        return self._to_resource(
            save_namespace(work.session, old_namespace, _to_namespace(new), now=work.now)
        )

    def remove(self, work: UnitOfWork, old: Wire) -> None:
        name = metadata_of(old).name
        delete_namespace(work.session, name, now=work.now)
        unbind_namespace(work.session, name)

    def delete(
        self, work: UnitOfWork, namespace: str, name: str, options: DeleteOptions
    ) -> dict[str, Any]:
        if name in _PROTECTED_NAMESPACES:
            raise ForbiddenError(
                "this namespace may not be deleted",
                resource=self.info.resource,
                name=name,
                group=self.info.group,
            )
        return super().delete(work, namespace, name, options)

    def fields(self, shown: Mapping[str, Any]) -> dict[str, str]:
        return super().fields(shown) | {"status.phase": shown["status"].get("phase", "")}

    def _to_resource(self, found: Namespace) -> Wire:
        return found


class ProjectKind(NamespaceKind):
    """Project: a namespace as OpenShift's clients see it.

    A list contains only those in which the caller has a role.
    """

    info = PROJECTS

    @property
    def log_kind(self) -> str:
        return NAMESPACES.kind

    @staticmethod
    def show_logged(logged: dict[str, Any]) -> dict[str, Any]:
        """Return a namespace of the change log as a project."""
        return {**logged, "kind": PROJECTS.kind, "apiVersion": PROJECTS.api_version}

    def visible_names(self, caller: Caller) -> set[str] | None:
        return visible_namespaces(caller)

    def page(
        self, work: UnitOfWork, namespace: str, *, limit: int, after: tuple[str, str] | None
    ) -> list[dict[str, Any]]:
        allowed_names = visible_namespaces(work.caller)
        if allowed_names is None:
            return super().page(work, namespace, limit=limit, after=after)
        names = sorted(name for name in allowed_names if after is None or name > after[1])
        found = (load_namespace(work.session, name) for name in names)
        return [self.show(self._to_resource(each)) for each in found if each is not None][:limit]

    def count(self, work: UnitOfWork, namespace: str, *, after: tuple[str, str] | None) -> int:
        if visible_namespaces(work.caller) is None:
            return super().count(work, namespace, after=after)
        return len(self.page(work, namespace, limit=1_000_000, after=after))

    def _to_resource(self, found: Namespace) -> Wire:
        return Project(metadata=found.metadata, spec=found.spec, status=found.status)


class SecretKind(StoredKind):
    """Secret, with its data in full for callers that may read it."""

    info = SECRETS
    name_rule = "subdomain"
    requires_resource_version = False
    selectable = ("metadata.name", "metadata.namespace", "type")

    def load(
        self, work: UnitOfWork, namespace: str, name: str, *, lock: bool = False
    ) -> Secret | None:
        return load_secret(
            work.session, namespace, name, cipher=work.context.cipher, for_update=lock
        )

    def page(
        self, work: UnitOfWork, namespace: str, *, limit: int, after: tuple[str, str] | None
    ) -> list[dict[str, Any]]:
        found = list_secrets(
            work.session, namespace or None, cipher=work.context.cipher, limit=limit, after=after
        )
        return [self.show(each) for each in found]

    def count(self, work: UnitOfWork, namespace: str, *, after: tuple[str, str] | None) -> int:
        return count_secrets(work.session, namespace or None, after=after)

    def check(self, work: UnitOfWork, old: Wire | None, new: Wire) -> Secret:
        assert isinstance(new, Secret)
        assert old is None or isinstance(old, Secret)
        return prepare_secret(old, new)

    def save(self, work: UnitOfWork, old: Wire | None, new: Wire) -> Secret:
        assert isinstance(new, Secret)
        if old is not None:
            # The row is locked, so the version that was read is the version that is replaced.
            version = metadata_of(old).resource_version
            new = new.replace(metadata=new.metadata.replace(resource_version=version))
        cipher = work.context.cipher
        return save_secret(work.session, new, cipher=cipher, now=work.now, must_create=old is None)

    def remove(self, work: UnitOfWork, old: Wire) -> None:
        metadata = metadata_of(old)
        delete_secret(work.session, metadata.namespace, metadata.name, now=work.now)

    def fields(self, shown: Mapping[str, Any]) -> dict[str, str]:
        return super().fields(shown) | {"type": shown.get("type", "")}


def _to_namespace(item: Wire) -> Namespace:
    assert isinstance(item, Namespace | Project)
    return Namespace(metadata=item.metadata, spec=item.spec, status=item.status)
