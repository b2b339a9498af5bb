"""Indexes on words leave the calendar, whose rows move at every turn, for a table that does not."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from models.store.schedule.schedule_triggers import forget_places, keep_places

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
WORDS = ("namespace", "stream", "tag", "host", "key")
INDEXES = (["namespace", "stream", "tag"], ["key"], ["host", "namespace"])


def upgrade() -> None:
    op.create_table(
        "scheduled_places",
        sa.Column("id", ROW_ID, nullable=False),
        *(sa.Column(word, TEXT, nullable=False) for word in WORDS),
        sa.PrimaryKeyConstraint("id", name="pk_scheduled_places"),
        sa.ForeignKeyConstraint(
            ["id"], ["scheduled_tags.id"], name="fk_scheduled_places_id", ondelete="CASCADE"
        ),
    )
    words = ", ".join(WORDS)
    op.execute(f"INSERT INTO scheduled_places (id, {words}) SELECT id, {words} FROM scheduled_tags")
    for columns in INDEXES:
        ending = "_".join(columns)
        op.drop_index(f"ix_scheduled_tags_{ending}", "scheduled_tags")
        op.create_index(f"ix_scheduled_places_{ending}", "scheduled_places", columns)
    keep_places(op.get_bind())
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "ALTER TABLE scheduled_tags"
            " SET (fillfactor = 75, autovacuum_vacuum_scale_factor = 0.05)"
        )


def downgrade() -> None:
    forget_places(op.get_bind())
    for columns in INDEXES:
        op.create_index(f"ix_scheduled_tags_{'_'.join(columns)}", "scheduled_tags", columns)
    op.drop_table("scheduled_places")
