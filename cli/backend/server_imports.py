"""Imports and reimports that a server carries: asked for, watched, cancelled on ctrl-C."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from cli.backend.api_paths import path_of
from cli.backend.rest_client import Rest
from cli.backend.server_jobs import (
    IMPORT_JOBS,
    SYNC_GROUP,
    cancel_job,
    follow_job,
    list_jobs,
    load_job,
    read_job,
)
from cli.job_progress import ctrl_c_from_sigterm, open_progress
from cli.rendering.output import say
from models.errors import IMAGE_GROUP, NotFoundError
from models.job_types import Asker, Job, JobRequest

if TYPE_CHECKING:
    from cli.backend.server_backend import Again

IMPORTS = "imagestreamimports"
JOB_HEADER = "Tagstream-Job"
ANSWER_PATIENCE = 24 * 3600.0  # the server has deadlines of its own
CANCEL_PATIENCE = 15.0
REIMPORT_PATIENCE = 300.0  # tens of thousands of streams are put on record first
_ASYNC = {"Prefer": "respond-async"}


def run_import(rest: Rest, request: JobRequest, *, title: str) -> Job:
    """The import's job once it has ended.

    A whole repository is asked for as an ImportJob, which may say how many tags; one tag as the
    ImageStreamImport that `oc import-image` sends, answered with its job at once.
    """
    with ctrl_c_from_sigterm(), open_progress(title, jobs=1) as progress:
        job: Job | None = None
        try:
            job = read_job(_ask(rest, request))
            return follow_job(rest, job, progress.watcher(0))
        except KeyboardInterrupt:
            progress.stop()
            if job is None:
                raise
            return _cancel(rest, job)


def await_answer(rest: Rest, request: JobRequest, *, title: str) -> tuple[Job, dict[str, Any]]:
    """The import's job and the ImageStreamImport with everything that was found.

    The answer comes at the end, and a header of it names the job. Until then ours is the only new
    one that asks for the same.
    """
    before = {job.id for job in _jobs_like(rest, request)}
    path = path_of(IMAGE_GROUP, IMPORTS, namespace=request.namespace)
    with ctrl_c_from_sigterm(), open_progress(title, jobs=1) as progress:
        try:
            body = _import_body(request)
            answer, headers = rest.post_and_hear(path, body, within=ANSWER_PATIENCE)
        except KeyboardInterrupt:
            progress.stop()
            job = _our_job(rest, request, before)
            if job is None:
                raise
            return _cancel(rest, job), {}
    name = headers.get(JOB_HEADER)
    if not name:
        raise NotFoundError(resource="jobs", name=f"of {request.stream}", group="")
    place = path_of(SYNC_GROUP, IMPORT_JOBS, namespace=request.namespace, name=name)
    return read_job(rest.get(place)), answer


def run_reimport(rest: Rest, wish: Again) -> list[Job]:
    """The jobs of all streams that the reimport took, once each has ended."""
    goal = f"{wish.namespace}/{wish.stream}" if wish.stream else "streams"
    with ctrl_c_from_sigterm(), open_progress(f"importing {goal} again", jobs=1) as progress:
        whole: Job | None = None
        try:
            whole = _ask_again(rest, wish)
            whole = follow_job(rest, whole, progress.watcher(0))
        except KeyboardInterrupt:
            progress.stop()
            if whole is None:
                raise
            whole = _cancel(rest, whole)
    return _children(rest, whole, everywhere=wish.everywhere) if whole.total else []


def forecast_reimport(rest: Rest, wish: Again) -> Job:
    """The reimport as it would be: what it would ask of which registries. Nothing is kept."""
    return _ask_again(rest, wish, trial=True)


def _ask_again(rest: Rest, wish: Again, *, trial: bool = False) -> Job:
    selector = wish.selector.wire() | ({"dryRun": True} if trial else {})
    body = {
        "kind": "ImportJob",
        "apiVersion": f"{SYNC_GROUP}/v1",
        "metadata": {"generateName": "reimport-"},
        "spec": {"reimport": selector},
    }
    path = path_of(SYNC_GROUP, IMPORT_JOBS, namespace=wish.namespace)
    return read_job(rest.post(path, body, within=REIMPORT_PATIENCE, trial=trial))


def _children(rest: Rest, whole: Job, *, everywhere: bool) -> list[Job]:
    """The jobs of the streams that a reimport took."""
    place = "" if everywhere else whole.request.namespace
    ours = list_jobs(rest, place, **{"spec.parent": str(whole.id)})
    return sorted(ours, key=lambda job: (job.request.namespace, job.request.stream))


def _ask(rest: Rest, request: JobRequest) -> dict[str, Any]:
    if request.max_tags is None:
        path = path_of(IMAGE_GROUP, IMPORTS, namespace=request.namespace)
        return rest.post(path, _import_body(request), headers=_ASYNC)
    body = {
        "kind": "ImportJob",
        "apiVersion": f"{SYNC_GROUP}/v1",
        "metadata": {"generateName": f"{request.stream.replace('_', '-')[:200]}-"},
        "spec": {
            **_spec(request),
            "stream": request.stream,
            "maxTags": request.max_tags,
            "lane": request.lane.value,
        },
    }
    return rest.post(path_of(SYNC_GROUP, IMPORT_JOBS, namespace=request.namespace), body)


def _import_body(request: JobRequest) -> dict[str, Any]:
    return {
        "kind": "ImageStreamImport",
        "apiVersion": f"{IMAGE_GROUP}/v1",
        "metadata": {"name": request.stream, "namespace": request.namespace},
        "spec": _spec(request),
        "status": {},
    }


def _spec(request: JobRequest) -> dict[str, Any]:
    """The import's spec; an import mode that nobody typed is left to the server."""
    spec = request.request.spec
    wire = spec.wire()
    pairs = list(zip(spec.images, wire.get("images", []), strict=True))
    written = [(each.import_policy, printed) for each, printed in pairs]
    if spec.repository is not None:
        written.append((spec.repository.import_policy, wire["repository"]))
    for policy, printed in written:
        if "import_mode" not in policy.model_fields_set:
            printed.get("importPolicy", {}).pop("importMode", None)
    return wire


def _jobs_like(rest: Rest, request: JobRequest) -> list[Job]:
    fields = {"spec.stream": request.stream, "spec.trigger": Asker.API.value}
    return list(list_jobs(rest, request.namespace, **fields))


def _our_job(rest: Rest, request: JobRequest, before: set[UUID]) -> Job | None:
    """The one new job that asks for the same; None where several do, or none."""
    wanted = _sources(request)
    found = [
        job
        for job in _jobs_like(rest, request)
        if job.id not in before and _sources(job.request) == wanted
    ]
    return found[0] if len(found) == 1 else None


def _sources(request: JobRequest) -> tuple[list[tuple[str, str]], str]:
    spec = request.request.spec
    images = [(each.from_.name, each.to.name if each.to else "") for each in spec.images]
    return images, spec.repository.from_.name if spec.repository is not None else ""


def _cancel(rest: Rest, job: Job) -> Job:
    """Ask it to stop and wait until its worker has; a second ctrl-C leaves at once."""
    import time

    say("cancelling …")
    job = cancel_job(rest, job)
    deadline = time.monotonic() + CANCEL_PATIENCE
    while not job.state.is_final and time.monotonic() < deadline:
        time.sleep(0.1)
        job = load_job(rest, job)
    if not job.state.is_final:
        say(f"job {job.id} has not stopped yet; see `tagstream get jobs {job.id}`")
    return job
