"""What the schedule needs: the calendar, and what is known of registries."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
TIME = sa.DateTime(timezone=True)
CLAIMED = sa.text("batch IS NOT NULL")


def upgrade() -> None:
    _add_calendar()
    _add_registries()
    _enter_scheduled_tags()
    _add_events()
    _add_tag_lists()


def _add_calendar() -> None:
    op.create_table(
        "scheduled_tags",
        sa.Column("id", ROW_ID, nullable=False),
        sa.Column("stream_id", ROW_ID, nullable=False),
        sa.Column("namespace", TEXT, nullable=False),
        sa.Column("stream", TEXT, nullable=False),
        sa.Column("tag", TEXT, nullable=False),
        sa.Column("host", TEXT, nullable=False),
        sa.Column("key", TEXT, nullable=False),
        sa.Column("source", TEXT, nullable=False),
        sa.Column("insecure", sa.Boolean(), nullable=False),
        sa.Column("scheduled", sa.Boolean(), nullable=False),
        sa.Column("suspended", sa.Boolean(), nullable=False),
        sa.Column("asked", sa.Integer(), nullable=True),
        sa.Column("fresh", sa.Boolean(), nullable=False),
        sa.Column("due", TIME, nullable=True),
        sa.Column("next_look", TIME, nullable=True),
        sa.Column("checked", TIME, nullable=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("decision", TEXT, nullable=False),
        sa.Column("reason", TEXT, nullable=False),
        sa.Column("message", TEXT, nullable=False),
        sa.Column("decided", TIME, nullable=True),
        sa.Column("waited", sa.Integer(), nullable=False),
        sa.Column("etag", TEXT, nullable=False),
        sa.Column("batch", sa.Uuid(), nullable=True),
        sa.Column("carrier", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_scheduled_tags"),
        sa.UniqueConstraint("stream_id", "tag", name="uq_scheduled_tags_stream_id_tag"),
        sa.ForeignKeyConstraint(
            ["stream_id"],
            ["image_streams.id"],
            name="fk_scheduled_tags_stream_id",
            ondelete="CASCADE",
        ),
    )
    for columns in (
        ["next_look", "id"],
        ["key"],
        ["namespace", "stream", "tag"],
        ["host", "namespace"],
    ):
        op.create_index(f"ix_scheduled_tags_{'_'.join(columns)}", "scheduled_tags", columns)
    op.create_index(
        "ix_scheduled_tags_claimed",
        "scheduled_tags",
        ["host"],
        postgresql_where=CLAIMED,
        sqlite_where=CLAIMED,
    )
    op.create_table(
        "registry_turns",
        sa.Column("host", TEXT, nullable=False),
        sa.Column("free", TIME, nullable=False),
        sa.PrimaryKeyConstraint("host", name="pk_registry_turns"),
    )


def _add_registries() -> None:
    op.create_table(
        "registries",
        sa.Column("id", ROW_ID, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("scope", TEXT, nullable=False),
        sa.Column("uid", sa.Uuid(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("created", TIME, nullable=False),
        sa.Column("labels", TEXT, nullable=True),
        sa.Column("annotations", TEXT, nullable=True),
        sa.Column("rest", TEXT, nullable=True),
        sa.Column("spec", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_registries"),
        sa.UniqueConstraint("name", name="uq_registries_name"),
        sa.UniqueConstraint("scope", name="uq_registries_scope"),
    )
    op.create_table(
        "registry_health",
        sa.Column("host", TEXT, nullable=False),
        sa.Column("worker", TEXT, nullable=False),
        sa.Column("document", TEXT, nullable=False),
        sa.Column("updated", TIME, nullable=False),
        sa.PrimaryKeyConstraint("host", "worker", name="pk_registry_health"),
    )
    op.create_index("ix_registry_health_updated", "registry_health", ["updated"])


def _enter_scheduled_tags() -> None:
    """Tags that were scheduled before there was a calendar; the scheduler completes their rows."""
    op.execute(
        "INSERT INTO scheduled_tags (stream_id, namespace, stream, tag, host, key, source, "
        "insecure, scheduled, suspended, fresh, next_look, failures, decision, reason, message, "
        "waited, etag, carrier) "
        "SELECT s.id, s.namespace, s.name, t.name, '', '', t.from_name, t.insecure, true, false, "
        "true, CURRENT_TIMESTAMP, 0, 'new', '', '', 0, '', '' "
        "FROM tags t JOIN image_streams s ON s.id = t.stream_id "
        "WHERE t.wanted AND t.scheduled AND t.from_kind = 'DockerImage' AND NOT t.spec_reference"
    )


def _add_events() -> None:
    op.create_table(
        "events",
        sa.Column("id", ROW_ID, nullable=False),
        sa.Column("namespace", TEXT, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("uid", sa.Uuid(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("alike", TEXT, nullable=False),
        sa.Column("about_api", TEXT, nullable=False),
        sa.Column("about_kind", TEXT, nullable=False),
        sa.Column("about_name", TEXT, nullable=False),
        sa.Column("about_uid", TEXT, nullable=False),
        sa.Column("type", TEXT, nullable=False),
        sa.Column("reason", TEXT, nullable=False),
        sa.Column("message", TEXT, nullable=False),
        sa.Column("first", TIME, nullable=False),
        sa.Column("last", TIME, nullable=False),
        sa.Column("times", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_events"),
        sa.UniqueConstraint("namespace", "name", name="uq_events_namespace_name"),
    )
    op.create_index("ix_events_namespace_alike", "events", ["namespace", "alike"])
    op.create_index("ix_events_last", "events", ["last"])


def _add_tag_lists() -> None:
    op.create_table(
        "tag_lists",
        sa.Column("repository", TEXT, nullable=False),
        sa.Column("scope", TEXT, nullable=False),
        sa.Column("tags", sa.Integer(), nullable=False),
        sa.Column("shrunk", sa.Integer(), nullable=True),
        sa.Column("shrunk_at", TIME, nullable=True),
        sa.PrimaryKeyConstraint("repository", "scope", name="pk_tag_lists"),
    )


def downgrade() -> None:
    op.drop_table("registry_health")
    op.drop_table("registries")
    op.drop_table("tag_lists")
    op.drop_table("events")
    op.drop_table("registry_turns")
    op.drop_table("scheduled_tags")
