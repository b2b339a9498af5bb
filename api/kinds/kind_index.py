"""The index of kinds by group and resource."""

from __future__ import annotations

from api.kinds.core import NamespaceKind, ProjectKind, SecretKind
from api.kinds.events import EventKind
from api.kinds.images import ImageKind, SignatureKind
from api.kinds.jobs import JobKind
from api.kinds.kind_base import Kind
from api.kinds.registries import RegistryKind
from api.kinds.schedule import ScheduledTagKind
from api.kinds.stream_subresources import LayersKind, MappingKind, StreamImageKind
from api.kinds.streams import StreamKind, StreamStatusKind
from api.kinds.tags import ImageTagKind, StreamTagKind

_ALL_KINDS: tuple[Kind, ...] = (
    ImageKind(),
    SignatureKind(),
    StreamImageKind(),
    MappingKind(),
    StreamKind(),
    StreamStatusKind(),
    LayersKind(),
    StreamTagKind(),
    ImageTagKind(),
    NamespaceKind(),
    ProjectKind(),
    SecretKind(),
    EventKind(),
    JobKind(),
    ScheduledTagKind(),
    RegistryKind(),
)
KINDS: dict[tuple[str, str], Kind] = {
    (kind.info.group, kind.info.resource): kind for kind in _ALL_KINDS
}
