"""`tagstream token`: tokens are created, printed once, listed without their value and revoked."""

import re
import sqlite3
from datetime import UTC, datetime, timedelta

import pytest

from models.store.access.token_store import digest_token, load_caller
from models.store.database.session import open_engine, transaction

TOKEN = r"tgs_[-_A-Za-z0-9]{43}\n"


def authenticate(cli, token, *, after=timedelta()):
    """Return the caller whom a token authenticates at a server on the same data, or None."""
    engine = open_engine(f"sqlite:///{cli.data / 'tagstream.db'}")
    try:
        with transaction(engine, write=False) as session:
            found = load_caller(session, digest_token(token.strip()), datetime.now(UTC) + after)
    finally:
        engine.dispose()
    return None if found is None else found[0]


def roles(caller):
    return [
        f"{each.role}:{each.namespace}" + f"/{each.stream}".rstrip("/") for each in caller.bindings
    ]


def test_token_create_prints_token_and_stores_only_digest(cli):
    result = cli("token", "create", "ci", "--role", "edit", "--namespace", "team")
    assert result.code == 0
    assert re.fullmatch(TOKEN, result.out)
    assert result.err == "token ci created: edit:team; never expires\n"
    caller = authenticate(cli, result.out)
    assert (caller.user, roles(caller)) == ("ci", ["edit:team"])
    stored = b"".join(path.read_bytes() for path in cli.data.iterdir())
    assert result.out.strip().encode() not in stored


def test_token_create_without_namespace_binds_role_everywhere(cli):
    caller = authenticate(cli, cli("token", "create", "root", "--role", "admin").out)
    assert caller.is_cluster_admin
    caller = authenticate(cli, cli("token", "create", "all", "--role", "view", "-n", "*").out)
    assert roles(caller) == ["view:*"]


def test_token_create_role_may_name_namespace_and_stream(cli):
    options = ("--role", "edit", "--role", "puller:ns2/src", "--role", "auditor:*", "-n", "ns1")
    caller = authenticate(cli, cli("token", "create", "ann", *options).out)
    assert roles(caller) == ["edit:ns1", "puller:ns2/src", "auditor:*"]


@pytest.mark.parametrize(
    ("expires", "lives"), [("30d", timedelta(days=30)), ("90m", timedelta(minutes=90))]
)
def test_token_expires_after_given_duration(cli, expires, lives):
    result = cli("token", "create", "ci", "--role", "view", "--expires", expires)
    assert "; expires 2" in result.err
    assert authenticate(cli, result.out, after=lives - timedelta(minutes=5)) is not None
    assert authenticate(cli, result.out, after=lives) is None


def test_revoked_token_is_unknown(cli):
    token = cli("token", "create", "ci", "--role", "admin").out
    assert cli("token", "revoke", "ci").err == "token ci revoked\n"
    assert authenticate(cli, token) is None
    again = cli("token", "revoke", "ci")
    assert again.code == 1
    assert again.err == 'tagstream: tokens "ci" not found; see `tagstream token list`\n'


def test_token_create_replaces_token_and_roles_only_with_replace_option(cli):
    first = cli("token", "create", "ci", "--role", "admin").out
    refused = cli("token", "create", "ci", "--role", "view")
    assert (refused.code, refused.out) == (1, "")
    assert 'tokens "ci" already exists; use --replace' in refused.err
    second = cli("token", "create", "ci", "--role", "view:ns1", "--replace").out
    assert authenticate(cli, first) is None
    assert roles(authenticate(cli, second)) == ["view:ns1"]


def test_token_list_shows_no_token_value(cli):
    assert cli("token", "list").err == "no tokens\n"
    token = cli("token", "create", "ci", "--role", "edit:team", "--role", "signer").out
    cli("token", "create", "old", "--role", "view", "--expires", "1d")
    cli("token", "create", "far", "--role", "view", "--expires", "2w")
    with sqlite3.connect(cli.data / "tagstream.db") as database:
        database.execute("UPDATE tokens SET expires = '2020-01-01 00:00:00' WHERE name = 'old'")
    database.close()
    listed = cli("token", "list")
    assert token.strip() not in listed.out
    far, ci, old = sorted(listed.rows, key=lambda row: ("far", "ci", "old").index(row[0]))
    assert ci[-3:] == ["never", "edit:team,", "signer:*"]
    assert "expired" in old
    assert far[-1] == "view:*"
    assert cli("token", "list", "-o", "name").out == "token/ci\ntoken/far\ntoken/old\n"
    first = cli("token", "list", "-o", "json").json()["items"][0]
    assert first["roles"] == [
        {"role": "edit", "namespace": "team"},
        {"role": "signer", "namespace": "*"},
    ]
    assert digest_token(token.strip()) not in cli("token", "list", "-o", "yaml").out


def test_token_commands_use_data_option(cli, tmp_path):
    other = tmp_path / "elsewhere"
    assert cli("--data", other, "token", "create", "ci", "--role", "view").code == 0
    assert cli("--data", other, "token", "list", "-o", "name").out == "token/ci\n"
    assert cli("token", "list").err == "no tokens\n"


def test_token_create_works_during_open_read_transaction(cli):
    cli("token", "list")
    engine = open_engine(f"sqlite:///{cli.data / 'tagstream.db'}")
    try:
        with transaction(engine, write=False) as session:
            session.connection().exec_driver_sql("SELECT count(*) FROM tokens").scalar_one()
            assert cli("token", "create", "ci", "--role", "view").code == 0
    finally:
        engine.dispose()


def test_token_create_creates_namespace_of_role(cli):
    cli("token", "create", "ci", "--role", "edit", "--namespace", "team")
    with sqlite3.connect(cli.data / "tagstream.db") as database:
        names = [name for (name,) in database.execute("SELECT name FROM namespaces")]
    database.close()
    assert "team" in names


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ci"], "Missing option '--role'"),
        (["ci", "--role", "owner"], "'owner' is not a role; write one of admin, edit"),
        (["ci", "--role", "signer", "-n", "team"], "the role signer applies to all namespaces"),
        (["ci", "--role", "edit:team/app"], "only puller and pusher can be limited"),
        (["ci", "--role", "edit:"], "names no namespace"),
        (["ci", "--role", "edit:Team"], "'Team' is not a name for a namespace"),
        (["ci", "--role", "edit", "-n", ""], "needs a namespace"),
        (["ci", "--role", "edit", "-n", "a" * 64], "is not a name for a namespace"),
        (["c i", "--role", "edit"], "is not a name for a token"),
        (["system:masters", "--role", "edit"], "is not a name for a token"),
        (["ci", "--role", "edit", "--expires", "soon"], "write 30d, 12h or 90m"),
        (["ci", "--role", "edit", "--expires", "0d"], "write 30d, 12h or 90m"),
        (["ci", "--role", "edit", "--expires", "999999w"], "write 30d, 12h or 90m"),
    ],
)
def test_token_create_usage_error_is_one_line(cli, arguments, message):
    result = cli("token", "create", *arguments)
    assert (result.code, result.out) == (2, "")
    assert message in result.err
    assert result.err.count("\n") == 1
