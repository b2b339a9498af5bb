"""ImportJobs: what was asked for, and how far it is. Deleting a live one cancels it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from api.auth.token_authenticator import require
from api.kinds.kind_base import Work, metadata_of
from api.kinds.stored_kind import StoredKind
from api.request.object_selectors import FieldSelector
from api.served_resources import IMPORT_JOBS, STREAM_IMPORTS
from models.access.rbac import may_import_from_anywhere
from models.errors import FieldError, InvalidObjectError
from models.job_resource import view_job
from models.job_types import Asker, Job, JobRequest, Lane
from models.resources.imports import ImageStreamImport, ImageStreamImportSpec
from models.resources.jobs import ImportJob, ImportJobSpec
from models.resources.meta import ObjectMeta
from models.resources.wire import Wire
from models.store.jobs.job_store import (
    ask_cancel,
    count_jobs,
    create_job,
    find_job,
    forget_job,
    load_job,
    page_jobs,
)
from models.store.jobs.reimport_queries import forecast_reimport
from models.store.jobs.reimport_store import create_reimport, reimport_job
from models.streams.writes.object_defaults import default_import
from models.streams.writes.stream_validation import check_import, validate_stream_meta


class JobKind(StoredKind):
    """A job's row as an object. Of its fields only those of its author can be sent."""

    info = IMPORT_JOBS
    name_rule = "subdomain"
    selectable = (
        "metadata.name",
        "metadata.namespace",
        "spec.parent",
        "spec.stream",
        "spec.trigger",
        "status.state",
    )

    def __init__(self, parent: UUID | None = None, stream: str | None = None) -> None:
        self._parent, self._stream = parent, stream

    def narrowed(self, wanted: FieldSelector) -> JobKind:
        """The jobs of one reimport, or of one stream, are found without reading all others."""
        parent, stream = wanted.exact("spec.parent"), wanted.exact("spec.stream")
        try:
            return JobKind(UUID(parent) if parent else None, stream or None)
        except ValueError:
            return self

    def load(
        self, work: Work, namespace: str, name: str, *, lock: bool = False
    ) -> ImportJob | None:
        job = find_job(work.session, namespace, name, for_update=lock)
        return None if job is None else view_job(job)

    def page(
        self, work: Work, namespace: str, *, limit: int, after: tuple[str, str] | None
    ) -> list[dict[str, Any]]:
        jobs = page_jobs(
            work.session,
            namespace=namespace or None,
            parent=self._parent,
            stream=self._stream,
            limit=limit,
            after=after,
        )
        return [self.show(view_job(job)) for job in jobs]

    def count(self, work: Work, namespace: str, *, after: tuple[str, str] | None) -> int:
        return count_jobs(work.session, namespace=namespace or None, after=after)

    def check(self, work: Work, old: Wire | None, new: Wire) -> ImportJob:
        assert isinstance(new, ImportJob)
        errors = list(_wrong_spec(new.spec))
        if errors:
            raise InvalidObjectError(
                kind=self.info.kind,
                name=new.metadata.name,
                errors=errors,
                group=self.info.group,
            )
        return new

    def save(self, work: Work, old: Wire | None, new: Wire) -> ImportJob:
        assert isinstance(new, ImportJob)
        if new.spec.reimport is not None:
            return self._reimport(work, new)
        job = create_job(work.session, self._request(work, new), now=work.now)
        work.knocks.append(job)
        return self._stored(work, job)

    def remove(self, work: Work, old: Wire) -> None:
        assert isinstance(old, ImportJob)
        metadata = old.metadata
        job = find_job(work.session, metadata.namespace, metadata.name, for_update=True)
        if job is None:
            return
        if job.state.is_final:
            forget_job(work.session, job.id, now=work.now)
        else:
            ask_cancel(work.session, job.id, now=work.now)

    def delete_loaded(self, work: Work, old: Wire) -> dict[str, Any]:
        """A live job is cancelled and stays on record; one that has ended is forgotten."""
        metadata = metadata_of(old)
        job = find_job(work.session, metadata.namespace, metadata.name, for_update=True)
        if job is None or job.state.is_final:
            return super().delete_loaded(work, old)
        self.remove(work, old)
        return self.show(self._stored(work, job))

    def fields(self, shown: Mapping[str, Any]) -> dict[str, str]:
        return super().fields(shown) | {
            "spec.parent": shown["spec"].get("parent", ""),
            "spec.stream": shown["spec"].get("stream", ""),
            "spec.trigger": shown["spec"].get("trigger", ""),
            "status.state": shown["status"].get("state", ""),
        }

    def show_job(self, job: Job) -> dict[str, Any]:
        """A job as its object."""
        return self.show(view_job(job))

    def _stored(self, work: Work, job: Job) -> ImportJob:
        return view_job(load_job(work.session, job.id) or job)

    def _request(self, work: Work, new: ImportJob) -> JobRequest:
        """The import that the job asks for. Needs the right to import (`api.md` D.2)."""
        metadata, spec = new.metadata, new.spec
        _require_imports(work, metadata.namespace)
        wanted = ImageStreamImport(
            metadata=ObjectMeta(name=spec.stream, namespace=metadata.namespace),
            spec=ImageStreamImportSpec(
                import_=spec.import_, images=spec.images, repository=spec.repository
            ),
        )
        wanted = default_import(wanted, mode=work.house.settings.default_import_mode)
        exempt = may_import_from_anywhere(work.caller, metadata.namespace)
        check_import(wanted, work.house.rules, exempt=exempt)
        lane = Lane(spec.lane) if spec.lane else Lane.BULK
        return JobRequest(
            wanted,
            asker=Asker.API,
            lane=lane,
            user=work.caller.user,
            max_tags=spec.max_tags,
            exempt=exempt,
            name=metadata.name,
            labels=metadata.labels or None,
            annotations=metadata.annotations or None,
        )

    def _reimport(self, work: Work, new: ImportJob) -> ImportJob:
        """The administrator's reimport: a job of its own, and one for each stream it takes.

        A trial only tells what that would ask of which registries.
        """
        metadata, selector = new.metadata, new.spec.reimport
        assert selector is not None
        everywhere = "" if selector.all_namespaces else metadata.namespace
        _require_imports(work, everywhere)
        wanted = reimport_job(
            metadata.namespace,
            selector,
            user=work.caller.user,
            name=metadata.name,
            labels=metadata.labels,
            annotations=metadata.annotations,
        )
        if work.dry_run or selector.dry_run:
            house = work.house
            trial = forecast_reimport(
                work.session, wanted, rules=house.rules, cipher=house.cipher, now=work.now
            )
            return view_job(trial)
        parent, children = create_reimport(work.session, wanted, now=work.now)
        work.knocks.extend(children)
        return view_job(parent)


