"""The kind ImportJob: recorded imports. Deleting one that has not ended cancels it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from api.auth.token_authenticator import require_access
from api.kinds.kind_base import UnitOfWork, metadata_of
from api.kinds.stored_kind import StoredKind
from api.request.object_selectors import FieldSelector
from api.served_resources import IMPORT_JOBS, STREAM_IMPORTS
from models.access.rbac import may_import_from_anywhere
from models.errors import FieldError, InvalidObjectError
from models.job_resource import PRIORITIES, build_import_job
from models.job_types import Job, JobRequest, JobTrigger, Priority
from models.resources.imports import ImageStreamImport, ImageStreamImportSpec
from models.resources.jobs import ImportJob, ImportJobSpec
from models.resources.meta import ObjectMeta
from models.resources.wire import Wire
from models.store.jobs.job_queries import count_jobs, list_jobs_by_name
from models.store.jobs.job_store import (
    create_job,
    delete_job,
    load_job,
    load_job_by_name,
    request_cancel,
)
from models.store.jobs.reimport_queries import estimate_reimport
from models.store.jobs.reimport_store import build_reimport_job, create_reimport
from models.streams.writes.object_defaults import default_import
from models.streams.writes.stream_validation import check_import, validate_stream_meta


class JobKind(StoredKind):
    """ImportJobs. Clients can set only the fields that describe the request."""

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

    def narrow(self, field_selector: FieldSelector) -> JobKind:
        """Return a kind that reads only the jobs of one reimport, or of one stream."""
        parent, stream = (
            field_selector.exact_value("spec.parent"),
            field_selector.exact_value("spec.stream"),
        )
        try:
            return JobKind(UUID(parent) if parent else None, stream or None)
        except ValueError:
            return self

    def load(
        self, work: UnitOfWork, namespace: str, name: str, *, lock: bool = False
    ) -> ImportJob | None:
        job = load_job_by_name(work.session, namespace, name, for_update=lock)
        return None if job is None else build_import_job(job)

    def page(
        self, work: UnitOfWork, namespace: str, *, limit: int, after: tuple[str, str] | None
    ) -> list[dict[str, Any]]:
        jobs = list_jobs_by_name(
            work.session,
            namespace=namespace or None,
            parent=self._parent,
            stream=self._stream,
            limit=limit,
            after=after,
        )
        return [self.show(build_import_job(job)) for job in jobs]

    def count(self, work: UnitOfWork, namespace: str, *, after: tuple[str, str] | None) -> int:
        return count_jobs(work.session, namespace=namespace or None, after=after)

    def check(self, work: UnitOfWork, old: Wire | None, new: Wire) -> ImportJob:
        assert isinstance(new, ImportJob)
        errors = list(_validate_spec(new.spec))
        if errors:
            raise InvalidObjectError(
                kind=self.info.kind,
                name=new.metadata.name,
                errors=errors,
                group=self.info.group,
            )
        return new

    def save(self, work: UnitOfWork, old: Wire | None, new: Wire) -> ImportJob:
        assert isinstance(new, ImportJob)
        if new.spec.reimport is not None:
            return self._create_reimport(work, new)
        job = create_job(work.session, self._build_request(work, new), now=work.now)
        work.jobs_to_publish.append(job)
        return self._load_saved(work, job)

    def remove(self, work: UnitOfWork, old: Wire) -> None:
        assert isinstance(old, ImportJob)
        metadata = old.metadata
        job = load_job_by_name(work.session, metadata.namespace, metadata.name, for_update=True)
        if job is None:
            return
        if job.state.is_final:
            delete_job(work.session, job.id, now=work.now)
        else:
            request_cancel(work.session, job.id, now=work.now)

    def delete_loaded(self, work: UnitOfWork, old: Wire) -> dict[str, Any]:
        """Cancel a job that has not ended, which keeps its record; delete one that has."""
        metadata = metadata_of(old)
        job = load_job_by_name(work.session, metadata.namespace, metadata.name, for_update=True)
        if job is None or job.state.is_final:
            return super().delete_loaded(work, old)
        self.remove(work, old)
        return self.show(self._load_saved(work, job))

    def fields(self, shown: Mapping[str, Any]) -> dict[str, str]:
        return super().fields(shown) | {
            "spec.parent": shown["spec"].get("parent", ""),
            "spec.stream": shown["spec"].get("stream", ""),
            "spec.trigger": shown["spec"].get("trigger", ""),
            "status.state": shown["status"].get("state", ""),
        }

    def show_job(self, job: Job) -> dict[str, Any]:
        """Return a job as its object."""
        return self.show(build_import_job(job))

    def _load_saved(self, work: UnitOfWork, job: Job) -> ImportJob:
        return build_import_job(load_job(work.session, job.id) or job)

    def _build_request(self, work: UnitOfWork, new: ImportJob) -> JobRequest:
        """Build the import that the job requests; the caller must have access (api-16.6)."""
        metadata, spec = new.metadata, new.spec
        _require_import_access(work, metadata.namespace)
        import_request = ImageStreamImport(
            metadata=ObjectMeta(name=spec.stream, namespace=metadata.namespace),
            spec=ImageStreamImportSpec(
                import_=spec.import_, images=spec.images, repository=spec.repository
            ),
        )
        import_request = default_import(
            import_request, mode=work.context.settings.default_import_mode
        )
        exempt = may_import_from_anywhere(work.caller, metadata.namespace)
        check_import(import_request, work.context.rules, exempt=exempt)
        by_name = {name: priority for priority, name in PRIORITIES.items()}
        return JobRequest(
            import_request,
            trigger=JobTrigger.API,
            priority=by_name[spec.priority] if spec.priority else Priority.BULK,
            user=work.caller.user,
            max_tags=spec.max_tags,
            exempt=exempt,
            name=metadata.name,
            labels=metadata.labels or None,
            annotations=metadata.annotations or None,
        )

    def _create_reimport(self, work: UnitOfWork, new: ImportJob) -> ImportJob:
        """Create a reimport: a parent job, and one for each selected stream.

        A dry run only estimates the requests to each registry.
        """
        metadata, selector = new.metadata, new.spec.reimport
        assert selector is not None
        checked_namespace = "" if selector.all_namespaces else metadata.namespace
        _require_import_access(work, checked_namespace)
        reimport = build_reimport_job(
            metadata.namespace,
            selector,
            user=work.caller.user,
            name=metadata.name,
            labels=metadata.labels,
            annotations=metadata.annotations,
        )
        if work.dry_run or selector.dry_run:
            context = work.context
            forecast = estimate_reimport(
                work.session, reimport, rules=context.rules, cipher=context.cipher, now=work.now
            )
            return build_import_job(forecast)
        parent, children = create_reimport(work.session, reimport, now=work.now)
        work.jobs_to_publish.extend(children)
        return build_import_job(parent)


def _validate_spec(spec: ImportJobSpec) -> list[FieldError]:
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
    priorities = PRIORITIES.values()
    if spec.priority and spec.priority not in priorities:
        errors.append(FieldError.not_supported("spec.priority", spec.priority, *priorities))
    return errors


def _require_import_access(work: UnitOfWork, namespace: str) -> None:
    """Require the access that the same import would need as an ImageStreamImport."""
    group = STREAM_IMPORTS.group
    resource = STREAM_IMPORTS.resource
    require_access(work.caller, verb="create", group=group, resource=resource, namespace=namespace)
