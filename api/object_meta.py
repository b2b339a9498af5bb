"""Object metadata: defaulting, validation, and the fields that only the server sets.

Clients may send every field; what the server owns is replaced (api-5.1, api-5.6, api-5.8).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import datetime

from models.api_errors import BadRequestError
from models.errors import FieldError
from models.images.image_validation import name_violations
from models.resources.meta import ObjectMeta
from models.streams.writes.stream_validation import INVALID_LABEL, LABEL_PATTERN

MAX_GENERATE_NAME_PREFIX = 58  # characters of a generateName before the five random ones
MAX_ANNOTATIONS_BYTES = 262_144
_FINALIZERS = {"kubernetes", "orphan", "foregroundDeletion"}

_STREAM = r"[a-z0-9]+(?:[._-][a-z0-9]+)*"
_SUBDOMAIN = rf"{LABEL_PATTERN}(\.{LABEL_PATTERN})*"
_QUALIFIED = r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_VALUE = rf"({_QUALIFIED})?"
_SUBDOMAIN_REFUSED = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or "
    "'.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used "
    f"for validation is '{_SUBDOMAIN}')"
)
_QUALIFIED_REFUSED = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
    "alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for "
    f"validation is '{_QUALIFIED}')"
)
_TOO_MANY_PARTS = (
    f"a qualified name {_QUALIFIED_REFUSED} with an optional DNS subdomain prefix and '/' (e.g. "
    "'example.com/MyName')"
)
_VALUE_REFUSED = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or "
    "'.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  "
    f"or '12345', regex used for validation is '{_VALUE}')"
)


def prepare_metadata_create(
    meta: ObjectMeta, *, namespace: str, suffix: Callable[[], str], now: datetime
) -> ObjectMeta:
    """Return the metadata of a new object, without the values that a client may not set.

    `namespace` is that of the URL, "" for a cluster-scoped kind. `suffix` returns the five random
    characters of a generated name. `managedFields` are those that the caller computed, or those of
    an object that a client received earlier and sends again.
    """
    check_namespace(meta, namespace)
    name = meta.name
    if not name and meta.generate_name:
        name = meta.generate_name[:MAX_GENERATE_NAME_PREFIX] + suffix()
    return meta.replace(
        name=name,
        namespace=namespace,
        uid="",
        resource_version="",
        generation=0,
        creation_timestamp=now,
        deletion_timestamp=None,
        managed_fields=[entry for entry in meta.managed_fields if entry],
    )


def check_namespace(meta: ObjectMeta, namespace: str) -> None:
    """Raise BadRequestError if an object names another namespace than its URL.

    An empty namespace is cluster scope.
    """
    if namespace and meta.namespace not in {"", namespace}:
        raise BadRequestError(
            "the namespace of the provided object does not match the namespace sent on the request"
        )


def prepare_metadata_update(old: ObjectMeta, sent: ObjectMeta) -> ObjectMeta:
    """Return the metadata of a replaced object; the server's fields stay as stored.

    Without `managedFields` the stored ones stay, `[{}]` clears them, as in Kubernetes.
    """
    managed = [entry for entry in sent.managed_fields if entry]
    return sent.replace(
        name=old.name,
        generate_name=old.generate_name,
        namespace=old.namespace,
        uid=old.uid,
        resource_version=old.resource_version,
        generation=old.generation,
        creation_timestamp=old.creation_timestamp,
        deletion_timestamp=old.deletion_timestamp,
        managed_fields=managed if sent.managed_fields else old.managed_fields,
    )


def validate_metadata(
    meta: ObjectMeta, *, rule: str, old: ObjectMeta | None = None
) -> list[FieldError]:
    """Return every error in an object's metadata.

    `rule` is the form of names: "segment" of a path, "stream", DNS "label" or "subdomain". With
    `old`, an object that is being deleted accepts no new finalizers.
    """
    errors = [*_check_names(meta, rule), *_check_labels(meta), *_check_annotations(meta)]
    for position, finalizer in enumerate(meta.finalizers):
        field = f"metadata.finalizers[{position}]"
        errors.extend(
            FieldError.invalid(field, finalizer, each) for each in finalizer_problems(finalizer)
        )
    if old is not None and old.deletion_timestamp is not None:
        added = [each for each in meta.finalizers if each not in old.finalizers]
        if added:
            shown = ", ".join(f'"{each}"' for each in added)
            detail = (
                "no new finalizers can be added if the object is being deleted, found new "
                f"finalizers []string{{{shown}}}"
            )
            errors.append(FieldError.forbidden("metadata.finalizers", detail))
    return errors


def check_metadata(meta: ObjectMeta) -> list[FieldError]:
    """Return every error in the metadata of a kind whose names only have to be path segments."""
    return validate_metadata(meta, rule="segment")


def _check_names(meta: ObjectMeta, rule: str) -> Iterator[FieldError]:
    if meta.generate_name:
        # A prefix may end with a separator, because five characters follow. Upstream rejects such
        # a prefix for streams (api-5.2).
        prefix = re.sub(r"[-._]$", "", meta.generate_name) or "a"
        for each in name_rule_problems(prefix, rule):
            yield FieldError.invalid("metadata.generateName", meta.generate_name, each)
    if not meta.name:
        yield FieldError.required("metadata.name", "name or generateName is required")
        return
    for each in name_rule_problems(meta.name, rule):
        yield FieldError.invalid("metadata.name", meta.name, each)
    if rule == "stream" and len(f"{meta.namespace}/{meta.name}") > 255:
        detail = "'namespace/name' cannot be longer than 255 characters"
        yield FieldError.invalid("metadata.name", meta.name, detail)


def name_rule_problems(name: str, rule: str) -> list[str]:
    """Return why `name` does not follow the rule; empty if it does."""
    match rule:
        case "stream":
            problems = name_violations(name)
            if not problems and not _matches(_STREAM, name):
                problems = [f'must match "{_STREAM}"']
            return problems
        case "label":
            return label_problems(name)
        case "subdomain":
            return subdomain_problems(name)
        case _:
            return name_violations(name)


def label_problems(name: str) -> list[str]:
    """Return why `name` is not a DNS label (RFC 1123); empty if it is."""
    problems = ["must be no more than 63 characters"] if len(name) > 63 else []
    return problems if _matches(LABEL_PATTERN, name) else [*problems, INVALID_LABEL]


def subdomain_problems(name: str) -> list[str]:
    """Return why `name` is not a DNS subdomain (RFC 1123); empty if it is."""
    problems = ["must be no more than 253 characters"] if len(name) > 253 else []
    return problems if _matches(_SUBDOMAIN, name) else [*problems, _SUBDOMAIN_REFUSED]


def qualified_name_problems(name: str) -> list[str]:
    """Return why `name` is not a label key (`name` or `prefix.io/name`); empty if it is."""
    prefix, slash, base = name.rpartition("/")
    if "/" in prefix:
        return [_TOO_MANY_PARTS]
    problems: list[str] = []
    if slash and not prefix:
        problems.append("prefix part must be non-empty")
    elif slash:
        problems.extend(f"prefix part {each}" for each in subdomain_problems(prefix))
    if not base:
        problems.append("name part must be non-empty")
    elif len(base) > 63:
        problems.append("name part must be no more than 63 characters")
    if not _matches(_QUALIFIED, base):
        problems.append(f"name part {_QUALIFIED_REFUSED}")
    return problems


def label_value_problems(value: str) -> list[str]:
    """Return why `value` is not a label value; empty if it is."""
    problems = ["must be no more than 63 characters"] if len(value) > 63 else []
    return problems if _matches(_VALUE, value) else [*problems, _VALUE_REFUSED]


def finalizer_problems(name: str) -> list[str]:
    """Return why `name` is not a finalizer; empty if it is."""
    problems = qualified_name_problems(name)
    if "/" not in name and name not in _FINALIZERS:
        problems.append("name is neither a standard finalizer name nor is it fully qualified")
    return problems


def _check_labels(meta: ObjectMeta) -> Iterator[FieldError]:
    field = "metadata.labels"
    for name, value in meta.labels.items():
        for each in qualified_name_problems(name):
            yield FieldError.invalid(field, name, each)
        for each in label_value_problems(value):
            yield FieldError.invalid(field, value, each)


def _check_annotations(meta: ObjectMeta) -> Iterator[FieldError]:
    field = "metadata.annotations"
    for name in meta.annotations:
        for each in qualified_name_problems(name.lower()):
            yield FieldError.invalid(field, name, each)
    size = sum(_byte_length(name) + _byte_length(value) for name, value in meta.annotations.items())
    if size > MAX_ANNOTATIONS_BYTES:
        yield FieldError.too_long(field, MAX_ANNOTATIONS_BYTES)


def _byte_length(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


def _matches(pattern: str, text: str) -> bool:
    return re.fullmatch(pattern, text, re.ASCII) is not None
