"""SQL that prints JSON: the fragments that the statements for streams and tags consist of."""

from __future__ import annotations

MAX_SHOWN_HISTORY = 100  # events of a tag that clients see, and that the undo log keeps
UNPRINTABLE_MARK = "\x01"  # cannot occur in JSON text, where it is escaped


class JsonDialect:
    """SQL fragments of one database, each of which prints a fragment of JSON.

    Example: `json("t.name")` is `to_json(t.name)::text` on PostgreSQL and `json_quote(t.name)` on
    SQLite; both print `"latest"` with its quotes.
    """

    def __init__(self, name: str) -> None:
        self._is_postgres = name == "postgresql"

    def parameter(self, name: str) -> str:
        return f"%({name})s" if self._is_postgres else f":{name}"

    def json(self, text: str) -> str:
        return f"to_json({text})::text" if self._is_postgres else f"json_quote({text})"

    def time(self, column: str) -> str:
        if self._is_postgres:
            return f"to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')"
        return f"printf('%.10sT%.8sZ', {column}, substr({column}, 12))"

    def aggregate(self, item: str, rows: str) -> str:
        """Return SQL that joins `item` of each row with commas, in row order; NULL without rows."""
        join = "string_agg" if self._is_postgres else "group_concat"
        inner = f"SELECT {item} AS item FROM {rows}"  # noqa: S608 - constant fragments
        return f"(SELECT {join}(item, ',') FROM ({inner}) AS items)"  # noqa: S608

    @property
    def metadata(self) -> str:
        """The columns of a stream `s` that `print_metadata` reads."""
        created = self.time("s.created")
        return (
            f"s.namespace, s.name, CAST(s.uid AS TEXT), s.version, s.generation, {created}, "
            "s.labels, s.annotations, s.rest"
        )

    @property
    def spec_tag(self) -> str:
        """The spec of a tag `t`; UNPRINTABLE_MARK if its `from` has fields without a column."""
        keys = (("kind", "from_kind"), ("namespace", "from_namespace"), ("name", "from_name"))
        given = " || ".join(
            f"CASE WHEN t.{column} <> '' THEN ',\"{key}\":' || {self.json(f't.{column}')} "
            "ELSE '' END"
            for key, column in keys
        )
        empty = " AND ".join(f"coalesce(t.{column}, '') = ''" for _, column in keys)
        mode = self.json("CASE WHEN t.import_mode = '' THEN 'Legacy' ELSE t.import_mode END")
        policy = self.json(
            "CASE WHEN t.reference_policy = '' THEN 'Source' ELSE t.reference_policy END"
        )
        return (
            f"CASE WHEN t.from_rest IS NOT NULL THEN {'chr' if self._is_postgres else 'char'}(1)"
            f" ELSE '{{\"name\":' || {self.json('t.name')}"
            " || ',\"annotations\":' || coalesce(t.spec_annotations, 'null')"
            f" || CASE WHEN t.from_kind IS NULL OR ({empty}) THEN ''"
            f" ELSE ',\"from\":{{' || substr({given}, 2) || '}}' END"
            " || CASE WHEN t.spec_reference THEN ',\"reference\":true' ELSE '' END"
            " || ',\"generation\":' || coalesce(CAST(t.spec_generation AS TEXT), 'null')"
            " || ',\"importPolicy\":{'"
            " || CASE WHEN t.insecure THEN '\"insecure\":true,' ELSE '' END"
            " || CASE WHEN t.scheduled THEN '\"scheduled\":true,' ELSE '' END"
            f" || '\"importMode\":' || {mode}"
            f" || '}},\"referencePolicy\":{{\"type\":' || {policy} || '}}}}' END"
        )

    @property
    def event(self) -> str:
        """One tag event, a row of `tag_events`."""
        if not self._is_postgres:  # takes half the time of many concatenations
            return (
                f"json_object('created', {self.time('created')}, "
                "'dockerImageReference', reference, 'image', image, 'generation', generation)"
            )
        return (
            f'\'{{"created":"\' || {self.time("created")}'
            f' || \'","dockerImageReference":\' || {self.json("reference")}'
            f" || ',\"image\":' || {self.json('image')}"
            " || ',\"generation\":' || CAST(generation AS TEXT) || '}'"
        )

    @property
    def history(self) -> str:
        """The status of a tag `t`, with the newest of its events."""
        newest = f"tag_events WHERE tag_id = t.id ORDER BY id DESC LIMIT {MAX_SHOWN_HISTORY}"
        return (
            f"'{{\"tag\":' || {self.json('t.name')}"
            " || ',\"items\":' || "
            f"coalesce('[' || {self.aggregate(self.event, newest)} || ']', 'null')"
            " || CASE WHEN coalesce(t.conditions, '[]') = '[]' THEN ''"
            " ELSE ',\"conditions\":' || t.conditions END || '}'"
        )

    @property
    def stream(self) -> str:
        """The columns of a stream `s` that `stream_json._print_stream` reads."""
        of_stream = "tags AS t WHERE t.stream_id = s.id"
        spec_tags = self.aggregate(self.spec_tag, f"{of_stream} AND t.in_spec ORDER BY t.name")
        histories = self.aggregate(self.history, f"{of_stream} AND t.in_status ORDER BY t.name")
        stored = "s.status_repository, s.public_repository"
        spec = "s.lookup_local, s.spec_repository"
        return f"{self.metadata}, {spec}, {spec_tags}, {histories}, {stored}"
