"""Builds a job's request from the command line, with the defaults of `oc import-image`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from models.errors import InvalidReferenceError, UsageError
from models.job_types import JobRequest, Priority
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
_TAG_PATTERN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", re.ASCII)
_SCHEME_PATTERN = re.compile(r"([a-z][a-z+.-]*)://", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """The options of one `tagstream import`."""

    reference: str
    to: str = ""
    namespace: str = "default"
    all_tags: bool = False
    scheduled: bool = False
    insecure: bool = False
    import_mode: str = ""
    reference_policy: str = "Source"
    dry_run: bool = False
    wants_response: bool = False


def build_job_request(
    options: ImportOptions, *, user: str, default_mode: str = "Legacy", max_tags: int = -1
) -> JobRequest:
    """Build the job's request. A reference without a tag means `latest`; the stream is named like
    the repository.

    `max_tags` limits how many tags `--all` may take. Without a `default_mode`, an import mode that
    was not given is left to the server.
    """
    source = parse_source(options.reference)
    stream, tag = _parse_target(options, source)
    metadata = check_name(stream, options.namespace)
    import_policy = _import_policy(options)
    reference_policy = TagReferencePolicy(type=options.reference_policy)
    if options.all_tags:
        spec = ImageStreamImportSpec(
            import_=not options.dry_run,
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
        spec = ImageStreamImportSpec(import_=not options.dry_run, images=[image])
    request = ImageStreamImport(metadata=metadata, spec=spec)
    return JobRequest(
        request=default_import(request, mode=default_mode) if default_mode else request,
        priority=Priority.BULK if options.all_tags else Priority.INTERACTIVE,
        user=user,
        max_tags=max_tags if options.all_tags else None,
        wants_response=options.wants_response,
    )


def parse_source(text: str) -> Reference:
    """Parse a reference from the command line. Raises UsageError with the form that is expected."""
    scheme = _SCHEME_PATTERN.match(text)
    if scheme is not None:
        raise UsageError(
            f"a reference has no scheme: leave out {scheme.group(0)!r} and write "
            "registry/repository:tag (for plain http use --insecure)"
        )
    try:
        source = Reference.parse(text)
    except InvalidReferenceError as error:
        raise UsageError(
            f"{_quote(text)} is not an image reference: {error.text}; write "
            "registry/repository:tag, like quay.io/team/app:1.2"
        ) from error
    if not source.name:
        raise UsageError(
            f"{_quote(text)} names a registry but no repository; write registry/repository:tag, "
            "like quay.io/team/app:1.2"
        )
    return source


def parse_destination(text: str) -> tuple[str, str]:
    """Parse `STREAM[:TAG]` into stream and tag; the tag is empty if it was not given."""
    name, colon, tag = text.partition(":")
    if not name or (colon and not tag):
        raise UsageError(f"{_quote(text)} is not a stream; write STREAM or STREAM:TAG")
    if tag and _TAG_PATTERN.fullmatch(tag) is None:
        raise UsageError(
            f"{_quote(tag)} is not a tag: up to 128 letters, digits, '_', '.' and '-', not "
            "beginning with '.' or '-'"
        )
    return name, tag


def check_name(stream: str, namespace: str) -> ObjectMeta:
    """Build the metadata of a stream. Raises UsageError if its name or namespace is invalid."""
    metadata = ObjectMeta(name=stream, namespace=namespace)
    for error in validate_stream_meta(metadata):
        if error.field == "metadata.namespace":
            raise UsageError(
                f"{_quote(namespace)} is not a namespace: up to 63 lower-case letters, digits and "
                "'-', beginning and ending with a letter or digit"
            )
        raise UsageError(
            f"{_quote(stream)} is not a stream name: lower-case letters and digits, separated by "
            "single '.', '_' or '-'; choose one with --to STREAM"
        )
    return metadata


def _parse_target(options: ImportOptions, source: Reference) -> tuple[str, str]:
    stream, tag = parse_destination(options.to) if options.to else ("", "")
    stream = stream or source.name.rpartition("/")[2]
    if not options.all_tags:
        return stream, tag or source.tag or DEFAULT_TAG
    if source.tag or source.id:
        written = f":{source.tag}" if source.tag else f"@{source.id}"
        raise UsageError(
            f"--all imports every tag of a repository: leave out {_quote(written)}, or --all"
        )
    if tag:
        raise UsageError(
            f"--all keeps every tag's own name: write --to {stream}, or leave out --all"
        )
    return stream, ""


def _import_policy(options: ImportOptions) -> TagImportPolicy:
    """Build the import policy; it has no import mode if none was given, so that the server's
    applies.
    """
    if options.import_mode:
        return TagImportPolicy(
            insecure=options.insecure, scheduled=options.scheduled, import_mode=options.import_mode
        )
    return TagImportPolicy(insecure=options.insecure, scheduled=options.scheduled)


def _quote(text: str) -> str:
    """Quote and shorten text of the command line; a possible password before a host is left out."""
    before, at, after = text.rpartition("@")
    if at and ":" in before and not after.startswith("sha"):
        text = f"…@{after}"
    return repr(text if len(text) <= 80 else f"{text[:77]}…")
