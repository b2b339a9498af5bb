"""Reports a finished import: a row for every tag on stdout, the reasons of failures on stderr."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from cli.rendering.formatting import (
    format_count,
    format_size,
    join_some,
    platforms_of,
    short_digest,
)
from cli.rendering.output import (
    Cell,
    as_object,
    print_columns,
    print_document,
    print_message,
    print_names,
)
from models.job_types import Job, JobState, TargetOutcome, TargetResult
from models.resources.meta import API_VERSION

if TYPE_CHECKING:
    from cli.backend.base_backend import Backend
    from models.resources.image import Image

EXIT_IMPORT_FAILED = 1
EXIT_WITH_ERRORS = 3
MAX_REPORTED_FAILURES = 20
LOGIN_REQUIRED_CODE = "auth.required"
LOGIN_HINT = "hint: save a pull secret: tagstream secret create"


def exit_code(jobs: Iterable[Job]) -> int:
    """Return the exit code of the worst job: 0 done, 1 failed, 3 done with errors."""
    code = 0
    for job in jobs:
        if not _has_result(job):
            return EXIT_IMPORT_FAILED
        if job.with_errors:
            code = EXIT_WITH_ERRORS
    return code


def print_import(backend: Backend, job: Job, style: str, *, seconds: float) -> None:
    """Print one finished import."""
    if _has_result(job):
        _print_result(backend, job, style)
    print_failures(job)
    print_message(format_summary(job, seconds=seconds), style=_summary_style(job))


def print_failures(job: Job) -> None:
    """Print why things failed on stderr, one line each; a hint follows if a login is required."""
    result = job.result
    if result.error is not None and job.state is not JobState.CANCELLED:
        print_message(f"failed: {result.error.get('message', '')}", style="red")
    if result.listing is not None:
        print_message(f"failed: the list of tags: {result.listing.get('message', '')}", style="red")
    failed = [target for target in result.targets if target.outcome is TargetOutcome.FAILED]
    for target in failed[:MAX_REPORTED_FAILURES]:
        name = f"{job.request.stream}:{target.to or target.tag}"
        code = f" ({target.code})" if target.code else ""
        print_message(f"failed: {name}: {target.message or target.reason}{code}", style="red")
    if len(failed) > MAX_REPORTED_FAILURES:
        rest = format_count(len(failed) - MAX_REPORTED_FAILURES, "more failure")
        print_message(f"{rest}; see `tagstream get jobs {job.id} -o yaml`", style="red")
    if any(target.code == LOGIN_REQUIRED_CODE for target in failed):
        print_message(LOGIN_HINT, style="yellow")
    for warning in result.warnings:
        print_message(f"note: {warning}", style="yellow")
    if result.additional_tags:
        print_message(
            f"note: {format_count(len(result.additional_tags), 'tag')} skipped: over the limit of "
            "tags"
        )


def format_summary(job: Job, *, seconds: float | None = None) -> str:
    """Format the last line of a report."""
    result, destination = job.result, f"{job.request.namespace}/{job.request.stream}"
    duration = "" if seconds is None else f" in {seconds:.1f} s"
    if job.state is JobState.CANCELLED:
        return f"cancelled: nothing of this import was written to {destination}"
    if not _has_result(job):
        return f"import into {destination} {job.state.value}"
    dry_run = not job.request.request.spec.import_
    parts = [f"{format_count(result.tags_imported, 'tag')} {'fetched' if dry_run else 'imported'}"]
    if not dry_run:
        parts[0] += f" ({result.tags_new:,} new, {result.tags_updated:,} updated)"
    if result.tags_failed:
        parts.append(f"{result.tags_failed:,} failed")
    suffix = " (dry run: nothing stored)" if dry_run else f" into {destination}"
    return f"{', '.join(parts)}{suffix}{duration}"


def _has_result(job: Job) -> bool:
    """Return whether the import ran to its end, even if every tag failed."""
    return job.state in {JobState.SUCCEEDED, JobState.FAILED} and job.result.error is None


def _summary_style(job: Job) -> str:
    if job.state is not JobState.SUCCEEDED:
        return "red"
    return "yellow" if job.with_errors else "green"


def _print_result(backend: Backend, job: Job, style: str) -> None:
    if style == "name":
        print_names(
            f"imagestreamtag.image.openshift.io/{job.request.stream}:{target.to or target.tag}"
            for target in job.result.targets
            if target.image
        )
    elif style in {"json", "yaml"}:
        response = backend.import_response(job)
        print_document(as_object("ImageStreamImport", response, version=API_VERSION), style)
    elif job.result.targets:
        _print_table(backend, job, wide=style == "wide")


def _print_table(backend: Backend, job: Job, *, wide: bool) -> None:
    targets = job.result.targets
    if not wide:
        rows = [
            (_tag_cell(target), *_image_cells(target, short=True), _result_cell(target))
            for target in targets
        ]
        print_columns(("TAG", "IMAGE", "RESULT"), rows)
        return
    images = _fetch_images(backend, job)
    print_columns(
        ("TAG", "IMAGE", "PLATFORMS", "LAYERS", "SIZE", "SOURCE", "RESULT"),
        [
            (
                _tag_cell(target),
                *_image_cells(target, short=False),
                *describe_image(images.get(target.image)),
                target.source,
                _result_cell(target),
            )
            for target in targets
        ],
    )


def describe_image(image: Image | None) -> tuple[str, str, str]:
    """Return platforms, layers and size of an image; blank if the image is None."""
    if image is None:
        return "", "", ""
    platforms = join_some(platforms_of(image))
    if image.docker_image_manifests:
        return platforms, "", ""
    size = int(image.docker_image_metadata.get("Size") or 0)
    return platforms, str(len(image.docker_image_layers)), format_size(size) if size else ""


def _fetch_images(backend: Backend, job: Job) -> Mapping[str, Image]:
    from cli.backend.backend_types import StreamRef

    stream_ref = StreamRef(job.request.namespace, job.request.stream)
    return backend.fetch_images(
        {each.image: stream_ref for each in job.result.targets if each.image}
    )


def _tag_cell(target: TargetResult) -> Cell:
    return target.to or target.tag, "bold"


def _image_cells(target: TargetResult, *, short: bool) -> tuple[Cell]:
    digest = short_digest(target.image) if short else target.image
    return ((digest or "-", "cyan"),)


def _result_cell(target: TargetResult) -> Cell:
    match target.outcome:
        case TargetOutcome.FAILED:
            return f"failed: {target.reason or target.code}", "red"
        case TargetOutcome.UNCHANGED:
            return target.outcome.value, "dim"
        case _:
            return target.outcome.value, "green"
