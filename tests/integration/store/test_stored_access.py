"""Tokens and roles in the database: kept as digests, ended by revoking and by time."""

import re
import threading
from datetime import timedelta

import pytest
from sqlalchemy import text

from models.access.rbac import Binding
from models.errors import AlreadyExistsError, UsageError
from models.store.access.token_store import (
    bind,
    bindings_of,
    create_token,
    digest_token,
    find_token,
    list_bindings,
    list_tokens,
    load_caller,
    revoke_token,
    unbind,
    unbind_namespace,
)
from models.store.database.session import transaction
from tests.integration.store.things import NOW, after


def make(engine, name="ci", *, expires=None, user=None, groups=()):
    with transaction(engine) as session:
        return create_token(
            session, name=name, user=user or name, groups=groups, expires=expires, now=NOW
        )


def give(engine, subject, role, namespace="*", stream="", *, kind="User"):
    with transaction(engine) as session:
        return bind(session, kind, subject, role, namespace, stream=stream, now=NOW)


def call(engine, clear, *, now=NOW):
    with transaction(engine, write=False) as session:
        return load_caller(session, digest_token(clear), now)


def find(engine, clear, now=NOW):
    with transaction(engine, write=False) as session:
        return find_token(session, digest_token(clear), now)


def test_a_token_is_said_once_and_only_its_digest_is_kept(engine):
    clear = make(engine)
    assert re.fullmatch(r"tgs_[-_A-Za-z0-9]{43}", clear)
    assert make(engine, "other") != clear
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT * FROM tokens")).all()
    assert clear.removeprefix("tgs_") not in repr(rows)
    assert digest_token(clear) in repr(rows)
    assert clear not in repr(call(engine, clear))
    assert digest_token(clear) not in repr(call(engine, clear))


def test_a_token_speaks_for_its_user_with_all_their_roles(engine):
    clear = make(engine, groups=["builders"])
    give(engine, "ci", "edit", "ns1")
    give(engine, "ci", "puller", "ns2", "app")
    give(engine, "builders", "view", kind="Group")
    give(engine, "builders", "admin", "ns9")  # a user who happens to be called like the group
    give(engine, "somebody", "admin")
    caller, expires = call(engine, clear)
    assert (caller.user, expires) == ("ci", None)
    assert caller.groups == ("system:authenticated", "builders")
    assert caller.uid
    assert list(map(str, caller.bindings)) == [
        "edit in ns1",
        "puller in ns2 on app",
        "view everywhere",
    ]


def test_an_expired_token_speaks_for_nobody(engine):
    clear = make(engine, expires=after(60))
    assert find(engine, clear, after(59)).name == "ci"
    assert find(engine, clear, after(60)) is None
    assert call(engine, clear, now=after(60)) is None
    with transaction(engine, write=False) as session:
        assert [each.expires for each in list_tokens(session)] == [after(60)]


def test_a_revoked_token_speaks_for_nobody_and_leaves_no_role_to_the_next_of_its_name(engine):
    clear = make(engine)
    give(engine, "ci", "admin")
    with transaction(engine) as session:
        assert revoke_token(session, "ci")
        assert not revoke_token(session, "ci")
    assert call(engine, clear) is None
    again, _ = call(engine, make(engine))
    assert again.bindings == ()


def test_the_roles_of_a_user_last_as_long_as_one_of_their_tokens(engine):
    make(engine, "laptop", user="ann")
    clear = make(engine, "phone", user="ann")
    give(engine, "ann", "view")
    with transaction(engine) as session:
        revoke_token(session, "laptop")
    caller, _ = call(engine, clear)
    assert caller.bindings == (Binding("view", subject="ann"),)


def test_a_name_is_given_once(engine):
    make(engine, expires=NOW - timedelta(days=1))
    with pytest.raises(AlreadyExistsError, match='tokens "ci" already exists'):
        make(engine)
    with transaction(engine, write=False) as session:
        assert [each.name for each in list_tokens(session)] == ["ci"]


def test_of_two_that_make_the_same_token_at_once_one_is_told(engine):
    outcomes = []

    def attempt():
        try:
            outcomes.append(bool(make(engine)))
        except AlreadyExistsError:
            outcomes.append(False)

    threads = [threading.Thread(target=attempt) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(outcomes) == [False, False, False, True]


@pytest.mark.parametrize("clear", ["", "tgs_", "\ud800", "tgs_" + "x" * 100_000, "' OR 1=1 --"])
def test_what_is_no_token_speaks_for_nobody(engine, clear):
    make(engine)
    assert call(engine, clear) is None


def test_a_role_is_given_and_taken_once(engine):
    assert give(engine, "ci", "puller", "ns", "app")
    assert not give(engine, "ci", "puller", "ns", "app")
    assert give(engine, "ci", "puller", "ns")
    with transaction(engine) as session:
        assert unbind(session, "User", "ci", "puller", "ns", stream="app")
        assert not unbind(session, "User", "ci", "puller", "ns", stream="app")
        assert not unbind(session, "Group", "ci", "puller", "ns")
        assert list(map(str, bindings_of(session, "ci", []))) == ["puller in ns"]


def test_a_namespace_that_goes_takes_its_roles_along(engine):
    give(engine, "ann", "admin", "ns1")
    give(engine, "bob", "view", "ns1")
    give(engine, "bob", "view", "ns2")
    give(engine, "root", "admin")
    with transaction(engine) as session:
        assert unbind_namespace(session, "ns1") == 2
        assert list_bindings(session, "ns1") == []
        assert [str(each) for each in list_bindings(session)] == ["view in ns2", "admin everywhere"]


@pytest.mark.parametrize(
    ("role", "namespace", "stream", "said"),
    [
        ("owner", "*", "", "'owner' is not a role; write one of admin, edit"),
        ("everybody", "*", "", "is not a role"),
        ("edit", "", "", r"needs a namespace, or \* for all"),
        ("signer", "ns", "", "counts everywhere"),
        ("pruner", "ns", "", "counts everywhere"),
        ("cluster-admin", "ns", "", "counts everywhere"),
        ("edit", "ns", "app", "only puller and pusher can be limited"),
        ("puller", "*", "app", "only of a namespace"),
    ],
)
def test_a_role_that_makes_no_sense_there_is_refused(engine, role, namespace, stream, said):
    with pytest.raises(UsageError, match=said):
        give(engine, "ci", role, namespace, stream)
