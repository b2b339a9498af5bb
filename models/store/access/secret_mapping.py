"""Conversion between a Secret and its row, and the sealed form in which the undo log keeps it.

A sealed secret is its wire form without `data`, with `sealed` instead: the encrypted column of the
row, bound to namespace, name and uid. Only `unseal_wire` makes it readable.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from sqlalchemy import select

from models.resources.meta import ObjectMeta, Secret
from models.store.database.bulk_statements import AnyRow
from models.store.database.cipher import Cipher
from models.store.database.object_metadata import metadata_without_columns
from models.store.tables.stored_secrets import SecretRow

SECRET_KIND = "Secret"  # noqa: S105 - not a password
SELECT_SECRETS = select(
    SecretRow.id,
    SecretRow.namespace,
    SecretRow.name,
    SecretRow.uid,
    SecretRow.version,
    SecretRow.created,
    SecretRow.type,
    SecretRow.labels,
    SecretRow.annotations,
    SecretRow.rest,
    SecretRow.sealed,
)
# Clients write the whole secret into this annotation, so it is sealed like the data. No key of
# a secret's data may hold a slash, which is how the two are told apart.
_LAST_APPLIED_ANNOTATION = "kubectl.kubernetes.io/last-applied-configuration"
_SEALED_KEY = "sealed"


def secret_values(secret: Secret) -> dict[str, Any]:
    """Return the columns of a secret that a write may change, without the sealed one."""
    metadata = secret.metadata
    annotations = {
        key: text for key, text in metadata.annotations.items() if key != _LAST_APPLIED_ANNOTATION
    }
    rest = metadata_without_columns(metadata)
    if secret.immutable:
        rest["immutable"] = True
    return {
        "type": secret.type or "Opaque",
        "labels": metadata.labels or None,
        "annotations": annotations or None,
        "rest": rest or None,
    }


def sealed_content(secret: Secret) -> dict[str, str]:
    """Return the parts of a secret that must not be readable in the database."""
    last_applied = secret.metadata.annotations.get(_LAST_APPLIED_ANNOTATION)
    return (
        dict(secret.data)
        if last_applied is None
        else {**secret.data, _LAST_APPLIED_ANNOTATION: last_applied}
    )


def build_secret(row: AnyRow, content: Mapping[str, str]) -> Secret:
    """Build the secret from a row of SELECT_SECRETS and its decrypted content (empty: no data)."""
    annotations = dict(row.annotations or {})
    if _LAST_APPLIED_ANNOTATION in content:
        annotations[_LAST_APPLIED_ANNOTATION] = content[_LAST_APPLIED_ANNOTATION]
    rest = dict(row.rest or {})
    immutable = rest.pop("immutable", False)
    return Secret(
        metadata=ObjectMeta(
            name=row.name,
            namespace=row.namespace,
            uid=str(row.uid),
            resource_version=str(row.version),
            creation_timestamp=row.created,
            labels=row.labels or {},
            annotations=annotations,
            **rest,
        ),
        data={key: text for key, text in content.items() if key != _LAST_APPLIED_ANNOTATION},
        type=row.type,
        immutable=immutable,
    )


def unseal_row(row: AnyRow, cipher: Cipher) -> dict[str, str]:
    """Return the decrypted content of a row of SELECT_SECRETS.

    Raise StoreError when it cannot be decrypted.
    """
    return cipher.unseal(row.sealed, context=sealing_context(row.namespace, row.name, str(row.uid)))


def sealing_context(namespace: str, name: str, uid: str) -> str:
    """Return the identity of a secret, which is sealed with its content (see Cipher)."""
    return f"{namespace}/{name} ({uid})"


def sealed_wire(row: AnyRow) -> dict[str, Any]:
    """Return the sealed form of a row of SELECT_SECRETS."""
    sealed = base64.b64encode(row.sealed).decode("ascii")
    return {**build_secret(row, {}).wire(), _SEALED_KEY: sealed}


def unseal_wire(wire: dict[str, Any], cipher: Cipher) -> dict[str, Any]:
    """Return the wire form of a sealed secret; any other object is returned unchanged.

    Raise StoreError when the key is lost.
    """
    if _SEALED_KEY not in wire:
        return wire
    metadata = wire["metadata"]
    context = sealing_context(metadata["namespace"], metadata["name"], metadata["uid"])
    content = cipher.unseal(base64.b64decode(wire[_SEALED_KEY]), context=context)
    unsealed = {key: value for key, value in wire.items() if key != _SEALED_KEY}
    last_applied = content.pop(_LAST_APPLIED_ANNOTATION, None)
    if last_applied is not None:
        annotations = {**metadata.get("annotations", {}), _LAST_APPLIED_ANNOTATION: last_applied}
        unsealed["metadata"] = {**metadata, "annotations": annotations}
    if content:
        unsealed["data"] = content
    return unsealed
