"""Triggers by which the database keeps the lookup table in step with the schedule.

Writers of schedule rows need not know of it. These are the triggers of migration 0005: a change of
them belongs into a later migration, which spells them out itself.
"""

from __future__ import annotations

from sqlalchemy import Connection, text

LOOKUP_COLUMNS = ("namespace", "stream", "tag", "host", "key")
TRIGGERS = ("schedule_lookup_inserted", "schedule_lookup_updated")
_COLUMN_LIST = ", ".join(LOOKUP_COLUMNS)
_NEW_VALUES = ", ".join(f"NEW.{column}" for column in LOOKUP_COLUMNS)
_ASSIGNMENTS = ", ".join(f"{column} = NEW.{column}" for column in LOOKUP_COLUMNS)
_DIFFERENCES = " OR ".join(f"OLD.{column} <> NEW.{column}" for column in LOOKUP_COLUMNS)
_TRIGGER_EVENTS = (
    "AFTER INSERT ON scheduled_tags FOR EACH ROW",
    f"AFTER UPDATE OF {_COLUMN_LIST} ON scheduled_tags FOR EACH ROW WHEN ({_DIFFERENCES})",
)
_TRIGGER_ACTIONS = (
    f"INSERT INTO schedule_lookup (id, {_COLUMN_LIST}) VALUES (NEW.id, {_NEW_VALUES})",  # noqa: S608 - constant names
    f"UPDATE schedule_lookup SET {_ASSIGNMENTS} WHERE id = NEW.id",  # noqa: S608 - constant names
)


def create_lookup_triggers(connection: Connection) -> None:
    """Create the triggers."""
    for name, trigger_event, action in zip(
        TRIGGERS, _TRIGGER_EVENTS, _TRIGGER_ACTIONS, strict=True
    ):
        body = f"BEGIN {action}; END"
        if connection.dialect.name == "postgresql":
            connection.execute(
                text(
                    f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql"
                    f" AS $$ BEGIN {action}; RETURN NULL; END $$"
                )
            )
            body = f"EXECUTE FUNCTION {name}()"
        connection.execute(text(f"CREATE TRIGGER {name} {trigger_event} {body}"))


def drop_lookup_triggers(connection: Connection) -> None:
    """Drop the triggers."""
    is_postgres = connection.dialect.name == "postgresql"
    for name in TRIGGERS:
        connection.execute(
            text(f"DROP TRIGGER {name}{' ON scheduled_tags' if is_postgres else ''}")
        )
        if is_postgres:
            connection.execute(text(f"DROP FUNCTION {name}()"))
