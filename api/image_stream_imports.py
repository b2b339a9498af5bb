"""POST of an ImageStreamImport: a job on the counter, and the wait for its answer (`api.md` B13).

The API never talks to a registry. When the time limit comes first, the job goes on, and the answer
names it.
"""

from __future__ import annotations

import asyncio
import json
import re
import zlib
from typing import Any
from uuid import UUID, uuid4

from api.codec.body_decoder import check_findings, decode_body, read_object
from api.kinds.kind_base import Kind, Work, do_work
from api.kinds.stored_kind import require_namespace
from api.object_meta import check_namespace
from api.request.api_request import Call
from api.request.content_negotiation import negotiate
from api.request.query_options import parse_create_options
from api.response.http_response import Reply, encode_json
from api.response.representation import shape_object
from api.served_resources import STREAM_IMPORTS
from api.serving.client_disconnect import while_present
from models.access.rbac import may_import_from_anywhere
from models.api_errors import RequestTimeoutError
from models.errors import FieldError, InvalidObjectError, NotFoundError, TagstreamError
from models.job_types import Asker, Job, JobRequest, JobState, Lane
from models.resources.imports import ImageStreamImport, ImageStreamImportStatus
from models.store.database.session import transaction
from models.store.jobs.job_store import create_job, load_answer, load_job
from models.store.streams.stream_store import load_stream
from models.streams.imports.import_plan import check_precondition
from models.streams.writes.object_defaults import default_import
from models.streams.writes.stream_validation import check_import

FIRST_PAUSE = 0.005
LONGEST_PAUSE = 0.25
JOB_HEADER = "Tagstream-Job"  # of an answer: which job it is of
WHEN_STOPPING = 4.0  # seconds that an import still has when the server stops
_SECONDS = re.compile(r"(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)s)?", re.ASCII)


class _Imports(Kind):
    info = STREAM_IMPORTS
    has_table = False


KIND_OF_IMPORTS = _Imports()


class JobFailedError(TagstreamError):
    """The job as a whole came to nothing; its Status is the answer."""

    def __init__(self, status: dict[str, Any]) -> None:
        super().__init__(status.get("message", ""))
        self.status = status


async def post_import(call: Call) -> Reply:
    """The finished ImageStreamImport, or the job's name when that takes too long."""
    media = negotiate(call.accept, table=False, partial="object")
    options = parse_create_options(call.query)
    threads = call.house.threads
    request = await threads.run(_read, call, options.field_validation)
    job = await threads.run(_enqueue, call, request, dry_run=options.dry_run)
    if "respond-async" in call.headers.get("prefer", ""):
        return _accepted(call, job)
    async with while_present(call.receive):  # the job goes on without its author
        job = await _wait(call, job)
    shown = await threads.run(_answer, call, job, request)
    reply = shape_object(call, media, KIND_OF_IMPORTS, shown, code=201)
    reply.headers[JOB_HEADER] = job.request.name
    return reply


def _read(call: Call, validation: str) -> ImageStreamImport:
    """The request as it was sent, defaults filled in; everything wrong with it is told here."""
    info = STREAM_IMPORTS
    decoded = decode_body(
        call.content_type,
        call.body,
        kind=info.kind,
        group=info.group,
        version=info.version,
        model=ImageStreamImport,
    )
    call.warnings.extend(check_findings(decoded.findings, validation, kind=info.kind))
    body = read_object(decoded.object, ImageStreamImport)
    assert isinstance(body, ImageStreamImport)
    metadata, namespace = body.metadata, call.target.namespace
    check_namespace(metadata, namespace)
    if not metadata.name:
        detail = "" if metadata.generate_name else "name or generateName is required"
        raise InvalidObjectError(
            kind=info.kind, name="", errors=[FieldError.required("metadata.name", detail)]
        )
    metadata = metadata.replace(namespace=namespace, uid="", generate_name="")
    body = body.replace(metadata=metadata, status=ImageStreamImportStatus())
    return default_import(body, mode=call.house.settings.default_import_mode)


