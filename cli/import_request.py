"""What was typed becomes a job's request, with the defaults that `oc import-image` users expect."""

from __future__ import annotations

import re
from dataclasses import dataclass

from models.errors import InvalidReferenceError, UsageError
from models.job_types import JobRequest, Lane
from models.reference import DEFAULT_TAG, Reference
from models.resources.imports import (
    ImageImportSpec,
    ImageStreamImport,
    ImageStreamImportSpec,
    LocalObjectReference,
    RepositoryImportSpec,
)
from models.resources.meta import ObjectMeta, ObjectReference
from models.resources.stream import TagImportPolicy, TagReferencePolicy
from models.streams.writes.object_defaults import default_import
from models.streams.writes.stream_validation import validate_stream_meta

DOCKER_IMAGE = "DockerImage"
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", re.ASCII)
_SCHEME = re.compile(r"([a-z][a-z+.-]*)://", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Wish:
    """The words of one `tagstream import`."""

    reference: str
    to: str = ""
    namespace: str = "default"
    whole: bool = False
    scheduled: bool = False
    insecure: bool = False
    import_mode: str = ""
    reference_policy: str = "Source"
    dry_run: bool = False
    wants_answer: bool = False


def build_request(
    wish: Wish, *, user: str, default_mode: str = "Legacy", ceiling: int = -1
) -> JobRequest:
    """The job's request. `ceiling` is the most tags that `--all` may take; without a
    `default_mode` what nobody typed is left to whoever carries the request.

    A reference without a tag means `latest`, and the stream is named like the repository.
    """
    source = parse_source(wish.reference)
    stream, tag = _destination(wish, source)
    metadata = check_name(stream, wish.namespace)
    import_policy = _import_policy(wish)
    reference_policy = TagReferencePolicy(type=wish.reference_policy)
    if wish.whole:
        spec = ImageStreamImportSpec(
            import_=not wish.dry_run,
            repository=RepositoryImportSpec(
                from_=ObjectReference(kind=DOCKER_IMAGE, name=source.exact()),
                import_policy=import_policy,
                reference_policy=reference_policy,
            ),
        )
    else:
        image = ImageImportSpec(
            from_=ObjectReference(kind=DOCKER_IMAGE, name=source.exact()),
            to=LocalObjectReference(name=tag),
            import_policy=import_policy,
            reference_policy=reference_policy,
        )
        spec = ImageStreamImportSpec(import_=not wish.dry_run, images=[image])
    request = ImageStreamImport(metadata=metadata, spec=spec)
    return JobRequest(
        request=default_import(request, mode=default_mode) if default_mode else request,
        lane=Lane.BULK if wish.whole else Lane.INTERACTIVE,
        user=user,
        max_tags=ceiling if wish.whole else None,
        wants_answer=wish.wants_answer,
    )


def parse_source(text: str) -> Reference:
    """The reference that was typed. UsageError says what is wrong with it and what to write."""
    scheme = _SCHEME.match(text)
    if scheme is not None:
        raise UsageError(
            f"a reference has no scheme: leave out {scheme.group(0)!r} and write "
            "registry/repository:tag (for plain http say --insecure)"
        )
    try:
        source = Reference.parse(text)
    except InvalidReferenceError as error:
        raise UsageError(
            f"{_shown(text)} is not an image reference: {error.text}; write "
            "registry/repository:tag, like quay.io/team/app:1.2"
        ) from error
    if not source.name:
        raise UsageError(
            f"{_shown(text)} names a registry but no repository; write registry/repository:tag, "
            "like quay.io/team/app:1.2"
        )
    return source


def parse_destination(text: str) -> tuple[str, str]:
    """Stream and tag of `STREAM[:TAG]`; the tag is empty where none was written."""
    name, colon, tag = text.partition(":")
    if not name or (colon and not tag):
        raise UsageError(f"{_shown(text)} is not a stream; write STREAM or STREAM:TAG")
    if tag and _TAG.fullmatch(tag) is None:
        raise UsageError(
            f"{_shown(tag)} is not a tag: up to 128 letters, digits, '_', '.' and '-', not "
            "beginning with '.' or '-'"
        )
    return name, tag


def check_name(stream: str, namespace: str) -> ObjectMeta:
    """The metadata that names a stream. UsageError says which of the two cannot be a name."""
    metadata = ObjectMeta(name=stream, namespace=namespace)
    for error in validate_stream_meta(metadata):
        if error.field == "metadata.namespace":
            raise UsageError(
                f"{_shown(namespace)} is not a namespace: up to 63 lower-case letters, digits and "
                "'-', beginning and ending with a letter or digit"
            )
        raise UsageError(
            f"{_shown(stream)} is not a stream name: lower-case letters and digits, parted by "
            "single '.', '_' or '-'; choose one with --to STREAM"
        )
    return metadata


def _destination(wish: Wish, source: Reference) -> tuple[str, str]:
    stream, tag = parse_destination(wish.to) if wish.to else ("", "")
    stream = stream or source.name.rpartition("/")[2]
    if not wish.whole:
        return stream, tag or source.tag or DEFAULT_TAG
    if source.tag or source.id:
        written = f":{source.tag}" if source.tag else f"@{source.id}"
        raise UsageError(
            f"--all imports every tag of a repository: leave out {_shown(written)}, or --all"
        )
    if tag:
        raise UsageError(
            f"--all keeps every tag's own name: write --to {stream}, or leave out --all"
        )
    return stream, ""


def _import_policy(wish: Wish) -> TagImportPolicy:
    """Without an import mode of its own where none was typed, so that the server's holds."""
    if wish.import_mode:
        return TagImportPolicy(
            insecure=wish.insecure, scheduled=wish.scheduled, import_mode=wish.import_mode
        )
    return TagImportPolicy(insecure=wish.insecure, scheduled=wish.scheduled)


def _shown(text: str) -> str:
    """What was typed, quoted and short; what could be a password before a host is left out."""
    before, at, after = text.rpartition("@")
    if at and ":" in before and not after.startswith("sha"):
        text = f"…@{after}"
    return repr(text if len(text) <= 80 else f"{text[:77]}…")
