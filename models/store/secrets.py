"""Secrets: encrypted at rest, read in full only by the store's callers that hold the cipher."""

from __future__ import annotations

from datetime import datetime
from uuid import uuid4

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from models.errors import StoreError, StreamConflictError
from models.resources.meta import Secret
from models.store.bulk import insert_into
from models.store.changes import Change, Verb, record_changes
from models.store.cipher import Cipher
from models.store.failures import MODIFIED
from models.store.metadata import parse_version, rare_metadata
from models.store.tables.secrets import SecretRow

KIND = "Secret"
PULL_TYPES = ("kubernetes.io/dockerconfigjson", "kubernetes.io/dockercfg")
EXCLUDED = "openshift.io/image.excludeSecret"


def save_secret(session: Session, secret: Secret, *, cipher: Cipher, now: datetime) -> Secret:
    """Create or replace a secret; as it is stored now. An equal one is not written again.

    A resource version in `secret` has to be the stored one (StreamConflictError), none will do.
    """
    metadata = secret.metadata
    row = _find(session, metadata.namespace, metadata.name)
    if metadata.resource_version and (
        row is None or row.version != parse_version(metadata.resource_version)
    ):
        raise StreamConflictError(MODIFIED, name=metadata.name, resource="secrets", group="")
    verb = Verb.ADDED if row is None else Verb.MODIFIED
    if row is None:
        row = _insert(session, secret, now=now)
    elif _is_stored(row, secret, cipher):
        return _build(row, secret.data)
    row.type = secret.type or "Opaque"
    row.labels = metadata.labels or None
    row.annotations = metadata.annotations or None
    row.rest = rare_metadata(metadata) or None
    row.sealed = cipher.seal(secret.data, place=_place(row))
    change = Change(KIND, metadata.name, verb, metadata.namespace)
    row.version = record_changes(session, [change], now=now)
    session.flush()
    return _build(row, secret.data)


def load_secret(session: Session, namespace: str, name: str, *, cipher: Cipher) -> Secret | None:
    """The secret with its data."""
    wanted = select(SecretRow).where(SecretRow.namespace == namespace, SecretRow.name == name)
    row = session.scalars(wanted).one_or_none()
    return None if row is None else _open(row, cipher)


def list_secrets(session: Session, namespace: str | None = None) -> list[Secret]:
    """Every secret of a namespace (None: of all), without its data, in the order of names."""
    wanted = select(SecretRow).order_by(SecretRow.namespace, SecretRow.name)
    if namespace is not None:
        wanted = wanted.where(SecretRow.namespace == namespace)
    return [_build(row, {}) for row in session.scalars(wanted)]


def pull_secrets(session: Session, namespace: str, *, cipher: Cipher) -> list[Secret]:
    """The namespace's registry credentials, in the order of names (`import.md` 2.6)."""
    wanted = (
        select(SecretRow)
        .where(SecretRow.namespace == namespace, SecretRow.type.in_(PULL_TYPES))
        .order_by(SecretRow.name)
    )
    rows = session.scalars(wanted)
    return [_open(row, cipher) for row in rows if (row.annotations or {}).get(EXCLUDED) != "true"]


def delete_secret(session: Session, namespace: str, name: str, *, now: datetime) -> bool:
    """Remove a secret; False where there is none."""
    here = (SecretRow.namespace == namespace, SecretRow.name == name)
    if session.connection().execute(delete(SecretRow).where(*here)).rowcount == 0:
        return False
    record_changes(session, [Change(KIND, name, Verb.DELETED, namespace)], now=now)
    return True


def reseal_secrets(session: Session, *, cipher: Cipher, limit: int = 500, after: int = 0) -> int:
    """Seal a page of secrets under the cipher's first key; the last id done, 0 at the end.

    What is sealed stays the same, so neither versions nor changes move.
    """
    wanted = select(SecretRow).where(SecretRow.id > after).order_by(SecretRow.id).limit(limit)
    last = 0
    for row in session.scalars(wanted.with_for_update()):
        place = _place(row)
        row.sealed = cipher.seal(cipher.unseal(row.sealed, place=place), place=place)
        last = row.id
    session.flush()
    return last


def _find(session: Session, namespace: str, name: str) -> SecretRow | None:
    wanted = select(SecretRow).where(SecretRow.namespace == namespace, SecretRow.name == name)
    return session.scalars(wanted.with_for_update()).one_or_none()


def _insert(session: Session, secret: Secret, *, now: datetime) -> SecretRow:
    metadata = secret.metadata
    statement = insert_into(session, SecretRow).values(
        namespace=metadata.namespace,
        name=metadata.name,
        uid=uuid4(),
        created=now,
        version=0,
        type="",
        sealed=b"",
    )
    added = statement.on_conflict_do_nothing().returning(SecretRow.id)
    found: int | None = session.connection().execute(added).scalar_one_or_none()
    if found is None:
        raise StreamConflictError(MODIFIED, name=metadata.name, resource="secrets", group="")
    return session.get_one(SecretRow, found)


def _open(row: SecretRow, cipher: Cipher) -> Secret:
    return _build(row, cipher.unseal(row.sealed, place=_place(row)))


def _build(row: SecretRow, data: dict[str, str]) -> Secret:
    return Secret.model_validate(
        {
            "metadata": {
                "name": row.name,
                "namespace": row.namespace,
                "uid": str(row.uid),
                "resource_version": str(row.version),
                "creation_timestamp": row.created,
                "labels": row.labels or {},
                "annotations": row.annotations or {},
                **(row.rest or {}),
            },
            "data": data,
            "type": row.type,
        }
    )


def _is_stored(row: SecretRow, secret: Secret, cipher: Cipher) -> bool:
    """Whether nothing would change. What cannot be decrypted any more is written anew."""
    try:
        stored = _open(row, cipher)
    except StoreError:
        return False
    return _content(stored) == _content(secret)


def _content(secret: Secret) -> dict[str, object]:
    """What counts when two secrets are compared: not who wrote them when."""
    metadata = secret.metadata
    return {
        "type": secret.type or "Opaque",
        "data": secret.data,
        "labels": metadata.labels,
        "annotations": metadata.annotations,
        "rest": rare_metadata(metadata),
    }


def _place(row: SecretRow) -> str:
    return f"{row.namespace}/{row.name} ({row.uid})"
