"""One tag with the image it means, as JSON text, by one statement (`api.md` B8).

Only what is plain: None says that there is nothing, or that it takes the rules of
`models.streams.tags.tag_views` to show it. Then these are asked, and they give the same answer.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection

from models.images.image_builder import LAYER_ORDER
from models.store.serializers.json_sql import ODD, Dialect
from models.store.serializers.metadata_json import dashed, dump, print_metadata, quote


def read_tag_text(connection: Connection, namespace: str, name: str, tag: str) -> str | None:
    """The text of an ImageStreamTag without its opening brace: kind and apiVersion come first."""
    found = connection.exec_driver_sql(
        _one_tag(connection.dialect.name), {"namespace": namespace, "name": name, "tag": tag}
    ).fetchone()
    return None if found is None else _print_tag(found)


def _print_tag(row: Sequence[Any]) -> str | None:
    local, tag, wanted, wish, given, policy, conditions, since, reference, generation = row[9:19]
    image = row[19:]
    if policy == "Local" or wish is None or ODD in wish:
        return None
    own = given if wanted and given and given != "{}" else None
    shown = _print_image(image, reference, own)
    if shown is None:
        return None
    meta = (row[0], f"{row[1]}:{tag}", row[2], row[3], 0, since, row[6], own, None)
    parts = [
        f'"metadata":{print_metadata(meta)}',
        f'"tag":{wish if wanted else "null"}',
        f'"generation":{generation}',
        f'"lookupPolicy":{{"local":{"true" if local else "false"}}}',
    ]
    if conditions and conditions != "[]":
        parts.append(f'"conditions":{conditions}')
    parts.append(f'"image":{shown}')
    return ",".join(parts) + "}"


def _print_image(row: Sequence[Any], reference: str, own: str | None) -> str | None:
    """The image; `own` are annotations of the tag, which go over those of the image."""
    digest, uid, version, created, kind, details, details_version, annotations, rest = row[:9]
    layers, manifests = row[9:]
    if rest is not None or (layers and f'"{LAYER_ORDER}":' not in (annotations or "")):
        return None
    if own:
        annotations = dump({**json.loads(annotations or "{}"), **json.loads(own)})
    meta = (
        f'{{"name":{quote(digest)},"uid":"{dashed(uid)}","resourceVersion":"{version}",'
        f'"creationTimestamp":"{created}"'
    )
    if annotations and annotations != "{}":
        meta += f',"annotations":{annotations}'
    parts = [f'{{"metadata":{meta}}}']
    if reference:
        parts.append(f'"dockerImageReference":{quote(reference)}')
    parts.append(f'"dockerImageMetadata":{details}')
    parts.append(f'"dockerImageMetadataVersion":{quote(details_version)}')
    if layers:
        parts.append(f'"dockerImageLayers":[{layers}]')
    if kind:
        parts.append(f'"dockerImageManifestMediaType":{quote(kind)}')
    if manifests:
        parts.append(f'"dockerImageManifests":[{manifests}]')
    return ",".join(parts) + "}"


@lru_cache
def _one_tag(name: str) -> str:
    dialect = Dialect(name)
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
    mine = "WHERE image_id = i.id ORDER BY position"
    columns = (
        dialect.metadata,
        "s.lookup_local, t.name, t.wanted",
        dialect.wish,
        "t.spec_annotations, t.reference_policy, t.conditions",
        f"{dialect.time('e.created')}, e.reference, e.generation",
        f"i.digest, CAST(i.uid AS TEXT), i.version, {dialect.time('i.created')}, i.media_type",
        "i.details, i.details_version, i.annotations, i.rest",
        dialect.lines(layer, f"image_layers {mine}"),
        dialect.lines(manifest, f"image_manifests {mine}"),
    )
    here = " AND ".join(
        f"{column} = {dialect.parameter(parameter)}"
        for column, parameter in (
            ("s.namespace", "namespace"),
            ("s.name", "name"),
            ("t.name", "tag"),
        )
    )
    return (
        f"SELECT {', '.join(columns)} FROM image_streams AS s "  # noqa: S608 - the pieces are ours
        "JOIN tags AS t ON t.stream_id = s.id AND t.seen "
        "JOIN tag_events AS e ON e.id = t.head_id "
        f"JOIN images AS i ON i.digest = e.image WHERE {here}"
    )
