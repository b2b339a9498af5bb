"""Estimate of the requests of a reimport by registry, without contacting any (scheduling-11.4).

An image that was imported before costs one HEAD while it is unchanged; a new one costs the GET of
its manifest. Streams that follow the same source with the same credential share both. If everything
has changed, every stream fetches its own: manifest, config, and both for each image of an imported
index, as many as the last import found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from models.job_types import RegistryRequests
from models.reference import Reference
from models.streams.imports.import_outcome import ImportPlan, ImportTarget, KnownImage
from models.streams.imports.import_rules import ImportRules

# Namespace, registry, repository → scope of the credential that is used there.
CredentialScopeResolver = Callable[[str, str, str], str]
_REQUESTS_PER_IMAGE = 3  # HEAD, manifest, config
_REQUESTS_PER_INDEX_CHILD = 4  # HEAD, index, the chosen manifest, its config
_REQUESTS_PER_NEW_IMAGE = 3  # perhaps an index, a manifest, a config


@dataclass(slots=True)
class _RegistryEstimate:
    requests: set[tuple[str, str, str]] = field(default_factory=set)
    max_requests: int = 0
    tags: int = 0
    streams: set[tuple[str, str]] = field(default_factory=set)


class RequestEstimate:
    """Adds up import plans by registry.

    `resolve_credential_scope` returns the scope of the credential with which a namespace requests a
    repository; empty for anonymous requests.
    """

    def __init__(
        self, rules: ImportRules, resolve_credential_scope: CredentialScopeResolver
    ) -> None:
        self._rules = rules
        self._resolve_credential_scope = resolve_credential_scope
        self._registries: dict[str, _RegistryEstimate] = {}

    def add(
        self,
        stream_key: tuple[str, str],
        plan: ImportPlan,
        known: Mapping[str, KnownImage],
        children: Mapping[str, int],
    ) -> None:
        """Count the requests of an import of one stream.

        `children` maps an index to the number of its images.
        """
        targets = [each.target for each in plan.images if each.target is not None]
        if plan.repository is not None:
            repository_reference = plan.repository.reference
            for source in self._rules.registries.tag_list_sources(repository_reference)[:1]:
                estimate = self._count_request(stream_key, source, "tags")
                estimate.max_requests += 1
            keys = {target.key() for target in targets}
            repository = plan.repository
            prefix = f"{repository_reference.repository_key()} "
            targets += [
                repository.tag_target(key.removeprefix(prefix).partition(" ")[0])
                for key in known
                if key.startswith(prefix) and key not in keys
            ]
        fetched: set[ImportTarget] = set()  # each target once, for all tags of the stream
        for target in targets:
            for source in self._rules.registries.manifest_sources(target.reference)[:1]:
                tag_or_digest = target.reference.id or target.reference.tag
                estimate = self._count_request(stream_key, source, tag_or_digest)
                estimate.tags += 1
                if target not in fetched:
                    estimate.max_requests += _max_requests(known.get(target.key()), children)
            fetched.add(target)

    def _count_request(
        self, stream_key: tuple[str, str], source: Reference, tag_or_digest: str
    ) -> _RegistryEstimate:
        key = source.repository_key()
        registry, _, repository = key.partition("/")
        estimate = self._registries.setdefault(registry, _RegistryEstimate())
        estimate.requests.add(
            (
                repository,
                tag_or_digest,
                self._resolve_credential_scope(stream_key[0], registry, repository),
            )
        )
        estimate.streams.add(stream_key)
        return estimate

    def build_registry_requests(self) -> Iterator[RegistryRequests]:
        """Yield the estimate of each registry, in order of name."""
        for name, estimate in sorted(self._registries.items()):
            yield RegistryRequests(
                name,
                min_requests=len(estimate.requests),
                max_requests=estimate.max_requests,
                tags=estimate.tags,
                streams=len(estimate.streams),
            )


def index_images(known: Iterable[KnownImage]) -> set[str]:
    """Return the known images that are indexes: the estimate needs the number of their children."""
    return {each.image for each in known if each.image and each.image == each.source_digest}


def _max_requests(known: KnownImage | None, children: Mapping[str, int]) -> int:
    if known is None:
        return _REQUESTS_PER_NEW_IMAGE
    if known.image != known.source_digest:
        return _REQUESTS_PER_INDEX_CHILD
    child_count = children.get(known.image, 0)
    return 2 + 2 * child_count if child_count else _REQUESTS_PER_IMAGE
