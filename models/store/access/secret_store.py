"""Secrets: encrypted at rest, read in full only by callers that hold the cipher."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import uuid4

from sqlalchemy import and_, delete, or_, update
from sqlalchemy.orm import Session

from models.errors import StoreError, StreamConflictError
from models.resources.meta import Secret
from models.store.access.namespace_store import ensure_namespace
from models.store.access.secret_mapping import (
    SECRET_KIND,
    SELECT_SECRETS,
    build_secret,
    sealed_content,
    sealed_wire,
    sealing_context,
    secret_values,
    unseal_row,
)
from models.store.changes.change_log import Change, Verb, record_changes
from models.store.changes.object_snapshots import ObjectKey, count_objects
from models.store.database.bulk_statements import AnyRow, insert_into, table_of
from models.store.database.cipher import Cipher
from models.store.database.db_errors import MODIFIED_MESSAGE
from models.store.database.object_metadata import parse_version
from models.store.schedule.credential_rechecks import recheck_refused
from models.store.tables.stored_secrets import SecretRow

PULL_SECRET_TYPES = ("kubernetes.io/dockerconfigjson", "kubernetes.io/dockercfg")
EXCLUDE_SECRET_ANNOTATION = "openshift.io/image.excludeSecret"  # noqa: S105 - not a password


def save_secret(
    session: Session, secret: Secret, *, cipher: Cipher, now: datetime, must_create: bool = False
) -> Secret:
    """Create or replace a secret; return what is stored now. An equal one is not written again.

    Raise StreamConflictError when a resource version in `secret` is not the stored one, and when
    the secret exists already although `must_create` is set.
    """
    metadata = secret.metadata
    namespace, name = metadata.namespace, metadata.name
    row = _load_row(session, namespace, name)
    if metadata.resource_version and (
        row is None or row.version != parse_version(metadata.resource_version)
    ):
        raise _conflict(name)
    if must_create and row is not None:
        raise _conflict(name)
    before = None
    if row is None:
        ensure_namespace(session, namespace, now=now)
        row = _insert(session, namespace, name, now=now)
    elif _is_unchanged(row, secret, cipher):
        return build_secret(row, sealed_content(secret))
    else:
        before = sealed_wire(row)
    content = sealed_content(secret)
    values: dict[str, Any] = secret_values(secret)
    values["sealed"] = cipher.seal(content, context=sealing_context(namespace, name, str(row.uid)))
    verb = Verb.ADDED if before is None else Verb.MODIFIED
    change = Change(SECRET_KIND, name, verb, namespace, before)
    recheck_refused(session, namespace, [secret], now=now)
    values["version"] = record_changes(session, [change], now=now)
    table = table_of(SecretRow)
    session.connection().execute(update(table).where(table.c.id == row.id).values(**values))
    saved = _load_row(session, namespace, name)
    assert saved is not None
    return build_secret(saved, content)


def load_secret(
    session: Session, namespace: str, name: str, *, cipher: Cipher, for_update: bool = False
) -> Secret | None:
    """Return the secret with its data; with `for_update`, block its other writers."""
    row = _load_row(session, namespace, name, for_update=for_update)
    return None if row is None else _build_unsealed(row, cipher)


def list_secrets(
    session: Session,
    namespace: str | None = None,
    *,
    cipher: Cipher | None = None,
    limit: int | None = None,
    after: ObjectKey | None = None,
) -> list[Secret]:
    """Return a page of the secrets of a namespace (None: all) in the order of namespace and name.

    Without a cipher they come without their data.
    """
    query = SELECT_SECRETS.order_by(SecretRow.namespace, SecretRow.name).limit(limit)
    if namespace is not None:
        query = query.where(SecretRow.namespace == namespace)
    if after is not None:
        is_later_in_namespace = and_(SecretRow.namespace == after[0], SecretRow.name > after[1])
        query = query.where(or_(SecretRow.namespace > after[0], is_later_in_namespace))
    rows = session.execute(query)
    return [
        build_secret(row, {}) if cipher is None else _build_unsealed(row, cipher) for row in rows
    ]


def count_secrets(
    session: Session, namespace: str | None = None, *, after: ObjectKey | None = None
) -> int:
    """Count the secrets after the key `after`."""
    return count_objects(session, SECRET_KIND, namespace=namespace, after=after)


def list_pull_secrets(session: Session, namespace: str, *, cipher: Cipher) -> list[Secret]:
    """Return the namespace's registry credentials, by name (imports-2.22, imports-2.23)."""
    query = SELECT_SECRETS.where(
        SecretRow.namespace == namespace, SecretRow.type.in_(PULL_SECRET_TYPES)
    )
    rows = session.execute(query.order_by(SecretRow.name))
    return [
        _build_unsealed(row, cipher)
        for row in rows
        if (row.annotations or {}).get(EXCLUDE_SECRET_ANNOTATION) != "true"
    ]


def delete_secret(session: Session, namespace: str, name: str, *, now: datetime) -> int:
    """Delete a secret, even if it cannot be decrypted; return the deletion's version, or 0."""
    row = _load_row(session, namespace, name)
    if row is None:
        return 0
    session.connection().execute(delete(SecretRow).where(SecretRow.id == row.id))
    change = Change(SECRET_KIND, name, Verb.DELETED, namespace, sealed_wire(row))
    recheck_refused(session, namespace, None, now=now)
    return record_changes(session, [change], now=now)


def reseal_secrets(session: Session, *, cipher: Cipher, limit: int = 500, after: int = 0) -> int:
    """Encrypt a page of secrets with the cipher's first key; return the last id, 0 at the end.

    The content stays the same, so neither versions nor the change log are affected.
    """
    query = SELECT_SECRETS.where(SecretRow.id > after).order_by(SecretRow.id).limit(limit)
    table = table_of(SecretRow)
    last = 0
    for row in session.execute(query.with_for_update()).all():
        context = sealing_context(row.namespace, row.name, str(row.uid))
        sealed = cipher.seal(unseal_row(row, cipher), context=context)
        session.connection().execute(
            update(table).where(table.c.id == row.id).values(sealed=sealed)
        )
        last = row.id
    return last


def _load_row(
    session: Session, namespace: str, name: str, *, for_update: bool = True
) -> AnyRow | None:
    query = SELECT_SECRETS.where(SecretRow.namespace == namespace, SecretRow.name == name)
    return session.execute(query.with_for_update() if for_update else query).one_or_none()


def _insert(session: Session, namespace: str, name: str, *, now: datetime) -> AnyRow:
    statement = insert_into(session, SecretRow).values(
        namespace=namespace, name=name, uid=uuid4(), created=now, version=0, type="", sealed=b""
    )
    insert = statement.on_conflict_do_nothing().returning(SecretRow.id)
    if session.connection().execute(insert).scalar_one_or_none() is None:
        raise _conflict(name)
    row = _load_row(session, namespace, name)
    assert row is not None
    return row


def _build_unsealed(row: AnyRow, cipher: Cipher) -> Secret:
    return build_secret(row, unseal_row(row, cipher))


def _is_unchanged(row: AnyRow, secret: Secret, cipher: Cipher) -> bool:
    """Return whether saving would change nothing. What cannot be decrypted is written again."""
    try:
        stored = _build_unsealed(row, cipher)
    except StoreError:
        return False
    is_equal = secret_values(stored) == secret_values(secret)
    return is_equal and sealed_content(stored) == sealed_content(secret)


def _conflict(name: str) -> StreamConflictError:
    return StreamConflictError(MODIFIED_MESSAGE, name=name, resource="secrets", group="")
