"""`tagstream token`: who may use the API, and as what. A token is printed once and never again."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.options import output_option

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from models.access.rbac import Binding, Token

EVERYWHERE = "*"
FORM = "access.tagstream.io/v1"
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


@dataclass(frozen=True, slots=True)
class Grant:
    """A role that is to be given, and where."""

    role: str
    namespace: str
    stream: str = ""


@click.group("token", short_help="Make and revoke tokens of the API.")
def command() -> None:
    """Make and revoke the bearer tokens that clients of the API show. Only their digests are
    kept. All of it works while the server runs; a revoked token stops working within 5 seconds.
    """


@command.command("create", short_help="Make a token and print it.")
@click.argument("name")
@click.option(
    "--role",
    "roles",
    metavar="ROLE[:NS[/STREAM]]",
    multiple=True,
    required=True,
    help="admin, edit, view, puller, pusher, signer, auditor or pruner; may be repeated.",
)
@click.option(
    "-n",
    "--namespace",
    metavar="NS",
    help="Namespace in which roles count that name none [default: all of them].",
)
@click.option("--expires", metavar="30d", help="How long it works, or `never` [default: never].")
@click.option("--replace", is_flag=True, help="Replace the token, if there is one.")
@click.pass_obj
def create_command(
    data: Path | None,
    *,
    name: str,
    roles: tuple[str, ...],
    namespace: str | None,
    expires: str | None,
    replace: bool,
) -> None:
    """Make a token for the user NAME and print it alone on stdout: it is never shown again.

    `admin` without a namespace may do everything. `--replace` also replaces the user's roles.
    """
    from cli.bootstrap import open_store, read_settings
    from cli.rendering.output import say
    from models.store.database.session import transaction

    _check_name(name)
    now = _now()
    until = None if expires is None else _parse_expiry(expires, now)
    grants = [_parse_grant(role, namespace) for role in roles]
    with open_store(read_settings(data)) as engine, transaction(engine) as session:
        clear = _create(session, name, grants, until=until, replace=replace, now=now)
    sys.stdout.write(f"{clear}\n")
    sys.stdout.flush()
    given = ", ".join(_print_role(each.role, each.namespace, each.stream) for each in grants)
    ends = "never expires" if until is None else f"expires {until:%Y-%m-%d %H:%M:%S}Z"
    say(f"token {name} created: {given}; {ends}", style="green")


@command.command("list", short_help="List tokens.")
@output_option
@click.pass_obj
def list_command(data: Path | None, *, style: str) -> None:
    """List the tokens and the roles of their users; never what the tokens say."""
    from cli.bootstrap import open_store, read_settings
    from cli.rendering.output import (
        as_list,
        as_object,
        print_columns,
        print_document,
        print_names,
        say,
    )
    from models.access.rbac import USER_KIND
    from models.store.access.token_store import list_bindings, list_tokens
    from models.store.database.session import transaction

    with (
        open_store(read_settings(data)) as engine,
        transaction(engine, write=False) as session,
    ):
        tokens = list_tokens(session)
        bindings = [each for each in list_bindings(session) if each.subject_kind == USER_KIND]
    held = {
        token.name: [each for each in bindings if each.subject == token.user] for token in tokens
    }
    if style == "name":
        print_names(f"token/{each.name}" for each in tokens)
    elif style in {"json", "yaml"}:
        items = [
            as_object("Token", _describe(each, held[each.name]), version=FORM) for each in tokens
        ]
        print_document(as_list("Token", items, version=FORM), style)
    elif tokens:
        now = _now()
        rows = [_row(each, held[each.name], now) for each in tokens]
        print_columns(["NAME", "CREATED", "EXPIRES", "ROLES"], rows)
    else:
        say("no tokens")


@command.command("revoke", short_help="Revoke a token.")
@click.argument("name")
@click.pass_obj
def revoke_command(data: Path | None, *, name: str) -> None:
    """Revoke the token NAME. The user's roles go with the last of their tokens."""
    from cli.bootstrap import open_store, read_settings
    from cli.rendering.output import say
    from models.errors import NotFoundError
    from models.store.access.token_store import revoke_token
    from models.store.database.session import transaction

    with open_store(read_settings(data)) as engine, transaction(engine) as session:
        if not revoke_token(session, name):
            raise NotFoundError(resource="tokens", name=name, group="")
    say(f"token {name} revoked", style="green")


