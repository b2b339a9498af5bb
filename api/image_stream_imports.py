"""POST of an ImageStreamImport: enqueues a job and waits for its result.

Rules: api-28.1, api-28.4, api-28.13. The API never talks to a registry. If the time limit is
reached first, the job continues, and the response names it.
"""

from __future__ import annotations

import asyncio
import json
import re
import zlib
from typing import Any
from uuid import UUID, uuid4

from api.codec.body_decoder import check_findings, decode_body, parse_resource
from api.kinds.kind_base import Kind, UnitOfWork, run_transaction
from api.kinds.stored_kind import require_namespace
from api.object_meta import check_namespace
from api.request.api_request import ApiRequest
from api.request.content_negotiation import negotiate
from api.request.query_options import parse_create_options
from api.response.http_response import HttpResponse, encode_json
from api.response.representation import object_response
from api.served_resources import STREAM_IMPORTS
from api.serving.client_disconnect import cancel_on_disconnect
from models.access.rbac import may_import_from_anywhere
from models.api_errors import RequestTimeoutError
from models.errors import FieldError, InvalidObjectError, NotFoundError, TagstreamError
from models.job_types import Job, JobRequest, JobTrigger, Priority
from models.resources.imports import ImageStreamImport, ImageStreamImportStatus
from models.store.database.session import transaction
from models.store.jobs.job_queries import load_job_response
from models.store.jobs.job_store import create_job, load_job
from models.store.streams.stream_store import load_stream
from models.streams.imports.import_plan import check_precondition
from models.streams.writes.object_defaults import default_import
from models.streams.writes.stream_validation import check_import

MIN_JOB_POLL_SECONDS = 0.005
MAX_JOB_POLL_SECONDS = 0.25
JOB_HEADER = "Tagstream-Job"  # response header: the name of the job
SHUTDOWN_WAIT_SECONDS = 4.0  # how long a stopping server still waits for an import
_GO_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)s)?", re.ASCII)


class _ImageStreamImportKind(Kind):
    info = STREAM_IMPORTS
    has_table = False


IMAGE_STREAM_IMPORT_KIND = _ImageStreamImportKind()


class JobFailedError(TagstreamError):
    """The whole job failed; its Status is the response."""

    def __init__(self, status: dict[str, Any]) -> None:
        super().__init__(status.get("message", ""))
        self.status = status


async def create_import(request: ApiRequest) -> HttpResponse:
    """Handle the POST: 201 with the finished ImageStreamImport, or 202 with the job.

    `oc import-image` prints everything from this response and never polls (clients-5.1), so the
    request waits; 202 is only for `Prefer: respond-async`. Raises JobFailedError if the job failed
    as a whole, RequestTimeoutError if it takes too long; the job continues then.
    """
    media = negotiate(request.accept, table=False, partial="object")
    options = parse_create_options(request.query)
    executor = request.context.executor
    import_request = await executor.run(_decode_request, request, options.field_validation)
    job = await executor.run(_enqueue, request, import_request, dry_run=options.dry_run)
    if "respond-async" in request.headers.get("prefer", ""):
        return _accepted_response(request, job)
    async with cancel_on_disconnect(request.receive):  # only the wait ends; the job continues
        job = await _wait_for_job(request, job)
    shown = await executor.run(_load_result, request, job, import_request)
    response = object_response(request, media, IMAGE_STREAM_IMPORT_KIND, shown, code=201)
    response.headers[JOB_HEADER] = job.request.name
    return response


def _decode_request(request: ApiRequest, validation: str) -> ImageStreamImport:
    """Return the validated and defaulted request; findings become warnings of the response."""
    info = STREAM_IMPORTS
    decoded = decode_body(
        request.content_type,
        request.body,
        kind=info.kind,
        group=info.group,
        version=info.version,
        model=ImageStreamImport,
    )
    request.warnings.extend(check_findings(decoded.findings, validation, kind=info.kind))
    body = parse_resource(decoded.object, ImageStreamImport)
    assert isinstance(body, ImageStreamImport)
    metadata, namespace = body.metadata, request.target.namespace
    check_namespace(metadata, namespace)
    if not metadata.name:
        detail = "" if metadata.generate_name else "name or generateName is required"
        raise InvalidObjectError(
            kind=info.kind, name="", errors=[FieldError.required("metadata.name", detail)]
        )
    metadata = metadata.replace(namespace=namespace, uid="", generate_name="")
    body = body.replace(metadata=metadata, status=ImageStreamImportStatus())
    return default_import(body, mode=request.context.settings.default_import_mode)


