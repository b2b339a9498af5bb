"""What the API needs: namespaces, tokens, bindings, the undo log of changes, named jobs."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    _begin_the_log_anew()
    op.add_column("changes", sa.Column("before", sa.LargeBinary(), nullable=True))
    op.create_index(
        "ix_changes_kind_namespace_name_version",
        "changes",
        ["kind", "namespace", "name", "version"],
    )
    for column in (
        sa.Column("version", sa.BigInteger(), nullable=True),
        sa.Column("name", TEXT, nullable=True),
        sa.Column("labels", TEXT, nullable=True),
        sa.Column("annotations", TEXT, nullable=True),
        sa.Column("parent", sa.Uuid(), nullable=True),
        sa.Column("selector", TEXT, nullable=True),
    ):
        op.add_column("jobs", column)
    _name_jobs()
    op.create_index("ix_jobs_namespace_name", "jobs", ["namespace", "name"], unique=True)
    op.create_index("ix_jobs_parent", "jobs", ["parent"])
    namespaces = op.create_table(
        "namespaces",
        sa.Column("id", ROW_ID, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("uid", sa.Uuid(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("created", TIME, nullable=False),
        sa.Column("labels", TEXT, nullable=True),
        sa.Column("annotations", TEXT, nullable=True),
        sa.Column("rest", TEXT, nullable=True),
        sa.Column("phase", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_namespaces"),
        sa.UniqueConstraint("name", name="uq_namespaces_name"),
    )
    op.create_table(
        "tokens",
        sa.Column("id", ROW_ID, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("uid", sa.Uuid(), nullable=False),
        sa.Column("digest", TEXT, nullable=False),
        sa.Column("user", TEXT, nullable=False),
        sa.Column("groups", TEXT, nullable=True),
        sa.Column("created", TIME, nullable=False),
        sa.Column("expires", TIME, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_tokens"),
        sa.UniqueConstraint("name", name="uq_tokens_name"),
        sa.UniqueConstraint("digest", name="uq_tokens_digest"),
    )
    op.create_table(
        "bindings",
        sa.Column("id", ROW_ID, nullable=False),
        sa.Column("subject_kind", TEXT, nullable=False),
        sa.Column("subject", TEXT, nullable=False),
        sa.Column("role", TEXT, nullable=False),
        sa.Column("namespace", TEXT, nullable=False),
        sa.Column("stream", TEXT, nullable=False),
        sa.Column("created", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_bindings"),
        sa.UniqueConstraint(
            "subject_kind",
            "subject",
            "role",
            "namespace",
            "stream",
            name="uq_bindings_subject_kind_subject_role_namespace_stream",
        ),
    )
    op.create_index("ix_bindings_namespace", "bindings", ["namespace"])
    _name_what_is_in_use(namespaces)


def _begin_the_log_anew() -> None:
    """What was recorded without what was before cannot be told to watchers."""
    op.execute("DELETE FROM changes")
    op.execute(
        "INSERT INTO counters (name, value) "
        "SELECT 'floor', value FROM counters WHERE name = 'version'"
    )


def _name_jobs() -> None:
    """Every job becomes an object, called by its id."""
    connection = op.get_bind()
    text = "CAST(id AS TEXT)"
    if connection.dialect.name == "sqlite":  # 32 digits without hyphens
        cuts = ((1, 8), (9, 4), (13, 4), (17, 4), (21, 12))
        text = " || '-' || ".join(f"substr(id, {start}, {size})" for start, size in cuts)
    op.execute(
        f"UPDATE jobs SET name = {text}, "
        "version = (SELECT value FROM counters WHERE name = 'version')"
    )


def _name_what_is_in_use(namespaces: sa.Table) -> None:
    """Every namespace that something lives in becomes an object of its own."""
    connection = op.get_bind()
    used = connection.scalars(
        sa.text("SELECT namespace FROM image_streams UNION SELECT namespace FROM secrets")
    )
    now = datetime.now(UTC).replace(microsecond=0)
    if connection.dialect.name == "sqlite":
        now = now.replace(tzinfo=None)
    rows = [
        {
            "name": name,
            "uid": uuid.uuid4(),
            "version": 1,
            "created": now,
            "labels": None,
            "phase": "Active",
        }
        for name in sorted(used)
    ]
    if rows:
        op.bulk_insert(namespaces, rows)


def downgrade() -> None:
    for table in ("bindings", "tokens", "namespaces"):
        op.drop_table(table)
    op.drop_index("ix_jobs_parent", "jobs")
    op.drop_index("ix_jobs_namespace_name", "jobs")
    for column in ("selector", "parent", "annotations", "labels", "name", "version"):
        op.drop_column("jobs", column)
    op.drop_index("ix_changes_kind_namespace_name_version", "changes")
    op.drop_column("changes", "before")
