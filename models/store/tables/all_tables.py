"""Every table, for code that creates or compares the whole schema."""

from __future__ import annotations

from models.store.tables.access import NamespaceRow, RoleBindingRow, TokenRow
from models.store.tables.changes import ChangeRow, SequenceRow
from models.store.tables.events import CoreEventRow
from models.store.tables.images import (
    ImageLayerRow,
    ImageManifestRow,
    ImageRow,
    ImageSourceRow,
    SourceRepositoryRow,
)
from models.store.tables.jobs import JobRow
from models.store.tables.registries import RegistryHealthRow, RegistryRow
from models.store.tables.schedule import RegistryDispatchRow, ScheduledTagRow, ScheduleLookupRow
from models.store.tables.stored_secrets import SecretRow
from models.store.tables.streams import StreamRow, TagEventRow, TagRow
from models.store.tables.table_base import Base
from models.store.tables.tag_lists import TagListRow

ROWS = (
    SequenceRow,
    ChangeRow,
    ImageRow,
    ImageLayerRow,
    ImageManifestRow,
    SourceRepositoryRow,
    ImageSourceRow,
    StreamRow,
    TagRow,
    TagEventRow,
    JobRow,
    ScheduledTagRow,
    ScheduleLookupRow,
    RegistryDispatchRow,
    RegistryRow,
    RegistryHealthRow,
    SecretRow,
    NamespaceRow,
    TokenRow,
    RoleBindingRow,
    CoreEventRow,
    TagListRow,
)
METADATA = Base.metadata
