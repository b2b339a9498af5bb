"""`tagstream registry`: how registries are to be treated, while everything runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from cli.target import Place, pass_place

if TYPE_CHECKING:
    from cli.backend.rest_client import Rest
    from models.resources.registries import Registry

DEFAULT = "default"


@click.group("registry", short_help="Say how registries are to be treated.")
def command() -> None:
    """Say how registries are to be treated: how fast, by which mirrors, or not at all. It counts
    from the next import on; nothing is restarted. `tagstream get registries` shows them.
    """


def _or_default(parse: Callable[..., Any]) -> Callable[..., tuple[Any] | None]:
    """Reads an option whose word `default` is None, in a box that tells it from silence."""

    def read(context: click.Context, option: click.Parameter, typed: str | None) -> Any:
        if typed is None or context.resilient_parsing:
            return None
        return (None,) if typed == DEFAULT else (parse(typed, option, context),)

    return read


_FLOAT, _INT = _or_default(click.FLOAT), _or_default(click.INT)
_TEXT, _SWITCH = _or_default(click.STRING), _or_default(click.BOOL)


@command.command("set", short_help="Change a registry's policy.")
@click.argument("host")
@click.option("--rate", callback=_FLOAT, metavar="N", help="Scheduled checks a second; 0: any.")
@click.option("--concurrency", callback=_INT, metavar="N", help="Requests in flight, 1 to 32.")
@click.option(
    "--interval", callback=_TEXT, metavar="SPAN", help="How often its tags are looked at."
)
@click.option(
    "--suspended", callback=_SWITCH, metavar="BOOL", help="Whether the clock leaves its tags alone."
)
@click.option(
    "--blocked", callback=_SWITCH, metavar="BOOL", help="Whether nothing may be asked there."
)
@click.option(
    "--insecure", callback=_SWITCH, metavar="BOOL", help="Whether its certificate goes unverified."
)
@click.option(
    "--mirror", "mirrors", multiple=True, metavar="[digest=|tag=]PLACE", help="Asked before it."
)
@click.option("--no-mirrors", is_flag=True, help="Forget its mirrors.")
@click.option(
    "--mirrors-only", type=click.BOOL, metavar="BOOL", help="Whether only the mirrors are asked."
)
@pass_place
def set_command(
    place: Place,
    /,
    *,
    host: str,
    mirrors: tuple[str, ...],
    no_mirrors: bool,
    mirrors_only: bool | None,
    **said: tuple[Any] | None,
) -> None:
    """Change what is said of HOST: host, host:port, host/path or *.domain.

    Options that are not there leave what was said; the word `default` takes it back, so that the
    settings count.
    """
    if mirrors and no_mirrors:
        raise click.UsageError("say either --mirror or --no-mirrors")
    changes: dict[str, Any] = {key: box[0] for key, box in said.items() if box is not None}
    if mirrors or no_mirrors:
        changes["mirrors"] = [_parse_mirror(each) for each in mirrors]
    if mirrors_only is not None:
        changes["neverContactSource"] = mirrors_only
    elif no_mirrors:
        changes["neverContactSource"] = False
    if not changes:
        raise click.UsageError("say what is to change; see tagstream registry set --help")
    from cli.backend.connect import open_desk
    from cli.rendering.output import say
    from cli.rendering.registry_output import policy_words

    with open_desk(place) as desk:
        saved = _save(desk.rest, host, changes)
    say(f"registry {saved.spec.host}: {policy_words(saved)}", style="green")


@command.command("delete", short_help="Forget a registry's policy.")
@click.argument("host")
@pass_place
def delete_command(place: Place, *, host: str) -> None:
    """Forget what was said of HOST, so that the settings count. A registry that scheduled tags come
    from stays in the list.
    """
    from cli.backend.api_paths import path_of
    from cli.backend.connect import open_desk
    from cli.rendering.output import say
    from cli.rendering.registry_output import RESOURCE, SYNC_GROUP, need_registry

    with open_desk(place) as desk:
        found = need_registry(desk.rest, host)
        desk.rest.delete(path_of(SYNC_GROUP, RESOURCE, name=found.metadata.name))
    say(f"registry {found.spec.host}: policy deleted", style="green")


def _parse_mirror(text: str) -> dict[str, str]:
    """`tag=mirror.example/x`: what it serves, if not everything, and where it is."""
    kind, equals, location = text.rpartition("=")
    return {"location": location, "kind": kind} if equals else {"location": text}


def _save(rest: Rest, host: str, changes: dict[str, Any]) -> Registry:
    """Make or change the object that speaks for the host. A value of None is left out."""
    from cli.backend.api_paths import path_of
    from cli.rendering.registry_output import RESOURCE, SYNC_GROUP, find_registry
    from models.resources.registries import Registry
    from models.streams.registries.registry_validation import name_for

    found = find_registry(rest, host)
    if found is None:
        spec = {key: value for key, value in {"host": host, **changes}.items() if value is not None}
        metadata = {"name": name_for(host)}
        if rest.find(path_of(SYNC_GROUP, RESOURCE, name=metadata["name"])) is not None:
            metadata["name"] = name_for(host, marked=True)
        body = {"metadata": metadata, "spec": spec}
        return Registry.model_validate(rest.post(path_of(SYNC_GROUP, RESOURCE), body))
    wire = found.wire()
    spec = {**wire["spec"], **changes}
    wire["spec"] = {key: value for key, value in spec.items() if value is not None}
    path = path_of(SYNC_GROUP, RESOURCE, name=found.metadata.name)
    return Registry.model_validate(rest.put(path, wire))
