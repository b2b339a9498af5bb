"""Values that commands pass to a backend: a stream reference and the options of a reimport."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from models.resources.jobs import ReimportSelector


class StreamRef(NamedTuple):
    """The stream through which a caller who may not read all images may read one."""

    namespace: str
    stream: str


class ReimportOptions(NamedTuple):
    """The options of one `tagstream reimport`. An empty `stream` means all streams of the
    namespace.
    """

    namespace: str
    all_namespaces: bool
    stream: str = ""
    tag: str = ""
    failed_only: bool = False
    registry: str = ""

    @property
    def selector(self) -> ReimportSelector:
        """Return the options as the selector of an ImportJob."""
        from models.resources.jobs import ReimportSelector

        tag = f"{self.stream}:{self.tag}" if self.tag else self.stream
        return ReimportSelector(
            streams=[tag] if tag else [],
            registry=self.registry,
            only_failed=self.failed_only,
            all_namespaces=self.all_namespaces,
        )
