"""What is known of the lists of tags that an import is going to read."""

from __future__ import annotations

from models.store.session import transaction
from models.store.tag_lists import ListKey, load_tag_lists
from models.streams.listings import KnownList
from models.streams.outcome import Plan
from worker.registry.words import Place
from worker.runtime import Runtime


def load_lists_for(plan: Plan, runtime: Runtime) -> dict[ListKey, KnownList]:
    """How long the lists of the plan's repository were, at each of its sources."""
    if plan.repository is None:
        return {}
    sources = runtime.rules.registries.list_sources(plan.repository.reference)
    names = {Place.of(source).name for source in sources}
    with transaction(runtime.engine, write=False) as session:
        return load_tag_lists(session, names)
