"""Indexes on words leave the calendar, whose rows move at every turn, for a table that does not."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
WORDS = ("namespace", "stream", "tag", "host", "key")
INDEXES = (["namespace", "stream", "tag"], ["key"], ["host", "namespace"])
# The triggers as they are at this step.
_TRIGGERS = ("scheduled_places_added", "scheduled_places_moved")
_LISTED = ", ".join(WORDS)
_NEWS = ", ".join(f"NEW.{word}" for word in WORDS)
_CHANGES = ", ".join(f"{word} = NEW.{word}" for word in WORDS)
_DIFFERENCES = " OR ".join(f"OLD.{word} <> NEW.{word}" for word in WORDS)
_WHEN = (
    "AFTER INSERT ON scheduled_tags FOR EACH ROW",
    f"AFTER UPDATE OF {_LISTED} ON scheduled_tags FOR EACH ROW WHEN ({_DIFFERENCES})",
)
_WHAT = (
    f"INSERT INTO scheduled_places (id, {_LISTED}) VALUES (NEW.id, {_NEWS})",  # noqa: S608 - ours
    f"UPDATE scheduled_places SET {_CHANGES} WHERE id = NEW.id",  # noqa: S608 - ours
)


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
    _keep_places(op.get_bind())
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "ALTER TABLE scheduled_tags"
            " SET (fillfactor = 75, autovacuum_vacuum_scale_factor = 0.05)"
        )


def downgrade() -> None:
    _forget_places(op.get_bind())
    for columns in INDEXES:
        op.create_index(f"ix_scheduled_tags_{'_'.join(columns)}", "scheduled_tags", columns)
    op.drop_table("scheduled_places")


def _keep_places(connection: sa.Connection) -> None:
    """Make the triggers."""
    for name, when, what in zip(_TRIGGERS, _WHEN, _WHAT, strict=True):
        act = f"BEGIN {what}; END"
        if connection.dialect.name == "postgresql":
            connection.execute(
                sa.text(
                    f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql"
                    f" AS $$ BEGIN {what}; RETURN NULL; END $$"
                )
            )
            act = f"EXECUTE FUNCTION {name}()"
        connection.execute(sa.text(f"CREATE TRIGGER {name} {when} {act}"))


def _forget_places(connection: sa.Connection) -> None:
    """Drop them again."""
    is_postgres = connection.dialect.name == "postgresql"
    for name in _TRIGGERS:
        connection.execute(
            sa.text(f"DROP TRIGGER {name}{' ON scheduled_tags' if is_postgres else ''}")
        )
        if is_postgres:
            connection.execute(sa.text(f"DROP FUNCTION {name}()"))
