"""SQL that prints JSON: the pieces that the statements of streams and tags are made of."""

from __future__ import annotations

SHOWN_HISTORY = 100  # events of a tag that clients see, and that the undo log keeps
ODD = "\x01"  # never stands in JSON: there it is escaped


class Dialect:
    """Pieces of SQL, each of which prints a piece of JSON."""

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

    def lines(self, line: str, rows: str) -> str:
        """`line` of each of the rows, in their order, with commas; NULL where there are none."""
        join = "string_agg" if self._is_postgres else "group_concat"
        inner = f"SELECT {line} AS line FROM {rows}"  # noqa: S608 - the pieces are ours
        return f"(SELECT {join}(line, ',') FROM ({inner}) AS lines)"  # noqa: S608

    @property
    def metadata(self) -> str:
        """What `print_metadata` reads, of a stream `s`."""
        created = self.time("s.created")
        return (
            f"s.namespace, s.name, CAST(s.uid AS TEXT), s.version, s.generation, {created}, "
            "s.labels, s.annotations, s.rest"
        )

    @property
    def wish(self) -> str:
        """The `spec` of a tag `t`; ODD where its `from` has rare keys."""
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
        """One tag event, of `tag_events`."""
        if not self._is_postgres:  # half the time of many small concatenations
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
        """The `status` of a tag `t`, with the newest of its events."""
        newest = f"tag_events WHERE tag_id = t.id ORDER BY id DESC LIMIT {SHOWN_HISTORY}"
        return (
            f"'{{\"tag\":' || {self.json('t.name')}"
            f" || ',\"items\":' || coalesce('[' || {self.lines(self.event, newest)} || ']', 'null')"
            " || CASE WHEN coalesce(t.conditions, '[]') = '[]' THEN ''"
            " ELSE ',\"conditions\":' || t.conditions END || '}'"
        )

    @property
    def stream(self) -> str:
        """What `_print_stream` reads, of a stream `s`."""
        mine = "tags AS t WHERE t.stream_id = s.id"
        wishes = self.lines(self.wish, f"{mine} AND t.wanted ORDER BY t.name")
        histories = self.lines(self.history, f"{mine} AND t.seen ORDER BY t.name")
        stored = "s.status_repository, s.public_repository"
        return (
            f"{self.metadata}, s.lookup_local, s.spec_repository, {wishes}, {histories}, {stored}"
        )
