"""Estimates of a reimport: computed from what the store knows, without contacting a registry."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from models.job_types import Job, JobRequest, JobResult, JobState
from models.pull_secrets import KeyringScope, any_scope_covers, keyring_scopes
from models.store.access.secret_store import list_pull_secrets
from models.store.database.bulk_statements import in_chunks, table_of
from models.store.database.cipher import Cipher
from models.store.jobs.job_mapping import result_document
from models.store.jobs.job_store import create_job, load_job
from models.store.jobs.reimport_store import ALL_TAGS, STREAM_PAGE_SIZE, select_reimport_requests
from models.store.tables.images import ImageManifestRow, ImageRow
from models.store.tables.jobs import JobRow
from models.store.tables.streams import StreamRow, TagRow
from models.streams.imports.import_outcome import KnownImage
from models.streams.imports.import_plan import plan_import
from models.streams.imports.import_rules import ImportRules
from models.streams.imports.reimport_estimate import RequestEstimate, index_images

_KNOWN_COLUMNS = (
    StreamRow.namespace,
    StreamRow.name,
    TagRow.known_key,
    TagRow.known_source,
    TagRow.known_image,
)


def estimate_reimport(
    session: Session,
    request: JobRequest,
    *,
    rules: ImportRules,
    cipher: Cipher,
    now: datetime,
    max_tags: int = ALL_TAGS,
) -> Job:
    """Create the job of a dry run, ended already, with the estimated requests as its result."""
    count, result = estimate_requests(
        session, request, rules=rules, cipher=cipher, max_tags=max_tags
    )
    parent = create_job(session, request, now=now)
    table = table_of(JobRow)
    values = {
        "state": JobState.SUCCEEDED.value,
        "done": count,
        "total": count,
        "result": result_document(result),
        "started_at": now,
        "finished_at": now,
    }
    session.connection().execute(update(table).where(table.c.id == parent.id).values(values))
    return load_job(session, parent.id) or parent


def estimate_requests(
    session: Session, job_request: JobRequest, *, rules: ImportRules, cipher: Cipher, max_tags: int
) -> tuple[int, JobResult]:
    """Return how many streams a reimport covers, and its requests by registry (scheduling-11.4)."""
    credential_scopes = _CredentialScopes(session, cipher)
    estimate = RequestEstimate(rules, credential_scopes.credential_scope)
    count = 0
    for chosen in in_chunks(select_reimport_requests(session, job_request), STREAM_PAGE_SIZE):
        known = _load_known_images(session, [stream.metadata.uid for stream, _ in chosen])
        known_images = (each for seen in known.values() for each in seen.values())
        children = _count_index_children(session, index_images(known_images))
        for stream, request in chosen:
            stream_key = (request.metadata.namespace, request.metadata.name)
            plan = plan_import(request, stream, rules, max_tags=max_tags)
            estimate.add(stream_key, plan, known.get(stream_key, {}), children)
            count += 1
    return count, JobResult(estimate=tuple(estimate.build_registry_requests()))


class _CredentialScopes:
    """Finds whose credentials a namespace uses for a repository.

    That is the namespace itself when one of its pull secrets covers the repository, else ""
    (anonymous).
    """

    def __init__(self, session: Session, cipher: Cipher) -> None:
        self._session = session
        self._cipher = cipher
        self._scopes: dict[str, list[KeyringScope]] = {}

    def credential_scope(self, namespace: str, registry: str, repository: str) -> str:
        scopes = self._scopes.get(namespace)
        if scopes is None:
            secrets = list_pull_secrets(self._session, namespace, cipher=self._cipher)
            scopes = self._scopes[namespace] = keyring_scopes(secrets)
        return namespace if any_scope_covers(scopes, registry, repository) else ""


def _load_known_images(
    session: Session, uids: Sequence[str]
) -> dict[tuple[str, str], dict[str, KnownImage]]:
    """Return what earlier imports saw, by stream, then by the key of the target."""
    query = (
        select(*_KNOWN_COLUMNS)
        .join(TagRow, TagRow.stream_id == StreamRow.id)
        .where(StreamRow.uid.in_([UUID(uid) for uid in uids]))
    )
    by_stream: dict[tuple[str, str], dict[str, KnownImage]] = {}
    for namespace, name, key, source, image in session.execute(query):
        if key is not None:
            by_stream.setdefault((namespace, name), {})[key] = KnownImage(source or "", image or "")
    return by_stream


def _count_index_children(session: Session, digests: Collection[str]) -> dict[str, int]:
    """Return the number of manifests that each index among these images lists."""
    counts: dict[str, int] = {}
    for chunk in in_chunks(sorted(digests)):
        query = (
            select(ImageRow.digest, func.count())
            .join(ImageManifestRow, ImageManifestRow.image_id == ImageRow.id)
            .where(ImageRow.digest.in_(chunk))
            .group_by(ImageRow.digest)
        )
        counts.update((digest, count) for digest, count in session.execute(query))
    return counts