def _create(
    session: Session,
    name: str,
    grants: Iterable[Grant],
    *,
    until: datetime | None,
    replace: bool,
    now: datetime,
) -> str:
    """The new token. Its user has the roles that were said, and no others."""
    from models.access.rbac import USER_KIND
    from models.store.access.namespace_store import ensure_namespace
    from models.store.access.token_store import bind, create_token, revoke_token, unbind_subject

    if replace:
        revoke_token(session, name)
    clear = create_token(session, name=name, user=name, expires=until, now=now)
    unbind_subject(session, USER_KIND, name)
    for each in grants:
        bind(
            session,
            USER_KIND,
            name,
            each.role,
            each.namespace,
            stream=each.stream,
            now=now,
        )
        if each.namespace != EVERYWHERE:
            ensure_namespace(session, each.namespace, now=now)
    return clear


def _parse_grant(text: str, namespace: str | None) -> Grant:
    """`edit`, `edit:team` or `puller:team/app`; `namespace` is that of `--namespace`."""
    from models.store.access.token_store import check_binding

    role, colon, place = text.partition(":")
    where, _, stream = place.partition("/")
    if colon and not where:
        raise click.UsageError(
            f"{text!r} names no namespace; write ROLE, ROLE:NS or ROLE:NS/STREAM"
        )
    grant = Grant(role, where or (EVERYWHERE if namespace is None else namespace), stream)
    check_binding(grant.role, grant.namespace, grant.stream)
    if grant.namespace != EVERYWHERE:
        _check_label(grant.namespace)
    return grant


def _check_name(name: str) -> None:
    """What a token, and so a user, may be called; `system:` is for groups and the like."""
    from models.errors import UsageError

    good = re.fullmatch(r"[A-Za-z0-9][-._@:A-Za-z0-9]{0,252}", name, re.ASCII)
    if good is None or name.startswith("system:"):
        raise UsageError(
            f"{name[:80]!r} is not a name for a token: letters, digits and any of -._@: are, "
            "beginning with a letter or digit, but not with system:"
        )


def _check_label(namespace: str) -> None:
    from models.errors import UsageError

    label = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", re.ASCII)
    if label.fullmatch(namespace) is None:
        raise UsageError(
            f"{namespace[:80]!r} is not a name for a namespace: up to 63 lower-case letters, "
            "digits and '-', beginning and ending with a letter or digit"
        )


def _parse_expiry(text: str, now: datetime) -> datetime | None:
    """When a token ends that lasts for `90m`, `12h` or `30d` from now on; None for `never`."""
    from models.errors import UsageError

    if text == "never":
        return None
    found = re.fullmatch(r"(\d{1,6})([smhdw])", text.strip(), re.ASCII)
    try:
        length = timedelta(**{_UNITS[found.group(2)]: int(found.group(1))}) if found else None
        if length:
            return now + length
    except OverflowError:
        pass
    raise UsageError(f"--expires {text[:80]!r} is not a length of time; write 30d, 12h or 90m")


def _describe(token: Token, bindings: Sequence[Binding]) -> dict[str, Any]:
    """A token for programs."""
    from models.resources.wire import format_time

    described: dict[str, Any] = {
        "metadata": {
            "name": token.name,
            "uid": token.uid,
            "creationTimestamp": format_time(token.created),
        },
        "user": token.user,
        "groups": list(token.groups),
        "roles": [
            {"role": each.role, "namespace": each.namespace}
            | ({"stream": each.stream} if each.stream else {})
            for each in bindings
        ],
    }
    if token.expires is not None:
        described["expires"] = format_time(token.expires)
    return described


def _row(token: Token, bindings: Sequence[Binding], now: datetime) -> list[Any]:
    from cli.rendering.formatting import format_age, format_moment

    ends: Any = ("never", "dim")
    if token.expires is not None:
        over = token.expires <= now
        ends = ("expired", "red") if over else format_moment(token.expires)
    roles = [_print_role(each.role, each.namespace, each.stream) for each in bindings]
    return [
        (token.name, "bold"),
        (format_age(token.created, now), "dim"),
        ends,
        ", ".join(roles) or "none",
    ]


def _print_role(role: str, namespace: str, stream: str) -> str:
    """As `--role` takes it; `*` is said, so that nobody overlooks it."""
    return f"{role}:{namespace}" + (f"/{stream}" if stream else "")


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)
