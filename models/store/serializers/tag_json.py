"""One ImageStreamTag with its Image as JSON text, from one statement (api-24.1, api-24.2).

Only the common case: None means that the tag or its image does not exist, or that showing it needs
the rules of `models.streams.tags.tag_views`. The caller then uses those, which give the same
result.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection

from models.images.image_builder import LAYER_ORDER
from models.store.serializers.json_sql import UNPRINTABLE_MARK, JsonDialect
from models.store.serializers.metadata_json import (
    dump_json,
    format_uuid,
    print_metadata,
    quote_json,
)


def load_tag_text(connection: Connection, namespace: str, name: str, tag: str) -> str | None:
    """Return the JSON of an ImageStreamTag without its opening brace.

    The caller puts kind and apiVersion first. Return None in the cases that the module names.
    """
    found = connection.exec_driver_sql(
        _tag_statement(connection.dialect.name), {"namespace": namespace, "name": name, "tag": tag}
    ).fetchone()
    return None if found is None else _print_tag(found)


def _print_tag(row: Sequence[Any]) -> str | None:
    (
        local,
        tag,
        in_spec,
        spec_tag,
        spec_annotations,
        policy,
        conditions,
        since,
        reference,
        generation,
    ) = row[9:19]
    image = row[19:]
    if policy == "Local" or spec_tag is None or UNPRINTABLE_MARK in spec_tag:
        return None
    tag_annotations = (
        spec_annotations if in_spec and spec_annotations and spec_annotations != "{}" else None
    )
    image_text = _print_image(image, reference, tag_annotations)
    if image_text is None:
        return None
    meta = (row[0], f"{row[1]}:{tag}", row[2], row[3], 0, since, row[6], tag_annotations, None)
    parts = [
        f'"metadata":{print_metadata(meta)}',
        f'"tag":{spec_tag if in_spec else "null"}',
        f'"generation":{generation}',
        f'"lookupPolicy":{{"local":{"true" if local else "false"}}}',
    ]
    if conditions and conditions != "[]":
        parts.append(f'"conditions":{conditions}')
    parts.append(f'"image":{image_text}')
    return ",".join(parts) + "}"


def _print_image(row: Sequence[Any], reference: str, tag_annotations: str | None) -> str | None:
    """Print the Image; annotations of the tag override those of the image."""
    digest, uid, version, created, kind, details, details_version, annotations, rest = row[:9]
    layers, manifests = row[9:]
    if rest is not None or (layers and f'"{LAYER_ORDER}":' not in (annotations or "")):
        return None
    if tag_annotations:
        annotations = dump_json({**json.loads(annotations or "{}"), **json.loads(tag_annotations)})
    meta = (
        f'{{"name":{quote_json(digest)},"uid":"{format_uuid(uid)}","resourceVersion":"{version}",'
        f'"creationTimestamp":"{created}"'
    )
    if annotations and annotations != "{}":
        meta += f',"annotations":{annotations}'
    parts = [f'{{"metadata":{meta}}}']
    if reference:
        parts.append(f'"dockerImageReference":{quote_json(reference)}')
    parts.append(f'"dockerImageMetadata":{details}')
    parts.append(f'"dockerImageMetadataVersion":{quote_json(details_version)}')
    if layers:
        parts.append(f'"dockerImageLayers":[{layers}]')
    if kind:
        parts.append(f'"dockerImageManifestMediaType":{quote_json(kind)}')
    if manifests:
        parts.append(f'"dockerImageManifests":[{manifests}]')
    return ",".join(parts) + "}"


@lru_cache
def _tag_statement(name: str) -> str:
    dialect = JsonDialect(name)
    layer = (
        f"'{{\"name\":' || {dialect.json('digest')} || ',\"size\":' || CAST(size AS TEXT)"
        f" || ',\"mediaType\":' || {dialect.json('media_type')} || '}}'"
    )
    manifest = (
        f"'{{\"digest\":' || {dialect.json('digest')}"
        f" || ',\"mediaType\":' || {dialect.json('media_type')}"
        " || ',\"manifestSize\":' || CAST(size AS TEXT)"
        f" || ',\"architecture\":' || {dialect.json('architecture')}"
        f" || ',\"os\":' || {dialect.json('os')}"
        f" || CASE WHEN variant <> '' THEN ',\"variant\":' || {dialect.json('variant')}"
        " ELSE '' END || '}'"
    )
    of_image = "WHERE image_id = i.id ORDER BY position"
    columns = (
        dialect.metadata,
        "s.lookup_local, t.name, t.in_spec",
        dialect.spec_tag,
        "t.spec_annotations, t.reference_policy, t.conditions",
        f"{dialect.time('e.created')}, e.reference, e.generation",
        f"i.digest, CAST(i.uid AS TEXT), i.version, {dialect.time('i.created')}, i.media_type",
        "i.details, i.details_version, i.annotations, i.rest",
        dialect.aggregate(layer, f"image_layers {of_image}"),
        dialect.aggregate(manifest, f"image_manifests {of_image}"),
    )
    condition = " AND ".join(
        f"{column} = {dialect.parameter(parameter)}"
        for column, parameter in (
            ("s.namespace", "namespace"),
            ("s.name", "name"),
            ("t.name", "tag"),
        )
    )
    return (
        f"SELECT {', '.join(columns)} FROM image_streams AS s "  # noqa: S608 - constant fragments
        "JOIN tags AS t ON t.stream_id = s.id AND t.in_status "
        "JOIN tag_events AS e ON e.id = t.head_id "
        f"JOIN images AS i ON i.digest = e.image WHERE {condition}"
    )
