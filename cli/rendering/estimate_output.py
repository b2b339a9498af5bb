"""What a reimport would take, registry by registry."""

from __future__ import annotations

from collections.abc import Sequence

from cli.rendering.formatting import count_of
from cli.rendering.output import Cell, print_columns, print_document, print_names, say
from cli.rendering.table_output import JOB_VERSION
from models.job_types import Job, RegistryRequests

_HEADER = ("REGISTRY", "AT LEAST", "AT MOST", "TAGS", "STREAMS")


def report_forecast(job: Job, style: str) -> None:
    """Print what a trial of a reimport came to, and what it comes to in all."""
    found = job.result.requests or ()
    match style:
        case "name":
            print_names(each.registry for each in found)
        case "json" | "yaml":
            print_document(_document(job, found), style)
        case _ if found:
            print_columns(_HEADER, _rows(job, found))
    if not found:
        say("nothing to import again: no tag fits")
        return
    say(
        f"{_span(found)} to {count_of(len(found), 'registry', 'registries')} for "
        f"{count_of(_tags(found), 'tag')} of {count_of(job.total, 'stream')} "
        "(dry run: nothing was asked or imported)"
    )


def _rows(job: Job, found: Sequence[RegistryRequests]) -> list[Sequence[Cell]]:
    rows: list[Sequence[Cell]] = [
        ((each.registry, "bold"), *_numbers(each.requests, each.at_most, each.tags, each.streams))
        for each in found
    ]
    if len(found) > 1:
        sums = _numbers(_least(found), _most(found), _tags(found), job.total)
        rows.append((("in all", "dim"), *sums))
    return rows


def _numbers(*numbers: int) -> tuple[str, ...]:
    return tuple(f"{number:,}" for number in numbers)


def _span(found: Sequence[RegistryRequests]) -> str:
    least, most = _least(found), _most(found)
    return count_of(most, "request") if least == most else f"{least:,} to {most:,} requests"


def _least(found: Sequence[RegistryRequests]) -> int:
    return sum(each.requests for each in found)


def _most(found: Sequence[RegistryRequests]) -> int:
    return sum(each.at_most for each in found)


def _tags(found: Sequence[RegistryRequests]) -> int:
    return sum(each.tags for each in found)


def _document(job: Job, found: Sequence[RegistryRequests]) -> dict[str, object]:
    return {
        "kind": "ReimportForecast",
        "apiVersion": JOB_VERSION,
        "requests": _least(found),
        "atMost": _most(found),
        "tags": _tags(found),
        "streams": job.total,
        "registries": [
            {
                "registry": each.registry,
                "requests": each.requests,
                "atMost": each.at_most,
                "tags": each.tags,
                "streams": each.streams,
            }
            for each in found
        ],
    }
