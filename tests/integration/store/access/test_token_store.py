"""Tokens and role bindings in the database: stored as digests, ended by revocation or expiry."""

import re
import threading
from datetime import timedelta

import pytest
from sqlalchemy import text

from models.access.rbac import RoleBinding
from models.errors import AlreadyExistsError, UsageError
from models.store.access.token_store import (
    bind_role,
    create_token,
    digest_token,
    list_bindings,
    list_tokens,
    load_bindings,
    load_caller,
    load_token,
    revoke_token,
    unbind_namespace,
    unbind_role,
)
from models.store.database.session import transaction
from tests.integration.store.sample_objects import NOW, after


def make_token(engine, name="ci", *, expires=None, user=None, groups=()):
    with transaction(engine) as session:
        return create_token(
            session, name=name, user=user or name, groups=groups, expires=expires, now=NOW
        )


def add_role(engine, subject, role, namespace="*", stream="", *, kind="User"):
    with transaction(engine) as session:
        return bind_role(session, kind, subject, role, namespace, stream=stream, now=NOW)


def authenticate(engine, token, *, now=NOW):
    with transaction(engine, write=False) as session:
        return load_caller(session, digest_token(token), now)


def find_token(engine, token, now=NOW):
    with transaction(engine, write=False) as session:
        return load_token(session, digest_token(token), now)


def test_create_token_returns_token_and_stores_only_digest(engine):
    token = make_token(engine)
    assert re.fullmatch(r"tgs_[-_A-Za-z0-9]{43}", token)
    assert make_token(engine, "other") != token
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT * FROM tokens")).all()
    assert token.removeprefix("tgs_") not in repr(rows)
    assert digest_token(token) in repr(rows)
    assert token not in repr(authenticate(engine, token))
    assert digest_token(token) not in repr(authenticate(engine, token))


def test_load_caller_returns_user_with_all_role_bindings(engine):
    token = make_token(engine, groups=["builders"])
    add_role(engine, "ci", "edit", "ns1")
    add_role(engine, "ci", "puller", "ns2", "app")
    add_role(engine, "builders", "view", kind="Group")
    add_role(engine, "builders", "admin", "ns9")  # a user with the name of the group
    add_role(engine, "other", "admin")
    caller, expires = authenticate(engine, token)
    assert (caller.user, expires) == ("ci", None)
    assert caller.groups == ("system:authenticated", "builders")
    assert caller.uid
    assert list(map(str, caller.bindings)) == [
        "edit in ns1",
        "puller in ns2 on app",
        "view everywhere",
    ]


def test_load_caller_of_expired_token_is_none(engine):
    token = make_token(engine, expires=after(60))
    assert find_token(engine, token, after(59)).name == "ci"
    assert find_token(engine, token, after(60)) is None
    assert authenticate(engine, token, now=after(60)) is None
    with transaction(engine, write=False) as session:
        assert [each.expires for each in list_tokens(session)] == [after(60)]


def test_revoke_token_removes_caller_and_role_bindings(engine):
    token = make_token(engine)
    add_role(engine, "ci", "admin")
    with transaction(engine) as session:
        assert revoke_token(session, "ci")
        assert not revoke_token(session, "ci")
    assert authenticate(engine, token) is None
    next_caller, _ = authenticate(engine, make_token(engine))
    assert next_caller.bindings == ()


def test_revoke_token_keeps_roles_while_user_has_another_token(engine):
    make_token(engine, "laptop", user="ann")
    token = make_token(engine, "phone", user="ann")
    add_role(engine, "ann", "view")
    with transaction(engine) as session:
        revoke_token(session, "laptop")
    caller, _ = authenticate(engine, token)
    assert caller.bindings == (RoleBinding("view", subject="ann"),)


def test_create_token_refuses_existing_name(engine):
    make_token(engine, expires=NOW - timedelta(days=1))
    with pytest.raises(AlreadyExistsError, match='tokens "ci" already exists'):
        make_token(engine)
    with transaction(engine, write=False) as session:
        assert [each.name for each in list_tokens(session)] == ["ci"]


def test_concurrent_create_token_lets_one_caller_win(engine):
    outcomes = []

    def attempt():
        try:
            outcomes.append(bool(make_token(engine)))
        except AlreadyExistsError:
            outcomes.append(False)

    threads = [threading.Thread(target=attempt) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(outcomes) == [False, False, False, True]


@pytest.mark.parametrize("token", ["", "tgs_", "\ud800", "tgs_" + "x" * 100_000, "' OR 1=1 --"])
def test_load_caller_of_malformed_token_is_none(engine, token):
    make_token(engine)
    assert authenticate(engine, token) is None


def test_bind_role_and_unbind_role_report_a_change_once(engine):
    assert add_role(engine, "ci", "puller", "ns", "app")
    assert not add_role(engine, "ci", "puller", "ns", "app")
    assert add_role(engine, "ci", "puller", "ns")
    with transaction(engine) as session:
        assert unbind_role(session, "User", "ci", "puller", "ns", stream="app")
        assert not unbind_role(session, "User", "ci", "puller", "ns", stream="app")
        assert not unbind_role(session, "Group", "ci", "puller", "ns")
        assert list(map(str, load_bindings(session, "ci", []))) == ["puller in ns"]


def test_unbind_namespace_removes_its_role_bindings(engine):
    add_role(engine, "ann", "admin", "ns1")
    add_role(engine, "bob", "view", "ns1")
    add_role(engine, "bob", "view", "ns2")
    add_role(engine, "root", "admin")
    with transaction(engine) as session:
        assert unbind_namespace(session, "ns1") == 2
        assert list_bindings(session, "ns1") == []
        assert [str(each) for each in list_bindings(session)] == ["view in ns2", "admin everywhere"]


@pytest.mark.parametrize(
    ("role", "namespace", "stream", "message"),
    [
        ("owner", "*", "", "'owner' is not a role; write one of admin, edit"),
        ("everybody", "*", "", "is not a role"),
        ("edit", "", "", r"needs a namespace, or \* for all"),
        ("signer", "ns", "", "applies to all namespaces"),
        ("pruner", "ns", "", "applies to all namespaces"),
        ("cluster-admin", "ns", "", "applies to all namespaces"),
        ("edit", "ns", "app", "only puller and pusher can be limited"),
        ("puller", "*", "app", "only of a namespace"),
    ],
)
def test_bind_role_refuses_role_outside_its_scope(engine, role, namespace, stream, message):
    with pytest.raises(UsageError, match=message):
        add_role(engine, "ci", role, namespace, stream)
