"""`tagstream registry`: changes the policies of registries at run time."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from cli.target import Target, pass_target

if TYPE_CHECKING:
    from cli.backend.rest_client import RestClient
    from models.resources.registries import Registry

DEFAULT_KEYWORD = "default"


@click.group("registry", short_help="Change the policy of registries.")
def command() -> None:
    """Change how registries are used: their rate, their mirrors, or whether they are used at all.

    A change takes effect with the next import; nothing is restarted. `tagstream get registries`
    shows the policies.
    """


def _or_default(parse: Callable[..., Any]) -> Callable[..., tuple[Any] | None]:
    """Build the callback of an option that also accepts `default`.

    The option's value becomes a one-tuple, so that `default` (a None inside it) differs from an
    option that is absent (None).
    """

    def read(context: click.Context, option: click.Parameter, typed: str | None) -> Any:
        if typed is None or context.resilient_parsing:
            return None
        return (None,) if typed == DEFAULT_KEYWORD else (parse(typed, option, context),)

    return read


_FLOAT, _INT = _or_default(click.FLOAT), _or_default(click.INT)
_TEXT, _BOOL = _or_default(click.STRING), _or_default(click.BOOL)


@command.command("set", short_help="Change a registry's policy.")
@click.argument("host")
@click.option(
    "--rate", callback=_FLOAT, metavar="N", help="Scheduled checks a second; 0: no limit."
)
@click.option("--concurrency", callback=_INT, metavar="N", help="Requests in flight, 1 to 32.")
@click.option(
    "--interval", callback=_TEXT, metavar="DURATION", help="Check interval of its scheduled tags."
)
@click.option(
    "--suspended", callback=_BOOL, metavar="BOOL", help="Whether scheduled checks are suspended."
)
@click.option(
    "--blocked", callback=_BOOL, metavar="BOOL", help="Whether no request may be sent to it."
)
@click.option(
    "--insecure", callback=_BOOL, metavar="BOOL", help="Whether its certificate is not verified."
)
@click.option(
    "--mirror",
    "mirrors",
    multiple=True,
    metavar="[digest=|tag=]LOCATION",
    help="Mirror to use before the registry; may be repeated.",
)
@click.option("--no-mirrors", is_flag=True, help="Remove its mirrors.")
@click.option(
    "--mirrors-only", type=click.BOOL, metavar="BOOL", help="Whether only its mirrors are used."
)
@pass_target
def set_command(
    target: Target,
    /,
    *,
    host: str,
    mirrors: tuple[str, ...],
    no_mirrors: bool,
    mirrors_only: bool | None,
    **policy_options: tuple[Any] | None,
) -> None:
    """Change the policy of HOST: host, host:port, host/path or *.domain.

    Options that are not given keep their value. The value `default` removes one, so that the
    settings apply.
    """
    if mirrors and no_mirrors:
        raise click.UsageError("use either --mirror or --no-mirrors")
    changes: dict[str, Any] = {
        key: wrapped[0] for key, wrapped in policy_options.items() if wrapped is not None
    }
    if mirrors or no_mirrors:
        changes["mirrors"] = [_parse_mirror(each) for each in mirrors]
    if mirrors_only is not None:
        changes["mirrorSourcePolicy"] = "NeverContactSource" if mirrors_only else None
    elif no_mirrors:
        changes["mirrorSourcePolicy"] = None
    if not changes:
        raise click.UsageError("no change given")
    from cli.backend.connect import open_backend
    from cli.rendering.output import print_message
    from cli.rendering.registry_output import describe_policy

    with open_backend(target) as backend:
        saved = _save(backend.rest, host, changes)
    print_message(f"registry {saved.spec.host}: {describe_policy(saved)}", style="green")


@command.command("delete", short_help="Delete the policy of a registry.")
@click.argument("host")
@pass_target
def delete_command(target: Target, *, host: str) -> None:
    """Delete the policy of HOST, so that the settings apply. A registry that scheduled tags use
    stays in the list.
    """
    from cli.backend.api_paths import resource_path
    from cli.backend.connect import open_backend
    from cli.rendering.output import print_message
    from cli.rendering.registry_output import REGISTRIES_RESOURCE, SYNC_GROUP, require_registry

    with open_backend(target) as backend:
        found = require_registry(backend.rest, host)
        backend.rest.delete(
            resource_path(SYNC_GROUP, REGISTRIES_RESOURCE, name=found.metadata.name)
        )
    print_message(f"registry {found.spec.host}: policy deleted", style="green")


def _parse_mirror(text: str) -> dict[str, str]:
    """Parse `tag=mirror.example/x`: an optional kind of references, and the location."""
    kind, equals, location = text.rpartition("=")
    return {"location": location, "kind": kind} if equals else {"location": text}


def _save(rest: RestClient, host: str, changes: dict[str, Any]) -> Registry:
    """Create or update the Registry of the host. A value of None removes the field."""
    from cli.backend.api_paths import resource_path
    from cli.rendering.registry_output import REGISTRIES_RESOURCE, SYNC_GROUP, find_registry
    from models.resources.registries import Registry
    from models.streams.registries.registry_validation import registry_object_name

    found = find_registry(rest, host)
    if found is None:
        spec = {key: value for key, value in {"host": host, **changes}.items() if value is not None}
        metadata = {"name": registry_object_name(host)}
        if (
            rest.find(resource_path(SYNC_GROUP, REGISTRIES_RESOURCE, name=metadata["name"]))
            is not None
        ):
            metadata["name"] = registry_object_name(host, with_hash=True)
        body = {"metadata": metadata, "spec": spec}
        return Registry.model_validate(
            rest.post(resource_path(SYNC_GROUP, REGISTRIES_RESOURCE), body)
        )
    wire = found.wire()
    spec = {**wire["spec"], **changes}
    wire["spec"] = {key: value for key, value in spec.items() if value is not None}
    path = resource_path(SYNC_GROUP, REGISTRIES_RESOURCE, name=found.metadata.name)
    return Registry.model_validate(rest.put(path, wire))
