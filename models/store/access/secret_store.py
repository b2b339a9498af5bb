"""Secrets: encrypted at rest, read in full only by the store's callers that hold the cipher."""

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
    KIND,
    SECRETS,
    build_secret,
    closed_wire,
    place_of,
    sealed_content,
    secret_values,
    unseal,
)
from models.store.changes.change_log import Change, Verb, record_changes
from models.store.changes.object_snapshots import Key, count_objects
from models.store.database.bulk_statements import AnyRow, insert_into, table_of
from models.store.database.cipher import Cipher
from models.store.database.db_errors import MODIFIED
from models.store.database.object_metadata import parse_version
from models.store.schedule.schedule_writes import wake_refused
from models.store.tables.secrets import SecretRow

PULL_TYPES = ("kubernetes.io/dockerconfigjson", "kubernetes.io/dockercfg")
EXCLUDED = "openshift.io/image.excludeSecret"


def save_secret(
    session: Session, secret: Secret, *, cipher: Cipher, now: datetime, fresh: bool = False
) -> Secret:
    """Create or replace a secret; as it is stored now. An equal one is not written again.

    StreamConflictError where a resource version in `secret` is not the stored one, and where a
    `fresh` secret is there already.
    """
    metadata = secret.metadata
    namespace, name = metadata.namespace, metadata.name
    row = _find(session, namespace, name)
    if metadata.resource_version and (
        row is None or row.version != parse_version(metadata.resource_version)
    ):
        raise _moved(name)
    if fresh and row is not None:
        raise _moved(name)
    before = None
    if row is None:
        ensure_namespace(session, namespace, now=now)
        row = _insert(session, namespace, name, now=now)
    elif _is_stored(row, secret, cipher):
        return build_secret(row, sealed_content(secret))
    else:
        before = closed_wire(row)
    content = sealed_content(secret)
    values: dict[str, Any] = secret_values(secret)
    values["sealed"] = cipher.seal(content, place=place_of(namespace, name, str(row.uid)))
    verb = Verb.ADDED if before is None else Verb.MODIFIED
    change = Change(KIND, name, verb, namespace, before)
    wake_refused(session, namespace, [secret], now=now)
    values["version"] = record_changes(session, [change], now=now)
    table = table_of(SecretRow)
    session.connection().execute(update(table).where(table.c.id == row.id).values(**values))
    saved = _find(session, namespace, name)
    assert saved is not None
    return build_secret(saved, content)


def load_secret(
    session: Session, namespace: str, name: str, *, cipher: Cipher, for_update: bool = False
) -> Secret | None:
    """The secret with its data; `for_update` keeps other writers of it waiting."""
    row = _find(session, namespace, name, for_update=for_update)
    return None if row is None else _open(row, cipher)


def list_secrets(
    session: Session,
    namespace: str | None = None,
    *,
    cipher: Cipher | None = None,
    limit: int | None = None,
    after: Key | None = None,
) -> list[Secret]:
    """A page of the secrets of a namespace (None: of all) in the order of namespace and name.

    Without a cipher they come without their data.
    """
    wanted = SECRETS.order_by(SecretRow.namespace, SecretRow.name).limit(limit)
    if namespace is not None:
        wanted = wanted.where(SecretRow.namespace == namespace)
    if after is not None:
        same = and_(SecretRow.namespace == after[0], SecretRow.name > after[1])
        wanted = wanted.where(or_(SecretRow.namespace > after[0], same))
    rows = session.execute(wanted)
    return [build_secret(row, {}) if cipher is None else _open(row, cipher) for row in rows]


def count_secrets(
    session: Session, namespace: str | None = None, *, after: Key | None = None
) -> int:
    """How many secrets lie behind `after`."""
    return count_objects(session, KIND, namespace=namespace, after=after)


def pull_secrets(session: Session, namespace: str, *, cipher: Cipher) -> list[Secret]:
    """The namespace's registry credentials, in the order of names (`import.md` 2.6)."""
    wanted = SECRETS.where(SecretRow.namespace == namespace, SecretRow.type.in_(PULL_TYPES))
    rows = session.execute(wanted.order_by(SecretRow.name))
    return [_open(row, cipher) for row in rows if (row.annotations or {}).get(EXCLUDED) != "true"]


def delete_secret(session: Session, namespace: str, name: str, *, now: datetime) -> int:
    """Remove a secret, whether it can be read or not; the deletion's version, 0: there is none."""
    row = _find(session, namespace, name)
    if row is None:
        return 0
    session.connection().execute(delete(SecretRow).where(SecretRow.id == row.id))
    change = Change(KIND, name, Verb.DELETED, namespace, closed_wire(row))
    wake_refused(session, namespace, None, now=now)
    return record_changes(session, [change], now=now)


def reseal_secrets(session: Session, *, cipher: Cipher, limit: int = 500, after: int = 0) -> int:
    """Seal a page of secrets under the cipher's first key; the last id done, 0 at the end.

    What is sealed stays the same, so neither versions nor changes move.
    """
    wanted = SECRETS.where(SecretRow.id > after).order_by(SecretRow.id).limit(limit)
    table = table_of(SecretRow)
    last = 0
    for row in session.execute(wanted.with_for_update()).all():
        place = place_of(row.namespace, row.name, str(row.uid))
        sealed = cipher.seal(unseal(row, cipher), place=place)
        session.connection().execute(
            update(table).where(table.c.id == row.id).values(sealed=sealed)
        )
        last = row.id
    return last


def _find(session: Session, namespace: str, name: str, *, for_update: bool = True) -> AnyRow | None:
    wanted = SECRETS.where(SecretRow.namespace == namespace, SecretRow.name == name)
    return session.execute(wanted.with_for_update() if for_update else wanted).one_or_none()


def _insert(session: Session, namespace: str, name: str, *, now: datetime) -> AnyRow:
    statement = insert_into(session, SecretRow).values(
        namespace=namespace, name=name, uid=uuid4(), created=now, version=0, type="", sealed=b""
    )
    added = statement.on_conflict_do_nothing().returning(SecretRow.id)
    if session.connection().execute(added).scalar_one_or_none() is None:
        raise _moved(name)
    row = _find(session, namespace, name)
    assert row is not None
    return row


def _open(row: AnyRow, cipher: Cipher) -> Secret:
    return build_secret(row, unseal(row, cipher))


def _is_stored(row: AnyRow, secret: Secret, cipher: Cipher) -> bool:
    """Whether nothing would change. What cannot be decrypted any more is written anew."""
    try:
        stored = _open(row, cipher)
    except StoreError:
        return False
    same = secret_values(stored) == secret_values(secret)
    return same and sealed_content(stored) == sealed_content(secret)


def _moved(name: str) -> StreamConflictError:
    return StreamConflictError(MODIFIED, name=name, resource="secrets", group="")
