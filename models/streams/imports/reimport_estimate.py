"""How many requests a reimport would take, and at which registries, without asking any.

An image that was imported before is answered by one HEAD while it has not moved; a new one by the
GET of its manifest. Streams that follow the same source by the same right can share either. If
everything has moved, every stream fetches its own: manifest, config, and both for each image that
is kept of an index, as many as there were last time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from models.job_types import RegistryRequests
from models.reference import Reference
from models.streams.imports.import_outcome import Known, Plan, Target
from models.streams.imports.import_rules import ImportRules

Right = Callable[[str, str, str], str]  # namespace, registry, repository → whose right it is
_PLAIN = 3  # HEAD, manifest, config
_CHOSEN = 4  # HEAD, index, the chosen manifest, its config
_NEW = 3  # perhaps an index, a manifest, a config


@dataclass(slots=True)
class _Registry:
    asked: set[tuple[str, str, str]] = field(default_factory=set)
    at_most: int = 0
    tags: int = 0
    streams: set[tuple[str, str]] = field(default_factory=set)


class Forecast:
    """Adds up plans. `right` says by whose right a namespace sees a repository; empty: nobody's.

    `children` knows how many images an index that was kept has.
    """

    def __init__(self, rules: ImportRules, right: Right) -> None:
        self._rules = rules
        self._right = right
        self._registries: dict[str, _Registry] = {}

    def add(
        self,
        place: tuple[str, str],
        plan: Plan,
        known: Mapping[str, Known],
        children: Mapping[str, int],
    ) -> None:
        """Count what an import of the stream at `place` would ask for."""
        targets = [each.target for each in plan.images if each.target is not None]
        if plan.repository is not None:
            listed = plan.repository.reference
            for source in self._rules.registries.list_sources(listed)[:1]:
                found = self._ask(place, source, "tags")
                found.at_most += 1
            keys = {target.key() for target in targets}
            repository = plan.repository
            prefix = f"{listed.repository_key()} "
            targets += [
                repository.tag_target(key.removeprefix(prefix).partition(" ")[0])
                for key in known
                if key.startswith(prefix) and key not in keys
            ]
        fetched: set[Target] = set()  # each once, for all tags of the stream
        for target in targets:
            for source in self._rules.registries.sources(target.reference)[:1]:
                what = target.reference.id or target.reference.tag
                found = self._ask(place, source, what)
                found.tags += 1
                if target not in fetched:
                    found.at_most += _most(known.get(target.key()), children)
            fetched.add(target)

    def _ask(self, place: tuple[str, str], source: Reference, what: str) -> _Registry:
        key = source.repository_key()
        registry, _, repository = key.partition("/")
        found = self._registries.setdefault(registry, _Registry())
        found.asked.add((repository, what, self._right(place[0], registry, repository)))
        found.streams.add(place)
        return found

    def requests(self) -> Iterator[RegistryRequests]:
        """What there is to ask, registry by registry."""
        for name, found in sorted(self._registries.items()):
            yield RegistryRequests(
                name,
                requests=len(found.asked),
                at_most=found.at_most,
                tags=found.tags,
                streams=len(found.streams),
            )


def kept_images(known: Iterable[Known]) -> set[str]:
    """The images of which a forecast wants to know how many children they have."""
    return {each.image for each in known if each.image and each.image == each.source_digest}


def _most(known: Known | None, children: Mapping[str, int]) -> int:
    if known is None:
        return _NEW
    if known.image != known.source_digest:
        return _CHOSEN
    kept = children.get(known.image, 0)
    return 2 + 2 * kept if kept else _PLAIN
