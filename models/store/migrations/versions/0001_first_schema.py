"""The first schema: images, streams with their histories, jobs, secrets, changes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
TIME = sa.DateTime(timezone=True)
IS_IMAGE = sa.text("from_kind = 'ImageStreamImage'")


def upgrade() -> None:
    op.create_table(
        "changes",
        sa.Column("version", ROW_ID, autoincrement=False, nullable=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("namespace", TEXT, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("verb", TEXT, nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("version", name="pk_changes"),
    )
    op.create_table(
        "counters",
        sa.Column("name", TEXT, nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_counters"),
    )
    op.create_table(
        "image_streams",
        sa.Column("id", ROW_ID, nullable=False),
        sa.Column("namespace", TEXT, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("uid", sa.Uuid(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("created", TIME, nullable=False),
        sa.Column("labels", TEXT, nullable=True),
        sa.Column("annotations", TEXT, nullable=True),
        sa.Column("rest", TEXT, nullable=True),
        sa.Column("lookup_local", sa.Boolean(), nullable=False),
        sa.Column("spec_repository", TEXT, nullable=False),
        sa.Column("status_repository", TEXT, nullable=False),
        sa.Column("public_repository", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_image_streams"),
        sa.UniqueConstraint("namespace", "name", name="uq_image_streams_namespace_name"),
    )
    op.create_table(
        "images",
        sa.Column("id", ROW_ID, nullable=False),
        sa.Column("digest", TEXT, nullable=False),
        sa.Column("uid", sa.Uuid(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=True),
        sa.Column("created", TIME, nullable=False),
        sa.Column("reference", TEXT, nullable=False),
        sa.Column("media_type", TEXT, nullable=False),
        sa.Column("details", TEXT, nullable=False),
        sa.Column("details_version", TEXT, nullable=False),
        sa.Column("annotations", TEXT, nullable=True),
        sa.Column("rest", TEXT, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_images"),
        sa.UniqueConstraint("digest", name="uq_images_digest"),
    )
    op.create_table(
        "jobs",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("namespace", TEXT, nullable=False),
        sa.Column("stream", TEXT, nullable=False),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("lane", TEXT, nullable=False),
        sa.Column("asker", TEXT, nullable=False),
        sa.Column("asked_by", TEXT, nullable=False),
        sa.Column("request", TEXT, nullable=False),
        sa.Column("max_tags", sa.Integer(), nullable=True),
        sa.Column("wants_answer", sa.Boolean(), nullable=False),
        sa.Column("coalesce", sa.Boolean(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("done", sa.Integer(), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("with_errors", sa.Boolean(), nullable=False),
        sa.Column("cancel_asked", sa.Boolean(), nullable=False),
        sa.Column("worker", TEXT, nullable=False),
        sa.Column("created", TIME, nullable=False),
        sa.Column("started", TIME, nullable=True),
        sa.Column("finished", TIME, nullable=True),
        sa.Column("leased_until", TIME, nullable=True),
        sa.Column("knocked_at", TIME, nullable=True),
        sa.Column("result", TEXT, nullable=True),
        sa.Column("answer", sa.LargeBinary(), nullable=True),
        sa.Column("dedupe", TEXT, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
        sa.UniqueConstraint("dedupe", name="uq_jobs_dedupe"),
    )
    op.create_index("ix_jobs_created_id", "jobs", ["created", "id"])
    op.create_index("ix_jobs_namespace_stream_created", "jobs", ["namespace", "stream", "created"])
    op.create_index("ix_jobs_state_leased_until", "jobs", ["state", "leased_until"])
    op.create_table(
        "secrets",
        sa.Column("id", ROW_ID, nullable=False),
        sa.Column("namespace", TEXT, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("uid", sa.Uuid(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("created", TIME, nullable=False),
        sa.Column("type", TEXT, nullable=False),
        sa.Column("labels", TEXT, nullable=True),
        sa.Column("annotations", TEXT, nullable=True),
        sa.Column("rest", TEXT, nullable=True),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_secrets"),
        sa.UniqueConstraint("namespace", "name", name="uq_secrets_namespace_name"),
    )
    op.create_table(
        "sources",
        sa.Column("id", ROW_ID, nullable=False),
        sa.Column("repository", TEXT, nullable=False),
        sa.Column("scope", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_sources"),
        sa.UniqueConstraint("repository", "scope", name="uq_sources_repository_scope"),
    )
    op.create_table(
        "image_layers",
        sa.Column("image_id", ROW_ID, autoincrement=False, nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("digest", TEXT, nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("media_type", TEXT, nullable=False),
        sa.ForeignKeyConstraint(
            ["image_id"], ["images.id"], name="fk_image_layers_image_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("image_id", "position", name="pk_image_layers"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_image_layers_digest", "image_layers", ["digest"])
    op.create_table(
        "image_manifests",
        sa.Column("image_id", ROW_ID, autoincrement=False, nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("digest", TEXT, nullable=False),
        sa.Column("media_type", TEXT, nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("architecture", TEXT, nullable=False),
        sa.Column("os", TEXT, nullable=False),
        sa.Column("variant", TEXT, nullable=False),
        sa.ForeignKeyConstraint(
            ["image_id"], ["images.id"], name="fk_image_manifests_image_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("image_id", "position", name="pk_image_manifests"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_image_manifests_digest", "image_manifests", ["digest"])
    op.create_table(
        "image_sources",
        sa.Column("source_id", ROW_ID, autoincrement=False, nullable=False),
        sa.Column("image_id", ROW_ID, autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(
            ["source_id"], ["sources.id"], name="fk_image_sources_source_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["image_id"], ["images.id"], name="fk_image_sources_image_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("source_id", "image_id", name="pk_image_sources"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_image_sources_image_id", "image_sources", ["image_id"])
    op.create_table(
        "tags",
        sa.Column("id", ROW_ID, nullable=False),
        sa.Column("stream_id", ROW_ID, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("wanted", sa.Boolean(), nullable=False),
        sa.Column("spec_annotations", TEXT, nullable=True),
        sa.Column("from_kind", TEXT, nullable=True),
        sa.Column("from_namespace", TEXT, nullable=True),
        sa.Column("from_name", TEXT, nullable=True),
        sa.Column("from_rest", TEXT, nullable=True),
        sa.Column("spec_reference", sa.Boolean(), nullable=False),
        sa.Column("spec_generation", sa.BigInteger(), nullable=True),
        sa.Column("insecure", sa.Boolean(), nullable=False),
        sa.Column("scheduled", sa.Boolean(), nullable=False),
        sa.Column("import_mode", TEXT, nullable=False),
        sa.Column("reference_policy", TEXT, nullable=False),
        sa.Column("seen", sa.Boolean(), nullable=False),
        sa.Column("conditions", TEXT, nullable=True),
        sa.Column("head_id", ROW_ID, nullable=True),
        sa.Column("known_key", TEXT, nullable=True),
        sa.Column("known_source", TEXT, nullable=True),
        sa.Column("known_image", TEXT, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_tags"),
        sa.UniqueConstraint("stream_id", "name", name="uq_tags_stream_id_name"),
        sa.ForeignKeyConstraint(
            ["stream_id"], ["image_streams.id"], name="fk_tags_stream_id", ondelete="CASCADE"
        ),
    )
    op.create_index(
        "ix_tags_from_image",
        "tags",
        ["from_name"],
        postgresql_where=IS_IMAGE,
        sqlite_where=IS_IMAGE,
    )
    op.create_table(
        "tag_events",
        sa.Column("id", ROW_ID, nullable=False),
        sa.Column("tag_id", ROW_ID, nullable=False),
        sa.Column("created", TIME, nullable=False),
        sa.Column("image", TEXT, nullable=False),
        sa.Column("reference", TEXT, nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tag_id"], ["tags.id"], name="fk_tag_events_tag_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_tag_events"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_tag_events_image", "tag_events", ["image"])
    op.create_index("ix_tag_events_tag_id_created_id", "tag_events", ["tag_id", "created", "id"])
    op.create_index("ix_tag_events_tag_id_id", "tag_events", ["tag_id", "id"])


def downgrade() -> None:
    for table in (
        "tag_events",
        "tags",
        "image_sources",
        "image_manifests",
        "image_layers",
        "sources",
        "secrets",
        "jobs",
        "images",
        "image_streams",
        "counters",
        "changes",
    ):
        op.drop_table(table)
