"""Between a Secret and its row, and the closed form in which the undo log keeps it.

A closed secret is its wire without `data`, and `sealed` in its stead: what the row held, under the
store's cipher and bound to its place. Only `open_secret` makes it readable.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from sqlalchemy import select

from models.resources.meta import ObjectMeta, Secret
from models.store.database.bulk_statements import AnyRow
from models.store.database.cipher import Cipher
from models.store.database.object_metadata import rare_metadata
from models.store.tables.secrets import SecretRow

KIND = "Secret"
SECRETS = select(
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
_TELLTALE = "kubectl.kubernetes.io/last-applied-configuration"
_SEALED = "sealed"


def secret_values(secret: Secret) -> dict[str, Any]:
    """The columns of a secret that a write may change, all but what is sealed."""
    metadata = secret.metadata
    annotations = {key: text for key, text in metadata.annotations.items() if key != _TELLTALE}
    rest = rare_metadata(metadata)
    if secret.immutable:
        rest["immutable"] = True
    return {
        "type": secret.type or "Opaque",
        "labels": metadata.labels or None,
        "annotations": annotations or None,
        "rest": rest or None,
    }


def sealed_content(secret: Secret) -> dict[str, str]:
    """What of a secret nobody may read in the database."""
    told = secret.metadata.annotations.get(_TELLTALE)
    return dict(secret.data) if told is None else {**secret.data, _TELLTALE: told}


def build_secret(row: AnyRow, content: Mapping[str, str]) -> Secret:
    """The secret of a row of SECRETS and of what was sealed in it (nothing: without its data)."""
    annotations = dict(row.annotations or {})
    if _TELLTALE in content:
        annotations[_TELLTALE] = content[_TELLTALE]
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
        data={key: text for key, text in content.items() if key != _TELLTALE},
        type=row.type,
        immutable=immutable,
    )


def unseal(row: AnyRow, cipher: Cipher) -> dict[str, str]:
    """What is sealed in a row of SECRETS. StoreError when it does not open."""
    return cipher.unseal(row.sealed, place=place_of(row.namespace, row.name, str(row.uid)))


def place_of(namespace: str, name: str, uid: str) -> str:
    """Where a secret's content belongs; sealed with it, so that it opens nowhere else."""
    return f"{namespace}/{name} ({uid})"


def closed_wire(row: AnyRow) -> dict[str, Any]:
    """The closed form of a row of SECRETS."""
    sealed = base64.b64encode(row.sealed).decode("ascii")
    return {**build_secret(row, {}).wire(), _SEALED: sealed}


def open_secret(wire: dict[str, Any], cipher: Cipher) -> dict[str, Any]:
    """The wire of a closed secret; any other comes back as it is. StoreError: lost key."""
    if _SEALED not in wire:
        return wire
    metadata = wire["metadata"]
    place = place_of(metadata["namespace"], metadata["name"], metadata["uid"])
    content = cipher.unseal(base64.b64decode(wire[_SEALED]), place=place)
    opened = {key: value for key, value in wire.items() if key != _SEALED}
    told = content.pop(_TELLTALE, None)
    if told is not None:
        annotations = {**metadata.get("annotations", {}), _TELLTALE: told}
        opened["metadata"] = {**metadata, "annotations": annotations}
    if content:
        opened["data"] = content
    return opened