def _wrong_spec(spec: ImportJobSpec) -> list[FieldError]:
    errors: list[FieldError] = []
    has_import = bool(spec.images) or spec.repository is not None
    if spec.reimport is not None:
        if has_import or spec.stream:
            detail = "may not be set together with spec.reimport, which chooses the streams"
            field = "spec.stream" if spec.stream else "spec.images"
            errors.append(FieldError.forbidden(field, detail))
    elif not has_import:
        detail = "say what to import in spec.images or spec.repository, or use spec.reimport"
        errors.append(FieldError.required("spec.images", detail))
    elif not spec.stream:
        errors.append(FieldError.required("spec.stream", "the stream to import into"))
    else:
        found = validate_stream_meta(ObjectMeta(name=spec.stream, namespace="x"))
        errors.extend(FieldError("spec.stream", each.reason, each.message) for each in found)
    if spec.lane and spec.lane not in {lane.value for lane in Lane}:
        lanes = [lane.value for lane in Lane]
        errors.append(FieldError.not_supported("spec.lane", spec.lane, *lanes))
    return errors


def _require_imports(work: Work, namespace: str) -> None:
    """A job asks for no more than its author could ask for directly (`api.md` D.2)."""
    group = STREAM_IMPORTS.group
    resource = STREAM_IMPORTS.resource
    require(work.caller, verb="create", group=group, resource=resource, namespace=namespace)
