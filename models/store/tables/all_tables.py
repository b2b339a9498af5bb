"""Every table, in one place for whoever makes or compares the schema."""

from __future__ import annotations

from models.store.tables.access import BindingRow, NamespaceRow, TokenRow
from models.store.tables.changes import ChangeRow, CounterRow
from models.store.tables.events import NoticeRow
from models.store.tables.images import (
    ImageRow,
    ImageSourceRow,
    LayerRow,
    ManifestRow,
    SourceRow,
)
from models.store.tables.jobs import JobRow
from models.store.tables.registries import HealthRow, RegistryRow
from models.store.tables.schedule import PlaceRow, ScheduleRow, TurnRow
from models.store.tables.secrets import SecretRow
from models.store.tables.streams import EventRow, StreamRow, TagRow
from models.store.tables.table_base import Base
from models.store.tables.tag_lists import TagListRow

ROWS = (
    CounterRow,
    ChangeRow,
    ImageRow,
    LayerRow,
    ManifestRow,
    SourceRow,
    ImageSourceRow,
    StreamRow,
    TagRow,
    EventRow,
    JobRow,
    ScheduleRow,
    PlaceRow,
    TurnRow,
    RegistryRow,
    HealthRow,
    SecretRow,
    NamespaceRow,
    TokenRow,
    BindingRow,
    NoticeRow,
    TagListRow,
)
METADATA = Base.metadata