def _enqueue(call: Call, request: ImageStreamImport, *, dry_run: bool) -> Job:
    exempt = may_import_from_anywhere(call.caller, request.metadata.namespace)
    check_import(request, call.house.rules, exempt=exempt)
    namespace, name = request.metadata.namespace, request.metadata.name

    def step(work: Work) -> Job:
        require_namespace(work, KIND_OF_IMPORTS, request.metadata)
        stream = load_stream(work.session, namespace, name, history=0)
        check_precondition(request, stream)
        wanted = JobRequest(
            request,
            asker=Asker.API,
            lane=Lane.INTERACTIVE,
            user=call.caller.user,
            wants_answer=True,
            exempt=exempt,
            dry_run=dry_run,
        )
        job = create_job(work.session, wanted, now=work.now)
        work.knocks.append(job)
        return job

    return do_work(call.house, call.caller, step, now=call.now)


async def _wait(call: Call, job: Job) -> Job:
    """The job once it has ended. RequestTimeoutError when the time is up; the job goes on."""
    within = call.house.settings.import_deadline.total_seconds()
    asked = parse_seconds(call.parameter("timeout"))
    if asked:
        within = min(within, asked)
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within
    pause = FIRST_PAUSE
    why = f"takes longer than {within:g} s"
    stopping = False
    while True:
        found = await call.house.threads.run(_load, call, job.id)
        if found.state.is_final:
            return found
        if loop.time() >= deadline:
            raise RequestTimeoutError(
                f"the import of {job.request.namespace}/{job.request.stream} {why} and goes on "
                f"as job {job.id}; follow it with `kubectl get importjobs.sync.tagstream.io "
                f"{job.id} -n {job.request.namespace} -w`"
            )
        if call.house.hub.closed and not stopping:
            stopping = True
            deadline = min(deadline, loop.time() + WHEN_STOPPING)
            why = "is not done while this server stops"
        await asyncio.sleep(min(pause, max(0.0, deadline - loop.time())))
        pause = min(pause * 1.3, LONGEST_PAUSE)


def _load(call: Call, job_id: UUID) -> Job:
    with transaction(call.house.engine, write=False) as session:
        job = load_job(session, job_id)
    if job is None:
        raise NotFoundError(resource="importjobs", name=str(job_id), group="sync.tagstream.io")
    return job


def _answer(call: Call, job: Job, request: ImageStreamImport) -> dict[str, Any]:
    if job.state is not JobState.SUCCEEDED:
        raise JobFailedError(job.result.error or {"message": "the job came to nothing"})
    with transaction(call.house.engine, write=False) as session:
        packed = load_answer(session, job.id)
    if packed is None:
        raise TagstreamError(f"the answer of job {job.id} is no longer kept")
    wire: dict[str, Any] = json.loads(zlib.decompress(packed))
    metadata = request.metadata.replace(uid=str(uuid4()), creation_timestamp=call.now)
    info = STREAM_IMPORTS
    return {
        "kind": info.kind,
        "apiVersion": info.api_version,
        **wire,
        "metadata": metadata.wire(),
    }


def _accepted(call: Call, job: Job) -> Reply:
    """202 and the job at once, for `Prefer: respond-async`."""
    from api.kinds.jobs import JobKind  # noqa: PLC0415 - the kind knows this module's neighbours

    shown = JobKind().show_job(job)
    path = f"/apis/sync.tagstream.io/v1/namespaces/{job.request.namespace}/importjobs/{job.id}"
    return Reply(
        202,
        encode_json(shown),
        headers={"Location": path, "Preference-Applied": "respond-async"},
        warnings=call.warnings,
    )


def parse_seconds(text: str) -> float:
    """Go's way to write a duration, like `30s`, `1m30s` or `2h`; 0 for anything else."""
    if not text or len(text) > 32:
        return 0.0
    found = _SECONDS.fullmatch(text)
    if found is None:
        return 0.0
    hours, minutes, seconds = found.groups()
    return int(hours or 0) * 3600 + int(minutes or 0) * 60 + float(seconds or 0)
