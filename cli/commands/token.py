"""`tagstream token`: manages API tokens and the roles of their users.

A token is printed when it is created and never again.
"""

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

    from models.access.rbac import ApiToken, RoleBinding

ALL_NAMESPACES = "*"
ACCESS_API_VERSION = "access.tagstream.io/v1"


@dataclass(frozen=True, slots=True)
class RoleGrant:
    """A role to bind, and the namespace or stream in which it applies."""

    role: str
    namespace: str
    stream: str = ""


@click.group("token", short_help="Create and revoke API tokens.")
def command() -> None:
    """Create and revoke the bearer tokens of API clients. Only their digests are stored. All
    commands work while the server runs; a revoked token stops working within 5 seconds.
    """


@command.command("create", short_help="Create a token and print it.")
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
    help="Namespace of roles that name none [default: all namespaces].",
)
@click.option("--expires", metavar="30d", help="Lifetime, or `never` [default: never].")
@click.option("--replace", is_flag=True, help="Replace an existing token.")
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
    """Create a token for the user NAME and print it alone on stdout: it is never shown again.

    `admin` without a namespace may do everything. `--replace` also replaces the user's roles.
    """
    from cli.bootstrap import open_database, read_settings
    from cli.rendering.output import print_message
    from models.store.database.session import transaction

    _check_name(name)
    now = _now()
    expires_at = None if expires is None else _parse_expiry(expires, now)
    grants = [_parse_grant(role, namespace) for role in roles]
    with open_database(read_settings(data)) as engine, transaction(engine) as session:
        token = _create(session, name, grants, expires_at=expires_at, replace=replace, now=now)
    sys.stdout.write(f"{token}\n")
    sys.stdout.flush()
    roles_text = ", ".join(_print_role(each.role, each.namespace, each.stream) for each in grants)
    expiry_text = (
        "never expires" if expires_at is None else f"expires {expires_at:%Y-%m-%d %H:%M:%S}Z"
    )
    print_message(f"token {name} created: {roles_text}; {expiry_text}", style="green")


@command.command("list", short_help="List tokens.")
@output_option
@click.pass_obj
def list_command(data: Path | None, *, style: str) -> None:
    """List the tokens and the roles of their users, without the tokens' values."""
    from cli.bootstrap import open_database, read_settings
    from cli.rendering.output import (
        as_list,
        as_object,
        print_columns,
        print_document,
        print_message,
        print_names,
    )
    from models.access.rbac import USER_KIND
    from models.store.access.token_store import list_bindings, list_tokens
    from models.store.database.session import transaction

    with (
        open_database(read_settings(data)) as engine,
        transaction(engine, write=False) as session,
    ):
        tokens = list_tokens(session)
        bindings = [each for each in list_bindings(session) if each.subject_kind == USER_KIND]
    bindings_by_token = {
        token.name: [each for each in bindings if each.subject == token.user] for token in tokens
    }
    if style == "name":
        print_names(f"token/{each.name}" for each in tokens)
    elif style in {"json", "yaml"}:
        items = [
            as_object(
                "Token", _describe(each, bindings_by_token[each.name]), version=ACCESS_API_VERSION
            )
            for each in tokens
        ]
        print_document(as_list("Token", items, version=ACCESS_API_VERSION), style)
    elif tokens:
        now = _now()
        rows = [_row(each, bindings_by_token[each.name], now) for each in tokens]
        print_columns(["NAME", "CREATED", "EXPIRES", "ROLES"], rows)
    else:
        print_message("no tokens")


@command.command("revoke", short_help="Revoke a token.")
@click.argument("name")
@click.pass_obj
def revoke_command(data: Path | None, *, name: str) -> None:
    """Revoke the token NAME. The user's roles are removed with their last token."""
    from cli.bootstrap import open_database, read_settings
    from cli.rendering.output import print_message
    from models.errors import NotFoundError
    from models.store.access.token_store import revoke_token
    from models.store.database.session import transaction

    with open_database(read_settings(data)) as engine, transaction(engine) as session:
        if not revoke_token(session, name):
            raise NotFoundError(resource="tokens", name=name, group="")
    print_message(f"token {name} revoked", style="green")


