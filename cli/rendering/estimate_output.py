"""Prints the estimate of a reimport: requests per registry."""

from __future__ import annotations

from collections.abc import Sequence

from cli.rendering.formatting import format_count
from cli.rendering.output import Cell, print_columns, print_document, print_message, print_names
from cli.rendering.table_output import JOB_API_VERSION
from models.job_types import Job, RegistryRequests

_HEADER = ("REGISTRY", "AT LEAST", "AT MOST", "TAGS", "STREAMS")


def print_estimate(job: Job, style: str) -> None:
    """Print the requests that a reimport would send to each registry, and their sums."""
    requests = job.result.estimate or ()
    match style:
        case "name":
            print_names(each.registry for each in requests)
        case "json" | "yaml":
            print_document(_document(job, requests), style)
        case _ if requests:
            print_columns(_HEADER, _rows(job, requests))
    if not requests:
        print_message("nothing to import: no tag matches")
        return
    registries = format_count(len(requests), "registry", "registries")
    print_message(
        f"{_request_range(requests)} to {registries} for "
        f"{format_count(_tag_count(requests), 'tag')} of {format_count(job.total, 'stream')} "
        "(dry run: no request was sent)"
    )


def _rows(job: Job, requests: Sequence[RegistryRequests]) -> list[Sequence[Cell]]:
    rows: list[Sequence[Cell]] = [
        (
            (each.registry, "bold"),
            *_format_numbers(each.min_requests, each.max_requests, each.tags, each.streams),
        )
        for each in requests
    ]
    if len(requests) > 1:
        sums = _format_numbers(
            _min_requests(requests), _max_requests(requests), _tag_count(requests), job.total
        )
        rows.append((("total", "dim"), *sums))
    return rows


def _format_numbers(*numbers: int) -> tuple[str, ...]:
    return tuple(f"{number:,}" for number in numbers)


def _request_range(requests: Sequence[RegistryRequests]) -> str:
    minimum, maximum = _min_requests(requests), _max_requests(requests)
    return (
        format_count(maximum, "request")
        if minimum == maximum
        else f"{minimum:,} to {maximum:,} requests"
    )


def _min_requests(requests: Sequence[RegistryRequests]) -> int:
    return sum(each.min_requests for each in requests)


def _max_requests(requests: Sequence[RegistryRequests]) -> int:
    return sum(each.max_requests for each in requests)


def _tag_count(requests: Sequence[RegistryRequests]) -> int:
    return sum(each.tags for each in requests)


def _document(job: Job, requests: Sequence[RegistryRequests]) -> dict[str, object]:
    return {
        "kind": "ReimportEstimate",
        "apiVersion": JOB_API_VERSION,
        "minRequests": _min_requests(requests),
        "maxRequests": _max_requests(requests),
        "tags": _tag_count(requests),
        "streams": job.total,
        "registries": [
            {
                "registry": each.registry,
                "minRequests": each.min_requests,
                "maxRequests": each.max_requests,
                "tags": each.tags,
                "streams": each.streams,
            }
            for each in requests
        ],
    }
