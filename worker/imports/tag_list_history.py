"""The recorded sizes of the tag lists that an import is going to read."""

from __future__ import annotations

from models.store.database.session import transaction
from models.store.streams.known_tag_lists import TagListKey, load_tag_lists
from models.streams.imports.import_outcome import ImportPlan
from models.streams.imports.tag_list_guard import KnownTagList
from worker.registry.registry_types import SourceRepository
from worker.worker_context import WorkerContext


def load_known_tag_lists(
    plan: ImportPlan, context: WorkerContext
) -> dict[TagListKey, KnownTagList]:
    """Load the known tag lists of the plan's repository, at each of its sources.

    They decide whether a list that became much shorter is accepted (scheduling-8.1).
    """
    if plan.repository is None:
        return {}
    sources = context.rules.registries.tag_list_sources(plan.repository.reference)
    repository_names = {SourceRepository.from_reference(source).name for source in sources}
    with transaction(context.engine, write=False) as session:
        return load_tag_lists(session, repository_names)
