"""Imports and reimports on a server: created, watched, cancelled on ctrl-C."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from cli.backend.api_paths import resource_path
from cli.backend.rest_client import RestClient
from cli.backend.server_jobs import (
    IMPORT_JOBS,
    SYNC_GROUP,
    cancel_job,
    fetch_job,
    follow_job,
    list_jobs,
    parse_job,
)
from cli.job_progress import open_progress, sigterm_as_interrupt
from cli.rendering.output import print_message
from models.errors import IMAGE_GROUP, NotFoundError
from models.job_resource import PRIORITIES, TRIGGERS
from models.job_types import Job, JobRequest, JobTrigger

if TYPE_CHECKING:
    from cli.backend.backend_types import ReimportOptions

IMPORTS = "imagestreamimports"
JOB_HEADER = "Tagstream-Job"
IMPORT_TIMEOUT_SECONDS = 24 * 3600.0  # the server has its own deadlines
REMOTE_CANCEL_TIMEOUT_SECONDS = 15.0
# The server writes a row for each stream before it responds; there may be tens of thousands.
REIMPORT_REQUEST_TIMEOUT_SECONDS = 300.0
_ASYNC_HEADERS = {"Prefer": "respond-async"}


def run_import(rest: RestClient, request: JobRequest, *, title: str) -> Job:
    """Run an import on the server and return its final job.

    A whole repository is created as an ImportJob, which may limit the number of tags. One tag is
    created as the ImageStreamImport that `oc import-image` sends, with `Prefer: respond-async`, so
    that the response is its job.
    """
    with sigterm_as_interrupt(), open_progress(title, jobs=1) as progress:
        job: Job | None = None
        try:
            job = parse_job(_post_import(rest, request))
            return follow_job(rest, job, progress.callback_for(0))
        except KeyboardInterrupt:
            progress.stop()
            if job is None:
                raise
            return _cancel_and_wait(rest, job)


def run_import_for_response(
    rest: RestClient, request: JobRequest, *, title: str
) -> tuple[Job, dict[str, Any]]:
    """Run an import and return its job and the ImageStreamImport with everything that was found.

    The response arrives at the end, and its Tagstream-Job header names the job. To cancel before
    that, the job is found as the only new one with the same sources.
    """
    known_ids = {job.id for job in _list_similar_jobs(rest, request)}
    path = resource_path(IMAGE_GROUP, IMPORTS, namespace=request.namespace)
    with sigterm_as_interrupt(), open_progress(title, jobs=1) as progress:
        try:
            body = _import_body(request)
            response, headers = rest.post_with_headers(path, body, within=IMPORT_TIMEOUT_SECONDS)
        except KeyboardInterrupt:
            progress.stop()
            job = _find_own_job(rest, request, known_ids)
            if job is None:
                raise
            return _cancel_and_wait(rest, job), {}
    name = headers.get(JOB_HEADER)
    if not name:
        raise NotFoundError(resource="jobs", name=f"of {request.stream}", group="")
    job_path = resource_path(SYNC_GROUP, IMPORT_JOBS, namespace=request.namespace, name=name)
    return parse_job(rest.get(job_path)), response


def run_reimport(rest: RestClient, options: ReimportOptions) -> list[Job]:
    """Run a reimport on the server and return the final jobs of all its streams."""
    destination = f"{options.namespace}/{options.stream}" if options.stream else "streams"
    with (
        sigterm_as_interrupt(),
        open_progress(f"importing {destination} again", jobs=1) as progress,
    ):
        parent: Job | None = None
        try:
            parent = _post_reimport(rest, options)
            parent = follow_job(rest, parent, progress.callback_for(0))
        except KeyboardInterrupt:
            progress.stop()
            if parent is None:
                raise
            parent = _cancel_and_wait(rest, parent)
    return (
        _list_children(rest, parent, all_namespaces=options.all_namespaces) if parent.total else []
    )


def estimate_reimport(rest: RestClient, options: ReimportOptions) -> Job:
    """Fetch the estimate of a reimport: requests per registry. The server stores nothing."""
    return _post_reimport(rest, options, dry_run=True)


def _post_reimport(rest: RestClient, options: ReimportOptions, *, dry_run: bool = False) -> Job:
    selector = options.selector.wire() | ({"dryRun": True} if dry_run else {})
    body = {
        "kind": "ImportJob",
        "apiVersion": f"{SYNC_GROUP}/v1",
        "metadata": {"generateName": "reimport-"},
        "spec": {"reimport": selector},
    }
    path = resource_path(SYNC_GROUP, IMPORT_JOBS, namespace=options.namespace)
    return parse_job(
        rest.post(path, body, within=REIMPORT_REQUEST_TIMEOUT_SECONDS, dry_run=dry_run)
    )


def _list_children(rest: RestClient, parent: Job, *, all_namespaces: bool) -> list[Job]:
    """List the child jobs of a reimport, one for each stream."""
    namespace = "" if all_namespaces else parent.request.namespace
    children = list_jobs(rest, namespace, **{"spec.parent": str(parent.id)})
    return sorted(children, key=lambda job: (job.request.namespace, job.request.stream))


def _post_import(rest: RestClient, request: JobRequest) -> dict[str, Any]:
    if request.max_tags is None:
        path = resource_path(IMAGE_GROUP, IMPORTS, namespace=request.namespace)
        return rest.post(path, _import_body(request), headers=_ASYNC_HEADERS)
    body = {
        "kind": "ImportJob",
        "apiVersion": f"{SYNC_GROUP}/v1",
        "metadata": {"generateName": f"{request.stream.replace('_', '-')[:200]}-"},
        "spec": {
            **_import_spec(request),
            "stream": request.stream,
            "maxTags": request.max_tags,
            "priority": PRIORITIES[request.priority],
        },
    }
    return rest.post(resource_path(SYNC_GROUP, IMPORT_JOBS, namespace=request.namespace), body)


def _import_body(request: JobRequest) -> dict[str, Any]:
    return {
        "kind": "ImageStreamImport",
        "apiVersion": f"{IMAGE_GROUP}/v1",
        "metadata": {"name": request.stream, "namespace": request.namespace},
        "spec": _import_spec(request),
        "status": {},
    }


def _import_spec(request: JobRequest) -> dict[str, Any]:
    """Build the spec of the import; an import mode that was not given is left to the server."""
    spec = request.request.spec
    wire = spec.wire()
    pairs = list(zip(spec.images, wire.get("images", []), strict=True))
    policies = [(each.import_policy, printed) for each, printed in pairs]
    if spec.repository is not None:
        policies.append((spec.repository.import_policy, wire["repository"]))
    for policy, printed in policies:
        if "import_mode" not in policy.model_fields_set:
            printed.get("importPolicy", {}).pop("importMode", None)
    return wire


def _list_similar_jobs(rest: RestClient, request: JobRequest) -> list[Job]:
    fields = {"spec.stream": request.stream, "spec.trigger": TRIGGERS[JobTrigger.API]}
    return list(list_jobs(rest, request.namespace, **fields))


def _find_own_job(rest: RestClient, request: JobRequest, known_ids: set[UUID]) -> Job | None:
    """Find the only new job with the same sources; None if there are several or none."""
    own_sources = _sources(request)
    found = [
        job
        for job in _list_similar_jobs(rest, request)
        if job.id not in known_ids and _sources(job.request) == own_sources
    ]
    return found[0] if len(found) == 1 else None


def _sources(request: JobRequest) -> tuple[list[tuple[str, str]], str]:
    spec = request.request.spec
    images = [(each.from_.name, each.to.name if each.to else "") for each in spec.images]
    return images, spec.repository.from_.name if spec.repository is not None else ""


def _cancel_and_wait(rest: RestClient, job: Job) -> Job:
    """Cancel the job and wait for its worker to stop; a second ctrl-C exits at once."""
    import time

    print_message("cancelling …")
    job = cancel_job(rest, job)
    deadline = time.monotonic() + REMOTE_CANCEL_TIMEOUT_SECONDS
    while not job.state.is_final and time.monotonic() < deadline:
        time.sleep(0.1)
        job = fetch_job(rest, job)
    if not job.state.is_final:
        print_message(f"job {job.id} has not stopped yet; see `tagstream get jobs {job.id}`")
    return job
