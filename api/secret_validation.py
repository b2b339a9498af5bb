"""Validation of Secrets: the keys of each type, the size, immutable fields (api-17.4, api-17.5)."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator

from models.api_errors import BadRequestError
from models.errors import FieldError, InvalidObjectError
from models.resources.meta import Secret

MAX_SECRET_BYTES = 1024 * 1024
OPAQUE = "Opaque"
_KEY_PATTERN = re.compile(r"[-._a-zA-Z0-9]+", re.ASCII)
_INVALID_KEY = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. "
    "'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
)
_MAX_KEY_LENGTH = 253
_SERVICE_ACCOUNT_ANNOTATION = "kubernetes.io/service-account.name"
_DOCKER_CONFIG_KEYS = {
    "kubernetes.io/dockerconfigjson": ".dockerconfigjson",
    "kubernetes.io/dockercfg": ".dockercfg",
}
_IMMUTABLE_MESSAGE = "field is immutable when `immutable` is set"


def prepare_secret(old: Secret | None, new: Secret) -> Secret:
    """Return the secret in its stored form: `stringData` merged into `data`, the type defaulted.

    Raises InvalidObjectError with every invalid field, BadRequestError for data that is not base64.
    """
    data = {**_normalize_data(new.data), **_encode_string_data(new.string_data)}
    secret = new.replace(data=data, string_data={}, type=new.type or OPAQUE)
    errors = [*_check_keys(secret), *_check_type(secret)]
    if old is not None:
        errors.extend(_check_update(old, secret))
    if errors:
        raise InvalidObjectError(kind="Secret", name=new.metadata.name, errors=errors, group="")
    return secret


def _encode_string_data(texts: dict[str, str]) -> dict[str, str]:
    return {
        key: base64.b64encode(text.encode("utf-8", "replace")).decode()
        for key, text in texts.items()
    }


def _normalize_data(data: dict[str, str]) -> dict[str, str]:
    """Return data in canonical base64. Line breaks are ignored, as Go's decoder does."""
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
        if len(key) > _MAX_KEY_LENGTH:
            yield FieldError.invalid(
                field, key, f"must be no more than {_MAX_KEY_LENGTH} characters"
            )
        if key in {".", ".."} or not _KEY_PATTERN.fullmatch(key):
            yield FieldError.invalid(field, key, _INVALID_KEY)
    if size > MAX_SECRET_BYTES:
        yield FieldError.too_long("data", MAX_SECRET_BYTES)


def _check_type(secret: Secret) -> Iterator[FieldError]:
    kind, data = secret.type, secret.data
    document = _DOCKER_CONFIG_KEYS.get(kind)
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
        _SERVICE_ACCOUNT_ANNOTATION
    ):
        yield FieldError.required(f"metadata.annotations[{_SERVICE_ACCOUNT_ANNOTATION}]")


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
            yield FieldError.forbidden("immutable", _IMMUTABLE_MESSAGE)
        if new.data != old.data:
            yield FieldError.forbidden("data", _IMMUTABLE_MESSAGE)