def _enqueue(request: ApiRequest, import_request: ImageStreamImport, *, dry_run: bool) -> Job:
    exempt = may_import_from_anywhere(request.caller, import_request.metadata.namespace)
    check_import(import_request, request.context.rules, exempt=exempt)
    namespace, name = import_request.metadata.namespace, import_request.metadata.name

    def step(work: UnitOfWork) -> Job:
        require_namespace(work, IMAGE_STREAM_IMPORT_KIND, import_request.metadata)
        stream = load_stream(work.session, namespace, name, history=0)
        check_precondition(import_request, stream)
        job_request = JobRequest(
            import_request,
            trigger=JobTrigger.API,
            priority=Priority.INTERACTIVE,
            user=request.caller.user,
            wants_response=True,
            exempt=exempt,
            dry_run=dry_run,
        )
        job = create_job(work.session, job_request, now=work.now)
        work.jobs_to_publish.append(job)
        return job

    return run_transaction(request.context, request.caller, step, now=request.now)


async def _wait_for_job(request: ApiRequest, job: Job) -> Job:
    """Return the job once it has ended.

    Raises RequestTimeoutError at the deadline; the job continues then.
    """
    max_wait = request.context.settings.import_deadline.total_seconds()
    requested_wait = parse_go_duration(request.parameter("timeout"))
    if requested_wait:
        max_wait = min(max_wait, requested_wait)
    loop = asyncio.get_running_loop()
    deadline = loop.time() + max_wait
    poll_seconds = MIN_JOB_POLL_SECONDS
    reason = f"takes longer than {max_wait:g} s"  # completes the sentence of the error below
    stopping = False
    while True:
        found = await request.context.executor.run(_load, request, job.id)
        if found.state.is_final:
            return found
        if loop.time() >= deadline:
            raise RequestTimeoutError(
                f"the import of {job.request.namespace}/{job.request.stream} {reason} and "
                f"continues as job {job.id}; watch it with `kubectl get "
                f"importjobs.sync.tagstream.io {job.id} -n {job.request.namespace} -w`"
            )
        if request.context.watch_cache.closed and not stopping:
            stopping = True
            deadline = min(deadline, loop.time() + SHUTDOWN_WAIT_SECONDS)
            reason = "is not done while this server stops"
        await asyncio.sleep(min(poll_seconds, max(0.0, deadline - loop.time())))
        poll_seconds = min(poll_seconds * 1.3, MAX_JOB_POLL_SECONDS)


def _load(request: ApiRequest, job_id: UUID) -> Job:
    with transaction(request.context.engine, write=False) as session:
        job = load_job(session, job_id)
    if job is None:
        raise NotFoundError(resource="importjobs", name=str(job_id), group="sync.tagstream.io")
    return job


def _load_result(
    request: ApiRequest, job: Job, import_request: ImageStreamImport
) -> dict[str, Any]:
    if job.result.error is not None:  # a job whose every tag failed has a response as well
        raise JobFailedError(job.result.error)
    with transaction(request.context.engine, write=False) as session:
        compressed = load_job_response(session, job.id)
    if compressed is None:
        raise TagstreamError(f"the response of job {job.id} is no longer stored; import again")
    wire: dict[str, Any] = json.loads(zlib.decompress(compressed))
    metadata = import_request.metadata.replace(uid=str(uuid4()), creation_timestamp=request.now)
    info = STREAM_IMPORTS
    return {
        "kind": info.kind,
        "apiVersion": info.api_version,
        **wire,
        "metadata": metadata.wire(),
    }


def _accepted_response(request: ApiRequest, job: Job) -> HttpResponse:
    """Return 202 with the job, for `Prefer: respond-async`."""
    from api.kinds.jobs import JobKind  # noqa: PLC0415 - the kind imports this module's siblings

    shown = JobKind().show_job(job)
    path = f"/apis/sync.tagstream.io/v1/namespaces/{job.request.namespace}/importjobs/{job.id}"
    return HttpResponse(
        202,
        encode_json(shown),
        headers={"Location": path, "Preference-Applied": "respond-async"},
        warnings=request.warnings,
    )


def parse_go_duration(text: str) -> float:
    """Return the seconds of a Go duration such as `30s`, `1m30s` or `2h`; 0 for anything else."""
    if not text or len(text) > 32:
        return 0.0
    found = _GO_DURATION.fullmatch(text)
    if found is None:
        return 0.0
    hours, minutes, seconds = found.groups()
    return int(hours or 0) * 3600 + int(minutes or 0) * 60 + float(seconds or 0)
