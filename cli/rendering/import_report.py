"""What an import came to: a row for every tag on stdout, the reasons of failures on stderr."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from cli.rendering.formatting import count_of, format_size, list_some, platforms_of, short_digest
from cli.rendering.output import (
    Cell,
    as_object,
    print_columns,
    print_document,
    print_names,
    say,
)
from models.job_types import Job, JobState, TargetResult
from models.resources.meta import API_VERSION

if TYPE_CHECKING:
    from cli.backend.server_backend import Desk
    from models.resources.image import Image

FAILED = 1
WITH_ERRORS = 3
MOST_REASONS = 20


def exit_code(jobs: Iterable[Job]) -> int:
    """0 done, 1 failed, 3 done with errors: the worst of all jobs."""
    code = 0
    for job in jobs:
        if job.state is not JobState.SUCCEEDED:
            return FAILED
        if job.with_errors:
            code = WITH_ERRORS
    return code


def report_import(desk: Desk, job: Job, style: str, *, seconds: float) -> None:
    """Print one finished import."""
    if job.state is JobState.SUCCEEDED:
        _print_result(desk, job, style)
    report_failures(job)
    say(summary(job, seconds=seconds), style=_mood(job))


def report_failures(job: Job) -> None:
    """Say on stderr why things failed, each in one line."""
    result = job.result
    if result.error is not None and job.state is not JobState.CANCELLED:
        say(f"failed: {result.error.get('message', '')}", style="red")
    if result.listing is not None:
        say(f"failed: the list of tags: {result.listing.get('message', '')}", style="red")
    failed = [target for target in result.targets if not target.image]
    for target in failed[:MOST_REASONS]:
        name = f"{job.request.stream}:{target.to or target.tag}"
        code = f" ({target.code})" if target.code else ""
        say(f"failed: {name}: {target.message or target.reason}{code}", style="red")
    if len(failed) > MOST_REASONS:
        rest = count_of(len(failed) - MOST_REASONS, "more failure")
        say(f"{rest}; see `tagstream get jobs {job.id} -o yaml`", style="red")
    for warning in result.warnings:
        say(f"note: {warning}", style="yellow")
    if result.additional_tags:
        say(f"note: {count_of(len(result.additional_tags), 'tag')} left out by the limit of tags")


def summary(job: Job, *, seconds: float | None = None) -> str:
    """The last line."""
    result, goal = job.result, f"{job.request.namespace}/{job.request.stream}"
    took = "" if seconds is None else f" in {seconds:.1f} s"
    if job.state is JobState.CANCELLED:
        return f"cancelled: nothing of this import was written to {goal}"
    if job.state is not JobState.SUCCEEDED:
        return f"import into {goal} {job.state.value}"
    dry = not job.request.request.spec.import_
    parts = [f"{count_of(result.imported, 'tag')} {'fetched' if dry else 'imported'}"]
    if not dry:
        parts.append(f"{result.changed:,} changed")
    if result.failed:
        parts.append(f"{result.failed:,} failed")
    tail = " (dry run: nothing stored)" if dry else f" into {goal}"
    return f"{', '.join(parts)}{tail}{took}"


def _mood(job: Job) -> str:
    if job.state is not JobState.SUCCEEDED:
        return "red"
    return "yellow" if job.with_errors else "green"


def _print_result(desk: Desk, job: Job, style: str) -> None:
    if style == "name":
        print_names(
            f"imagestreamtag.image.openshift.io/{job.request.stream}:{target.to or target.tag}"
            for target in job.result.targets
            if target.image
        )
    elif style in {"json", "yaml"}:
        answer = desk.answer(job)
        print_document(as_object("ImageStreamImport", answer, version=API_VERSION), style)
    elif job.result.targets:
        _print_table(desk, job, wide=style == "wide")


def _print_table(desk: Desk, job: Job, *, wide: bool) -> None:
    targets = job.result.targets
    if not wide:
        rows = [(_tag(target), *_image(target, short=True), _ending(target)) for target in targets]
        print_columns(("TAG", "IMAGE", "RESULT"), rows)
        return
    images = _load_images(desk, job)
    print_columns(
        ("TAG", "IMAGE", "PLATFORMS", "LAYERS", "SIZE", "SOURCE", "RESULT"),
        [
            (
                _tag(target),
                *_image(target, short=False),
                *describe_image(images.get(target.image)),
                target.source,
                _ending(target),
            )
            for target in targets
        ],
    )


def describe_image(image: Image | None) -> tuple[str, str, str]:
    """Platforms, layers and size of an image, blank for one that is not at hand."""
    if image is None:
        return "", "", ""
    platforms = list_some(platforms_of(image))
    if image.docker_image_manifests:
        return platforms, "", ""
    size = int(image.docker_image_metadata.get("Size") or 0)
    return platforms, str(len(image.docker_image_layers)), format_size(size) if size else ""


def _load_images(desk: Desk, job: Job) -> Mapping[str, Image]:
    from cli.backend.server_backend import Home

    home = Home(job.request.namespace, job.request.stream)
    return desk.load_images({each.image: home for each in job.result.targets if each.image})


def _tag(target: TargetResult) -> Cell:
    return target.to or target.tag, "bold"


def _image(target: TargetResult, *, short: bool) -> tuple[Cell]:
    digest = short_digest(target.image) if short else target.image
    return ((digest or "-", "cyan"),)


def _ending(target: TargetResult) -> Cell:
    if not target.image:
        return f"failed: {target.reason or target.code}", "red"
    return ("new", "green") if target.changed else ("unchanged", "dim")
