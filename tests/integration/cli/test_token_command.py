"""`tagstream token`: tokens are made, shown once, listed without what they say, and revoked."""

import re
import sqlite3
from datetime import UTC, datetime, timedelta

import pytest

from models.store.access.token_store import digest_token, load_caller
from models.store.database.session import open_engine, transaction

TOKEN = r"tgs_[-_A-Za-z0-9]{43}\n"


def call(cli, clear, *, after=timedelta()):
    """Whom a token speaks for, as a server on the same data finds it."""
    engine = open_engine(f"sqlite:///{cli.data / 'tagstream.db'}")
    try:
        with transaction(engine, write=False) as session:
            found = load_caller(session, digest_token(clear.strip()), datetime.now(UTC) + after)
    finally:
        engine.dispose()
    return None if found is None else found[0]


def roles(caller):
    return [
        f"{each.role}:{each.namespace}" + f"/{each.stream}".rstrip("/") for each in caller.bindings
    ]


def test_a_token_is_printed_alone_and_only_its_digest_is_kept(cli):
    ended = cli("token", "create", "ci", "--role", "edit", "--namespace", "team")
    assert ended.code == 0
    assert re.fullmatch(TOKEN, ended.out)
    assert ended.err == "token ci created: edit:team; never expires\n"
    caller = call(cli, ended.out)
    assert (caller.user, roles(caller)) == ("ci", ["edit:team"])
    stored = b"".join(path.read_bytes() for path in cli.data.iterdir())
    assert ended.out.strip().encode() not in stored


def test_without_a_namespace_a_role_counts_everywhere(cli):
    caller = call(cli, cli("token", "create", "root", "--role", "admin").out)
    assert caller.is_cluster_admin
    caller = call(cli, cli("token", "create", "all", "--role", "view", "-n", "*").out)
    assert roles(caller) == ["view:*"]


def test_every_role_may_name_its_own_place(cli):
    said = ("--role", "edit", "--role", "puller:ns2/src", "--role", "auditor:*", "-n", "ns1")
    caller = call(cli, cli("token", "create", "ann", *said).out)
    assert roles(caller) == ["edit:ns1", "puller:ns2/src", "auditor:*"]


@pytest.mark.parametrize(
    ("expires", "lives"), [("30d", timedelta(days=30)), ("90m", timedelta(minutes=90))]
)
def test_a_token_ends_when_it_was_said(cli, expires, lives):
    ended = cli("token", "create", "ci", "--role", "view", "--expires", expires)
    assert "; expires 2" in ended.err
    assert call(cli, ended.out, after=lives - timedelta(minutes=5)) is not None
    assert call(cli, ended.out, after=lives) is None


def test_a_revoked_token_speaks_for_nobody(cli):
    clear = cli("token", "create", "ci", "--role", "admin").out
    assert cli("token", "revoke", "ci").err == "token ci revoked\n"
    assert call(cli, clear) is None
    again = cli("token", "revoke", "ci")
    assert again.code == 1
    assert again.err == 'tagstream: tokens "ci" not found; look at `tagstream token list`\n'


def test_a_token_is_replaced_only_on_request_and_with_its_roles(cli):
    first = cli("token", "create", "ci", "--role", "admin").out
    refused = cli("token", "create", "ci", "--role", "view")
    assert (refused.code, refused.out) == (1, "")
    assert 'tokens "ci" already exists; say --replace' in refused.err
    second = cli("token", "create", "ci", "--role", "view:ns1", "--replace").out
    assert call(cli, first) is None
    assert roles(call(cli, second)) == ["view:ns1"]


def test_tokens_are_listed_without_what_they_say(cli):
    assert cli("token", "list").err == "no tokens\n"
    clear = cli("token", "create", "ci", "--role", "edit:team", "--role", "signer").out
    cli("token", "create", "old", "--role", "view", "--expires", "1d")
    cli("token", "create", "far", "--role", "view", "--expires", "2w")
    with sqlite3.connect(cli.data / "tagstream.db") as database:
        database.execute("UPDATE tokens SET expires = '2020-01-01 00:00:00' WHERE name = 'old'")
    database.close()
    listed = cli("token", "list")
    assert clear.strip() not in listed.out
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
    assert digest_token(clear.strip()) not in cli("token", "list", "-o", "yaml").out


def test_the_data_directory_can_be_named(cli, tmp_path):
    other = tmp_path / "elsewhere"
    assert cli("--data", other, "token", "create", "ci", "--role", "view").code == 0
    assert cli("--data", other, "token", "list", "-o", "name").out == "token/ci\n"
    assert cli("token", "list").err == "no tokens\n"


def test_a_token_is_made_while_a_server_reads(cli):
    cli("token", "list")
    engine = open_engine(f"sqlite:///{cli.data / 'tagstream.db'}")
    try:
        with transaction(engine, write=False) as session:
            session.connection().exec_driver_sql("SELECT count(*) FROM tokens").scalar_one()
            assert cli("token", "create", "ci", "--role", "view").code == 0
    finally:
        engine.dispose()


def test_the_namespace_of_a_role_is_made(cli):
    cli("token", "create", "ci", "--role", "edit", "--namespace", "team")
    with sqlite3.connect(cli.data / "tagstream.db") as database:
        names = [name for (name,) in database.execute("SELECT name FROM namespaces")]
    database.close()
    assert "team" in names


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["ci"], "Missing option '--role'"),
        (["ci", "--role", "owner"], "'owner' is not a role; write one of admin, edit"),
        (["ci", "--role", "signer", "-n", "team"], "the role signer counts everywhere"),
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
def test_wrong_usage_is_told_in_one_line(cli, words, said):
    ended = cli("token", "create", *words)
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err
    assert ended.err.count("\n") == 1
