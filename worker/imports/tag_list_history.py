"""What is known of the lists of tags that an import is going to read."""

from __future__ import annotations

from models.store.database.session import transaction
from models.store.streams.known_tag_lists import ListKey, load_tag_lists
from models.streams.imports.import_outcome import Plan
from models.streams.imports.tag_list_guard import KnownList
from worker.registry.registry_types import Place
from worker.worker_context import Runtime


def load_lists_for(plan: Plan, runtime: Runtime) -> dict[ListKey, KnownList]:
    """How long the lists of the plan's repository were, at each of its sources."""
    if plan.repository is None:
        return {}
    sources = runtime.rules.registries.list_sources(plan.repository.reference)
    names = {Place.of(source).name for source in sources}
    with transaction(runtime.engine, write=False) as session:
        return load_tag_lists(session, names)