def _create(
    session: Session,
    name: str,
    grants: Iterable[RoleGrant],
    *,
    expires_at: datetime | None,
    replace: bool,
    now: datetime,
) -> str:
    """Create the token and return it. Its user has exactly the granted roles."""
    from models.access.rbac import USER_KIND
    from models.store.access.namespace_store import ensure_namespace
    from models.store.access.token_store import (
        bind_role,
        create_token,
        revoke_token,
        unbind_subject,
    )

    if replace:
        revoke_token(session, name)
    token = create_token(session, name=name, user=name, expires=expires_at, now=now)
    unbind_subject(session, USER_KIND, name)
    for each in grants:
        bind_role(
            session,
            USER_KIND,
            name,
            each.role,
            each.namespace,
            stream=each.stream,
            now=now,
        )
        if each.namespace != ALL_NAMESPACES:
            ensure_namespace(session, each.namespace, now=now)
    return token


def _parse_grant(text: str, namespace: str | None) -> RoleGrant:
    """Parse `edit`, `edit:team` or `puller:team/app`; `namespace` is that of `--namespace`."""
    from models.store.access.token_store import check_binding

    role, colon, scope = text.partition(":")
    scope_namespace, _, stream = scope.partition("/")
    if colon and not scope_namespace:
        raise click.UsageError(
            f"{text!r} names no namespace; write ROLE, ROLE:NS or ROLE:NS/STREAM"
        )
    grant = RoleGrant(
        role, scope_namespace or (ALL_NAMESPACES if namespace is None else namespace), stream
    )
    check_binding(grant.role, grant.namespace, grant.stream)
    if grant.namespace != ALL_NAMESPACES:
        _check_label(grant.namespace)
    return grant


def _check_name(name: str) -> None:
    """Check the name of a token and its user; `system:` is reserved for groups and the like."""
    from models.errors import UsageError

    good = re.fullmatch(r"[A-Za-z0-9][-._@:A-Za-z0-9]{0,252}", name, re.ASCII)
    if good is None or name.startswith("system:"):
        raise UsageError(
            f"{name[:80]!r} is not a name for a token: use letters, digits and any of -._@:, "
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
    """Return when a token expires that lasts `90m`, `12h`, `30d` or `2w` from now; None for
    `never`.
    """
    from models.durations import parse_duration
    from models.errors import UsageError

    if text == "never":
        return None
    try:
        if not text.strip().isdigit():  # 30 may stand for days as well as for seconds
            seconds = int(parse_duration(text))
            if seconds:
                return now + timedelta(seconds=seconds)
    except (ValueError, OverflowError):
        pass
    raise UsageError(f"--expires {text[:80]!r} is not a duration; write 30d, 12h or 90m")


def _describe(token: ApiToken, bindings: Sequence[RoleBinding]) -> dict[str, Any]:
    """Build the document of a token for JSON and YAML output."""
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


def _row(token: ApiToken, bindings: Sequence[RoleBinding], now: datetime) -> list[Any]:
    from cli.rendering.formatting import format_age, format_timestamp

    expiry: Any = ("never", "dim")
    if token.expires is not None:
        expired = token.expires <= now
        expiry = ("expired", "red") if expired else format_timestamp(token.expires)
    roles = [_print_role(each.role, each.namespace, each.stream) for each in bindings]
    return [
        (token.name, "bold"),
        (format_age(token.created, now), "dim"),
        expiry,
        ", ".join(roles) or "none",
    ]


def _print_role(role: str, namespace: str, stream: str) -> str:
    """Format a role as `--role` takes it. `*` is written out, so that it is not overlooked."""
    return f"{role}:{namespace}" + (f"/{stream}" if stream else "")


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)
