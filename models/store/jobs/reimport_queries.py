"""What a reimport would take: counted from what the store knows, without asking anybody."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from models.job_types import Job, JobRequest, JobResult, JobState
from models.pull_secrets import Scope, scopes_of, speak_of
from models.store.access.secret_store import pull_secrets
from models.store.database.bulk_statements import in_chunks, table_of
from models.store.database.cipher import Cipher
from models.store.jobs.job_mapping import result_document
from models.store.jobs.job_store import create_job, load_job
from models.store.jobs.reimport_store import ALL_TAGS, STEP, choose_requests
from models.store.tables.images import ImageRow, ManifestRow
from models.store.tables.jobs import JobRow
from models.store.tables.streams import StreamRow, TagRow
from models.streams.imports.import_outcome import Known
from models.streams.imports.import_plan import plan_import
from models.streams.imports.import_rules import ImportRules
from models.streams.imports.reimport_estimate import Forecast, kept_images

_KNOWN = (
    StreamRow.namespace,
    StreamRow.name,
    TagRow.known_key,
    TagRow.known_source,
    TagRow.known_image,
)


def forecast_reimport(
    session: Session,
    wanted: JobRequest,
    *,
    rules: ImportRules,
    cipher: Cipher,
    now: datetime,
    max_tags: int = ALL_TAGS,
) -> Job:
    """Put a trial on record, which has ended already: what the reimport would take."""
    count, result = count_requests(session, wanted, rules=rules, cipher=cipher, max_tags=max_tags)
    parent = create_job(session, wanted, now=now)
    table = table_of(JobRow)
    ended = {
        "state": JobState.SUCCEEDED.value,
        "done": count,
        "total": count,
        "result": result_document(result),
        "started": now,
        "finished": now,
    }
    session.connection().execute(update(table).where(table.c.id == parent.id).values(ended))
    return load_job(session, parent.id) or parent


def count_requests(
    session: Session, wanted: JobRequest, *, rules: ImportRules, cipher: Cipher, max_tags: int
) -> tuple[int, JobResult]:
    """How many streams the reimport takes, and what it would ask of which registries."""
    rights = _Rights(session, cipher)
    forecast = Forecast(rules, rights.right)
    count = 0
    for chosen in in_chunks(choose_requests(session, wanted), STEP):
        known = _known_of(session, [stream.metadata.uid for stream, _ in chosen])
        everything = (each for seen in known.values() for each in seen.values())
        children = _children_of(session, kept_images(everything))
        for stream, request in chosen:
            place = (request.metadata.namespace, request.metadata.name)
            plan = plan_import(request, stream, rules, max_tags=max_tags)
            forecast.add(place, plan, known.get(place, {}), children)
            count += 1
    return count, JobResult(requests=tuple(forecast.requests()))


class _Rights:
    """By whose right a namespace sees a repository: its own, where a pull secret speaks of it."""

    def __init__(self, session: Session, cipher: Cipher) -> None:
        self._session = session
        self._cipher = cipher
        self._scopes: dict[str, list[Scope]] = {}

    def right(self, namespace: str, registry: str, repository: str) -> str:
        scopes = self._scopes.get(namespace)
        if scopes is None:
            secrets = pull_secrets(self._session, namespace, cipher=self._cipher)
            scopes = self._scopes[namespace] = scopes_of(secrets)
        return namespace if speak_of(scopes, registry, repository) else ""


def _known_of(session: Session, uids: Sequence[str]) -> dict[tuple[str, str], dict[str, Known]]:
    """What earlier imports saw, by stream, and by the key of the target."""
    wanted = (
        select(*_KNOWN)
        .join(TagRow, TagRow.stream_id == StreamRow.id)
        .where(StreamRow.uid.in_([UUID(uid) for uid in uids]))
    )
    found: dict[tuple[str, str], dict[str, Known]] = {}
    for namespace, name, key, source, image in session.execute(wanted):
        if key is not None:
            found.setdefault((namespace, name), {})[key] = Known(source or "", image or "")
    return found


def _children_of(session: Session, digests: Collection[str]) -> dict[str, int]:
    """How many manifests those images list that are indexes."""
    found: dict[str, int] = {}
    for some in in_chunks(sorted(digests)):
        wanted = (
            select(ImageRow.digest, func.count())
            .join(ManifestRow, ManifestRow.image_id == ImageRow.id)
            .where(ImageRow.digest.in_(some))
            .group_by(ImageRow.digest)
        )
        found.update((digest, count) for digest, count in session.execute(wanted))
    return found
