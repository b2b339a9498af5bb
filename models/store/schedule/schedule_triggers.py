"""How the database itself keeps `scheduled_places` in step with the calendar.

Whoever writes a row of the calendar need not know of it. These are the triggers of migration 0004:
other ones are for a later migration, in its own words.
"""

from __future__ import annotations

from sqlalchemy import Connection, text

WORDS = ("namespace", "stream", "tag", "host", "key")
TRIGGERS = ("scheduled_places_added", "scheduled_places_moved")
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


def keep_places(connection: Connection) -> None:
    """Make the triggers."""
    for name, when, what in zip(TRIGGERS, _WHEN, _WHAT, strict=True):
        act = f"BEGIN {what}; END"
        if connection.dialect.name == "postgresql":
            connection.execute(
                text(
                    f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql"
                    f" AS $$ BEGIN {what}; RETURN NULL; END $$"
                )
            )
            act = f"EXECUTE FUNCTION {name}()"
        connection.execute(text(f"CREATE TRIGGER {name} {when} {act}"))


def forget_places(connection: Connection) -> None:
    """Drop them again."""
    is_postgres = connection.dialect.name == "postgresql"
    for name in TRIGGERS:
        connection.execute(
            text(f"DROP TRIGGER {name}{' ON scheduled_tags' if is_postgres else ''}")
        )
        if is_postgres:
            connection.execute(text(f"DROP FUNCTION {name}()"))
