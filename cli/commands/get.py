"""`tagstream get`: lists streams, images, jobs, scheduled tags and registries, or shows one of
them.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from cli.options import all_namespaces_option, namespace_option, output_option
from cli.target import Target, pass_target

if TYPE_CHECKING:
    from cli.backend.base_backend import Backend
    from cli.rendering.table_output import PrintOptions

KINDS = {
    **dict.fromkeys(("streams", "stream", "imagestreams", "imagestream", "is"), "streams"),
    **dict.fromkeys(("images", "image"), "images"),
    **dict.fromkeys(("jobs", "job"), "jobs"),
    **dict.fromkeys(("scheduledtags", "scheduledtag", "st"), "scheduledtags"),
    **dict.fromkeys(("registries", "registry", "reg"), "registries"),
}
_KIND_CHOICES = "streams|images|jobs|scheduledtags|registries"


@click.command("get", short_help="List streams, images, jobs, scheduled tags or registries.")
@click.argument("kind", default="streams", metavar=f"[{_KIND_CHOICES}]")
@click.argument("name", default="", metavar="[NAME]")
@namespace_option
@all_namespaces_option
@click.option(
    "--limit", type=click.IntRange(min=1), default=50, show_default=True, help="Number of jobs."
)
@output_option
@pass_target
def command(
    target: Target,
    *,
    kind: str,
    name: str,
    namespace: str,
    all_namespaces: bool,
    limit: int,
    style: str,
) -> None:
    """List the streams of a namespace, the images that their tags point to, jobs, the schedule of
    tags, or the state of registries.

    NAME is a stream's name, an image's digest or a job's id; a prefix of a digest or id is enough.
    Of scheduled tags it is STREAM or STREAM:TAG, of registries a host.
    """
    if kind not in KINDS:
        raise click.UsageError(
            f"{kind!r} is not a kind; choose one of {_KIND_CHOICES.replace('|', ', ')}"
        )
    from cli.backend.connect import open_backend
    from cli.rendering import table_output
    from cli.rendering.output import print_message

    print_options = table_output.PrintOptions(
        style, single=bool(name), all_namespaces=all_namespaces, now=datetime.now(UTC)
    )
    namespace_filter = None if all_namespaces else namespace
    with open_backend(target) as backend:
        match KINDS[kind]:
            case "streams":
                stream = [backend.find_stream(namespace, name)] if name else None
                count = table_output.print_streams(
                    stream or backend.list_streams(namespace_filter), print_options
                )
            case "images":
                count = _print_images(backend, namespace_filter, name, print_options)
            case "scheduledtags":
                count = _print_schedule(backend, namespace_filter, name, print_options)
            case "registries":
                count = _print_registries(backend, name, print_options)
            case _:
                job = [backend.find_job(name)] if name else None
                jobs = job or backend.recent_jobs(namespace_filter, limit=limit)
                count = table_output.print_jobs(jobs, print_options)
    if not count:
        print_message(_describe_nothing_found(KINDS[kind], name, namespace_filter))


def _describe_nothing_found(kind: str, name: str, namespace_filter: str | None) -> str:
    if kind == "registries":
        return "no registries yet: each registry of a scheduled tag gets an entry automatically"
    scope = "any namespace" if namespace_filter is None else f"namespace {namespace_filter}"
    noun = "scheduled tags" if kind == "scheduledtags" else kind
    return f"no {noun}{f' of {name}' if name else ''} in {scope}"


def _print_images(
    backend: Backend, namespace_filter: str | None, name: str, print_options: PrintOptions
) -> int:
    """Print the current images of a namespace (None: of all) or one image.

    The table also lists the tags that point to an image, so it needs all streams.
    """
    from cli import image_lookup
    from cli.rendering.table_output import print_images

    image = [image_lookup.find_image(backend, name)] if name else None
    needs_tags = not name or print_options.style in {"table", "wide"}
    heads = image_lookup.list_heads(backend, namespace_filter) if needs_tags else []
    images = image or image_lookup.fetch_current_images(backend, heads)
    return print_images(images, image_lookup.tags_by_image(heads), print_options)


def _print_schedule(
    backend: Backend, namespace_filter: str | None, name: str, print_options: PrintOptions
) -> int:
    """Print the whole schedule, that of a stream, or that of one tag."""
    from cli.import_request import parse_destination
    from cli.rendering.schedule_output import print_schedule
    from models.errors import NotFoundError

    stream, tag = parse_destination(name) if name else ("", "")
    found = backend.list_schedule(namespace_filter, stream=stream, tag=tag)
    if tag and not found:
        raise NotFoundError(resource="scheduledtags", name=name, group="sync.tagstream.io")
    return print_schedule(
        found, replace(print_options, single=bool(tag) and namespace_filter is not None)
    )


def _print_registries(backend: Backend, name: str, print_options: PrintOptions) -> int:
    """Print all registries or one; they are cluster-scoped."""
    from cli.rendering.registry_output import list_registries, print_registries, require_registry

    found = [require_registry(backend.rest, name)] if name else list_registries(backend.rest)
    return print_registries(found, print_options)
