"""What makes a Secret a valid one (`api.md` E): its type's keys, its size, what may not change."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator

from models.api_errors import BadRequestError
from models.errors import FieldError, InvalidObjectError
from models.resources.meta import Secret

MOST_BYTES = 1024 * 1024
OPAQUE = "Opaque"
_KEY = re.compile(r"[-._a-zA-Z0-9]+", re.ASCII)
_KEY_REFUSED = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. "
    "'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
)
_LONGEST_KEY = 253
_ACCOUNT = "kubernetes.io/service-account.name"
_DOCUMENTS = {
    "kubernetes.io/dockerconfigjson": ".dockerconfigjson",
    "kubernetes.io/dockercfg": ".dockercfg",
}
_FROZEN = "field is immutable when `immutable` is set"


def prepare_secret(old: Secret | None, new: Secret) -> Secret:
    """The secret as it is stored: `stringData` folded in, the type filled in.

    Raises InvalidObjectError with every field that is wrong.
    """
    data = {**_normalised(new.data), **_encoded(new.string_data)}
    secret = new.replace(data=data, string_data={}, type=new.type or OPAQUE)
    errors = [*_check_keys(secret), *_check_type(secret)]
    if old is not None:
        errors.extend(_check_update(old, secret))
    if errors:
        raise InvalidObjectError(kind="Secret", name=new.metadata.name, errors=errors, group="")
    return secret


def _encoded(texts: dict[str, str]) -> dict[str, str]:
    return {
        key: base64.b64encode(text.encode("utf-8", "replace")).decode()
        for key, text in texts.items()
    }


def _normalised(data: dict[str, str]) -> dict[str, str]:
    """Go's reading of base64: line breaks do not count."""
    found: dict[str, str] = {}
    for key, text in data.items():
        try:
            raw = base64.b64decode((text or "").replace("\n", "").replace("\r", ""), validate=True)
        except (binascii.Error, ValueError):
            raise BadRequestError(
                'Secret in version "v1" cannot be handled as a Secret: illegal base64 data in '
                f'field "data.{key[:100]}"'
            ) from None
        found[key] = base64.b64encode(raw).decode()
    return found


def _check_keys(secret: Secret) -> Iterator[FieldError]:
    size = 0
    for key, text in secret.data.items():
        size += len(base64.b64decode(text))
        field = f"data[{key}]"
        if len(key) > _LONGEST_KEY:
            yield FieldError.invalid(field, key, f"must be no more than {_LONGEST_KEY} characters")
        if key in {".", ".."} or not _KEY.fullmatch(key):
            yield FieldError.invalid(field, key, _KEY_REFUSED)
    if size > MOST_BYTES:
        yield FieldError.too_long("data", MOST_BYTES)


def _check_type(secret: Secret) -> Iterator[FieldError]:
    kind, data = secret.type, secret.data
    document = _DOCUMENTS.get(kind)
    if document is not None:
        yield from _check_document(data, document)
    elif kind == "kubernetes.io/basic-auth":
        if not data.keys() & {"username", "password"}:
            yield FieldError.required("data[username]")
            yield FieldError.required("data[password]")
    elif kind == "kubernetes.io/ssh-auth":
        if not data.get("ssh-privatekey"):
            yield FieldError.required("data[ssh-privatekey]")
    elif kind == "kubernetes.io/tls":
        for key in ("tls.crt", "tls.key"):
            if key not in data:
                yield FieldError.required(f"data[{key}]")
    elif kind == "kubernetes.io/service-account-token" and not secret.metadata.annotations.get(
        _ACCOUNT
    ):
        yield FieldError.required(f"metadata.annotations[{_ACCOUNT}]")


def _check_document(data: dict[str, str], key: str) -> Iterator[FieldError]:
    field = f"data[{key}]"
    if key not in data:
        yield FieldError.required(field)
        return
    try:
        value = json.loads(base64.b64decode(data[key]))
        problem = "" if isinstance(value, dict) else "a JSON object is expected"
    except (ValueError, RecursionError):
        problem = "it is not JSON"
    if problem:
        yield FieldError.invalid(field, "<secret contents redacted>", problem)


def _check_update(old: Secret, new: Secret) -> Iterator[FieldError]:
    if new.type != (old.type or OPAQUE):
        yield FieldError.invalid("type", new.type, "field is immutable")
    if old.immutable:
        if not new.immutable:
            yield FieldError.forbidden("immutable", _FROZEN)
        if new.data != old.data:
            yield FieldError.forbidden("data", _FROZEN)
