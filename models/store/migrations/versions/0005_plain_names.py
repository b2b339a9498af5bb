"""Plain names for tables and columns, and the stored documents of sync.tagstream.io in their new form.

An offline step: stop all roles, run `tagstream db upgrade`, start them. On PostgreSQL tables and
columns are renamed in place. SQLite cannot rename a constraint, so there the tables that have one
to rename are copied. Queued jobs are marked as not published: the reaper publishes them again.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op

from models.store.migrations.documents_0005 import (
    REASONS,
    convert_health_report,
    convert_import_job,
    convert_metadata,
    convert_registry,
    convert_registry_spec,
    convert_result,
    dedupe_key,
    failure_reason,
    has_failed_wholly,
)

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
TIME = sa.DateTime(timezone=True)
BATCH_SIZE = 500

# Columns that are renamed in place on both databases; of a name in the new form, the old ones first.
COLUMNS = {
    "scheduled_tags": (
        ("asked", "requested_interval"),
        ("fresh", "needs_due_time"),
        ("due", "due_at"),
        ("next_look", "next_check_at"),
        ("checked", "last_check_at"),
        ("failures", "consecutive_failures"),
        ("reason", "error_code"),
        ("decision", "reason"),
        ("decided", "last_transition_at"),
        ("waited", "wait_seconds"),
        ("carrier", "worker"),
    ),
    "events": (
        ("alike", "dedupe_key"),
        ("about_api", "involved_api_version"),
        ("about_kind", "involved_kind"),
        ("about_name", "involved_name"),
        ("about_uid", "involved_uid"),
        ("first", "first_time"),
        ("last", "last_time"),
        ("times", "occurrences"),
    ),
    "tags": (("wanted", "in_spec"), ("seen", "in_status")),
    "tag_lists": (("tags", "tag_count"), ("shrunk", "shrunk_tag_count")),
}
JOB_COLUMNS = (
    ("lane", "priority"),
    ("asker", "triggered_by"),
    ("asked_by", "requested_by"),
    ("wants_answer", "wants_response"),
    ("cancel_asked", "cancel_requested"),
    ("created", "created_at"),
    ("started", "started_at"),
    ("finished", "finished_at"),
    ("knocked_at", "published_at"),
    ("answer", "response"),
    ("dedupe", "dedupe_key"),
)
# Indexes of tables that are not copied: table, old columns, new columns.
INDEXES = (
    ("scheduled_tags", ("next_look", "id"), ("next_check_at", "id")),
    ("events", ("namespace", "alike"), ("namespace", "dedupe_key")),
    ("events", ("last",), ("last_time",)),
)
JOB_INDEXES = (
    (("created", "id"), ("created_at", "id")),
    (("namespace", "stream", "created"), ("namespace", "stream", "created_at")),
)
OTHER_JOB_INDEXES = (("state", "leased_until"), ("namespace", "name"), ("parent",))
LOOKUP_COLUMNS = ("namespace", "stream", "tag", "host", "key")
LOOKUP_INDEXES = (("namespace", "stream", "tag"), ("key",), ("host", "namespace"))
OLD_LOOKUP = ("scheduled_places", ("scheduled_places_added", "scheduled_places_moved"))
NEW_LOOKUP = ("schedule_lookup", ("schedule_lookup_inserted", "schedule_lookup_updated"))


def upgrade() -> None:
    _drop_triggers(OLD_LOOKUP[1])
    _rename_columns(lambda pair: pair)
    op.add_column(
        "scheduled_tags", sa.Column("last_outcome", TEXT, server_default="", nullable=False)
    )
    if _is_postgres():
        _rename_tables_in_place(lambda pair: pair)
    else:
        _copy_tables(lambda pair: pair)
    _create_triggers(*NEW_LOOKUP)
    _convert_scheduled_tags()
    _convert_jobs()
    _convert_registries()
    _convert_changes()


def downgrade() -> None:
    """Restore the old names; stored documents are not converted back, so there may be none."""
    for table in ("jobs", "scheduled_tags", "registries", "registry_health"):
        if op.get_bind().scalar(sa.text(f"SELECT count(*) FROM {table}")):  # noqa: S608 - constant names
            raise RuntimeError(f"{table} has rows, which cannot be converted back: use a backup")
    _drop_triggers(NEW_LOOKUP[1])
    op.drop_column("scheduled_tags", "last_outcome")
    _rename_columns(_swapped)
    if _is_postgres():
        _rename_tables_in_place(_swapped)
    else:
        _copy_tables(_swapped)
    _create_triggers(*OLD_LOOKUP)


Pair = tuple[Any, Any]
Direction = Callable[[Pair], Pair]


def _swapped(pair: Pair) -> Pair:
    return pair[1], pair[0]


def _is_postgres() -> bool:
    return op.get_bind().dialect.name == "postgresql"


def _rename_columns(direction: Direction) -> None:
    """Rename the columns in place, and with them the indexes that are named after them."""
    for table, pairs in COLUMNS.items():
        # `decision` takes the name that `reason` gives up, and the other way round.
        ordered = pairs if direction(("old", "new"))[0] == "old" else tuple(reversed(pairs))
        for pair in ordered:
            old, new = direction(pair)
            op.execute(f'ALTER TABLE {table} RENAME COLUMN "{old}" TO {new}')
    for table, old_columns, new_columns in INDEXES:
        old, new = direction((old_columns, new_columns))
        _rename_index(table, old, new)


def _rename_index(table: str, old: tuple[str, ...], new: tuple[str, ...]) -> None:
    """Rename an index after its columns, which have their new names already."""
    old_name, new_name = f"ix_{table}_{'_'.join(old)}", f"ix_{table}_{'_'.join(new)}"
    if _is_postgres():
        op.execute(f"ALTER INDEX {old_name} RENAME TO {new_name}")
        return
    op.drop_index(old_name, table)
    op.create_index(new_name, table, list(new))


def _rename_tables_in_place(direction: Direction) -> None:
    for pair in JOB_COLUMNS:
        old, new = direction(pair)
        op.execute(f"ALTER TABLE jobs RENAME COLUMN {old} TO {new}")
    old, new = direction(("uq_jobs_dedupe", "uq_jobs_dedupe_key"))
    op.execute(f"ALTER TABLE jobs RENAME CONSTRAINT {old} TO {new}")
    for index_pair in JOB_INDEXES:
        _rename_index("jobs", *direction(index_pair))
    for table_pair in (
        ("counters", "sequences"),
        ("registry_turns", "registry_dispatch_times"),
        (OLD_LOOKUP[0], NEW_LOOKUP[0]),
    ):
        old, new = direction(table_pair)
        op.execute(f"ALTER TABLE {old} RENAME TO {new}")
        op.execute(f"ALTER TABLE {new} RENAME CONSTRAINT pk_{old} TO pk_{new}")
    for columns in LOOKUP_INDEXES:
        ending = "_".join(columns)
        old, new = direction((OLD_LOOKUP[0], NEW_LOOKUP[0]))
        op.execute(f"ALTER INDEX ix_{old}_{ending} RENAME TO ix_{new}_{ending}")
    op.execute(f"ALTER TABLE {new} RENAME CONSTRAINT fk_{old}_id TO fk_{new}_id")
    table = direction(("registry_turns", "registry_dispatch_times"))[1]
    old, new = direction(("free", "next_dispatch_at"))
    op.execute(f"ALTER TABLE {table} RENAME COLUMN {old} TO {new}")


def _copy_tables(direction: Direction) -> None:
    """Copy the tables of which a constraint is renamed (SQLite)."""
    old, new = direction(("counters", "sequences"))
    op.create_table(
        new,
        sa.Column("name", TEXT, nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=f"pk_{new}"),
    )
    _move_rows(old, new, "name, value")
    old, new = direction(("registry_turns", "registry_dispatch_times"))
    old_column, new_column = direction(("free", "next_dispatch_at"))
    op.create_table(
        new,
        sa.Column("host", TEXT, nullable=False),
        sa.Column(new_column, TIME, nullable=False),
        sa.PrimaryKeyConstraint("host", name=f"pk_{new}"),
    )
    _move_rows(old, new, f"host, {old_column}")
    old, new = direction((OLD_LOOKUP[0], NEW_LOOKUP[0]))
    op.create_table(
        new,
        sa.Column("id", ROW_ID, nullable=False),
        *(sa.Column(name, TEXT, nullable=False) for name in LOOKUP_COLUMNS),
        sa.PrimaryKeyConstraint("id", name=f"pk_{new}"),
        sa.ForeignKeyConstraint(
            ["id"], ["scheduled_tags.id"], name=f"fk_{new}_id", ondelete="CASCADE"
        ),
    )
    _move_rows(old, new, f"id, {', '.join(LOOKUP_COLUMNS)}")
    for columns in LOOKUP_INDEXES:
        op.create_index(f"ix_{new}_{'_'.join(columns)}", new, list(columns))
    _copy_jobs(direction)


def _move_rows(old: str, new: str, columns: str) -> None:
    op.execute(f"INSERT INTO {new} SELECT {columns} FROM {old}")  # noqa: S608 - constant names
    op.drop_table(old)


def _copy_jobs(direction: Direction) -> None:
    names = dict(direction(pair) for pair in JOB_COLUMNS)
    columns = sa.inspect(op.get_bind()).get_columns("jobs")
    op.execute("ALTER TABLE jobs RENAME TO old_jobs")
    dedupe = direction(("dedupe", "dedupe_key"))[1]
    op.create_table(
        "jobs",
        *(
            sa.Column(
                names.get(each["name"], each["name"]), each["type"], nullable=each["nullable"]
            )
            for each in columns
        ),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
        sa.UniqueConstraint(dedupe, name=f"uq_jobs_{dedupe}"),
    )
    _move_rows("old_jobs", "jobs", ", ".join(each["name"] for each in columns))
    kept = [(each, each) for each in OTHER_JOB_INDEXES]
    for index_pair in (*JOB_INDEXES, *kept):
        new = direction(index_pair)[1]
        unique = new == ("namespace", "name")
        op.create_index(f"ix_jobs_{'_'.join(new)}", "jobs", list(new), unique=unique)


def _drop_triggers(names: tuple[str, ...]) -> None:
    for name in names:
        op.execute(f"DROP TRIGGER {name}{' ON scheduled_tags' if _is_postgres() else ''}")
        if _is_postgres():
            op.execute(f"DROP FUNCTION {name}()")


def _create_triggers(table: str, names: tuple[str, str]) -> None:
    listed = ", ".join(LOOKUP_COLUMNS)
    new_values = ", ".join(f"NEW.{name}" for name in LOOKUP_COLUMNS)
    assignments = ", ".join(f"{name} = NEW.{name}" for name in LOOKUP_COLUMNS)
    differences = " OR ".join(f"OLD.{name} <> NEW.{name}" for name in LOOKUP_COLUMNS)
    for name, event, action in (
        (
            names[0],
            "AFTER INSERT ON scheduled_tags FOR EACH ROW",
            f"INSERT INTO {table} (id, {listed}) VALUES (NEW.id, {new_values})",  # noqa: S608
        ),
        (
            names[1],
            f"AFTER UPDATE OF {listed} ON scheduled_tags FOR EACH ROW WHEN ({differences})",
            f"UPDATE {table} SET {assignments} WHERE id = NEW.id",  # noqa: S608
        ),
    ):
        body = f"BEGIN {action}; END"
        if _is_postgres():
            op.execute(
                f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql"
                f" AS $$ BEGIN {action}; RETURN NULL; END $$"
            )
            body = f"EXECUTE FUNCTION {name}()"
        op.execute(f"CREATE TRIGGER {name} {event} {body}")


def _convert_scheduled_tags() -> None:
    """Derive the last outcome, and turn decisions into reasons."""
    op.execute(
        "UPDATE scheduled_tags SET last_outcome = CASE WHEN consecutive_failures > 0 THEN 'failed'"
        " WHEN reason = 'moved' THEN 'updated' ELSE 'unchanged' END"
        " WHERE last_check_at IS NOT NULL"
    )
    table = sa.table("scheduled_tags", sa.column("reason"), sa.column("error_code"))
    failed = table.c.reason == "failed"
    codes = op.get_bind().scalars(sa.select(table.c.error_code).where(failed).distinct()).all()
    for code in codes:
        statement = sa.update(table).where(failed, table.c.error_code == code)
        op.execute(statement.values(reason=failure_reason(code)))
    for old, new in REASONS.items():
        op.execute(sa.update(table).where(table.c.reason == old).values(reason=new))


JOBS = sa.table(
    "jobs",
    sa.column("id", sa.Uuid()),
    *(
        sa.column(name)
        for name in (
            *("namespace", "stream", "state", "priority", "triggered_by", "requested_by"),
            *("request", "max_tags", "result", "dedupe_key"),
        )
    ),
    sa.column("wants_response", sa.Boolean()),
    sa.column("published_at", TIME),
)


def _convert_jobs() -> None:
    queued = JOBS.c.state == "queued"
    op.execute(sa.update(JOBS).where(queued).values(published_at=None))
    columns = (JOBS.c.id, JOBS.c.state, JOBS.c.result)
    for rows in _batches(sa.select(*columns).where(JOBS.c.result.is_not(None)), JOBS.c.id):
        for row in rows:
            result = json.loads(row.result)
            values = {"result": _format_document(convert_result(result))}
            if row.state == "succeeded" and has_failed_wholly(result):
                values["state"] = "failed"
            op.execute(sa.update(JOBS).where(JOBS.c.id == row.id).values(values))
    for rows in _batches(sa.select(JOBS).where(queued, JOBS.c.dedupe_key.is_not(None)), JOBS.c.id):
        for row in rows:
            document = {**row._mapping, "request": json.loads(row.request)}
            statement = sa.update(JOBS).where(JOBS.c.id == row.id)
            op.execute(statement.values(dedupe_key=dedupe_key(document)))


def _convert_registries() -> None:
    bind = op.get_bind()
    registries = sa.table("registries", *map(sa.column, ("id", "rest", "spec")))
    for row in bind.execute(sa.select(registries)).all():
        values = {"spec": _format_document(convert_registry_spec(json.loads(row.spec)))}
        if row.rest is not None:
            values["rest"] = _format_document(convert_metadata(json.loads(row.rest)))
        op.execute(sa.update(registries).where(registries.c.id == row.id).values(values))
    reports = sa.table("registry_health", *map(sa.column, ("host", "worker", "document")))
    for row in bind.execute(sa.select(reports)).all():
        document = _format_document(convert_health_report(json.loads(row.document)))
        is_row = sa.and_(reports.c.host == row.host, reports.c.worker == row.worker)
        op.execute(sa.update(reports).where(is_row).values(document=document))


def _convert_changes() -> None:
    """Convert the states before each change, which a watch and an old list are answered from."""
    changes = sa.table("changes", *map(sa.column, ("version", "kind")), _BEFORE)
    kinds = {"ImportJob": convert_import_job, "Registry": convert_registry}
    query = sa.select(changes).where(changes.c.kind.in_(kinds), changes.c.before.is_not(None))
    statement = (
        sa.update(changes)
        .where(changes.c.version == sa.bindparam("its_version"))
        .values(before=sa.bindparam("its_before", type_=sa.LargeBinary()))
    )
    for rows in _batches(query, changes.c.version):
        values = []
        for row in rows:
            wire = kinds[row.kind](json.loads(zlib.decompress(row.before)))
            text = json.dumps(wire, separators=(",", ":"))
            values.append(
                {"its_version": row.version, "its_before": zlib.compress(text.encode(), 1)}
            )
        op.get_bind().execute(statement, values)


_BEFORE = sa.column("before", sa.LargeBinary())


def _batches(query: sa.Select[Any], key: sa.ColumnClause[Any]) -> Iterator[Any]:
    """Yield the rows of a query in batches, in the order of a unique column."""
    last = None
    while True:
        page = query if last is None else query.where(key > last)
        rows = op.get_bind().execute(page.order_by(key).limit(BATCH_SIZE)).all()
        if not rows:
            return
        yield rows
        last = getattr(rows[-1], key.name)


def _format_document(document: Any) -> str:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))
