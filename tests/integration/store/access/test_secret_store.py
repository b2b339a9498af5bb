"""Secrets are encrypted at rest, and only pull secrets that are not excluded are offered."""

import base64
import zlib

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import text

from models.errors import StoreError, StreamConflictError
from models.resources.meta import ObjectMeta, Secret
from models.store.access.secret_store import (
    count_secrets,
    delete_secret,
    list_pull_secrets,
    list_secrets,
    load_secret,
    reseal_secrets,
    save_secret,
)
from models.store.changes.change_log import load_changes
from models.store.database.cipher import Cipher
from models.store.database.session import transaction
from tests.integration.store.sample_objects import INITIAL_VERSION, NOW, after

PASSWORD = "pa55-canary"
OLD_KEY, NEW_KEY = (Fernet.generate_key().decode() for _ in range(2))
CIPHER = Cipher([OLD_KEY])
PULL = "kubernetes.io/dockerconfigjson"


def secret(name="pull", *, namespace="ns", type_=PULL, password=PASSWORD, **metadata):
    return Secret(
        metadata=ObjectMeta(name=name, namespace=namespace, **metadata),
        type=type_,
        data={".dockerconfigjson": base64.b64encode(password.encode()).decode()},
    )


def save(engine, new, *, now=NOW, cipher=CIPHER, must_create=False):
    with transaction(engine) as session:
        return save_secret(session, new, cipher=cipher, now=now, must_create=must_create)


def load(engine, name="pull", *, cipher=CIPHER):
    with transaction(engine, write=False) as session:
        return load_secret(session, "ns", name, cipher=cipher)


def test_saved_secret_is_loaded_unchanged(engine):
    saved = save(engine, secret(labels={"a": "b"}, annotations={"c": "d"}))
    assert load(engine) == saved
    assert saved.metadata.resource_version == str(INITIAL_VERSION + 1)
    assert saved.metadata.creation_timestamp == NOW
    assert saved.data == secret().data
    assert load(engine, "other") is None


def test_stored_secret_row_holds_no_plain_text(engine):
    save(engine, secret())
    with engine.connect() as connection:
        row = connection.execute(text("SELECT * FROM secrets")).one()
    seen = b"|".join(value if isinstance(value, bytes) else str(value).encode() for value in row)
    assert PASSWORD.encode() not in seen
    assert base64.b64encode(PASSWORD.encode()) not in seen


def test_save_secret_without_difference_writes_nothing(engine):
    first = save(engine, secret())
    assert save(engine, secret(), now=after(60)) == first


def test_save_changed_secret_keeps_uid_and_creation_time(engine):
    first = save(engine, secret())
    second = save(engine, secret(password="other"), now=after(60))
    assert second.metadata.uid == first.metadata.uid
    assert second.metadata.creation_timestamp == NOW
    assert second.metadata.resource_version == str(INITIAL_VERSION + 2)
    assert load(engine) == second


def test_save_secret_with_stale_version_is_a_conflict(engine):
    first = save(engine, secret())
    save(engine, secret(password="theirs"))
    stale = secret(password="ours", resource_version=first.metadata.resource_version)
    with pytest.raises(StreamConflictError, match='secrets "pull"'):
        save(engine, stale)
    with pytest.raises(StreamConflictError):
        save(engine, secret("new", resource_version="1"))


def test_save_secret_must_create_refuses_existing_secret(engine):
    """Not even an equal one: of two concurrent creators, one gets the error that it exists."""
    save(engine, secret(), must_create=True)
    with pytest.raises(StreamConflictError, match='secrets "pull"'):
        save(engine, secret(), must_create=True)


def test_list_pull_secrets_skips_excluded_ones_and_sorts_by_name(engine):
    save(engine, secret("b"))
    save(engine, secret("a", type_="kubernetes.io/dockercfg"))
    save(engine, secret("opaque", type_="Opaque"))
    save(engine, secret("out", annotations={"openshift.io/image.excludeSecret": "true"}))
    save(engine, secret("in", annotations={"openshift.io/image.excludeSecret": "false"}))
    save(engine, secret("theirs", namespace="other"))
    with transaction(engine, write=False) as session:
        found = list_pull_secrets(session, "ns", cipher=CIPHER)
    assert [each.metadata.name for each in found] == ["a", "b", "in"]
    assert found[1] == load(engine, "b")


def test_list_secrets_without_cipher_has_no_data(engine):
    save(engine, secret("b"))
    save(engine, secret("a", namespace="other"))
    with transaction(engine, write=False) as session:
        assert [each.metadata.name for each in list_secrets(session, "ns")] == ["b"]
        everywhere = list_secrets(session)
    assert [each.metadata.namespace for each in everywhere] == ["ns", "other"]
    assert all(not each.data for each in everywhere)


def test_delete_secret_removes_it_and_records_a_change(engine):
    save(engine, secret())
    with transaction(engine) as session:
        assert delete_secret(session, "ns", "pull", now=NOW)
        assert not delete_secret(session, "ns", "pull", now=NOW)
    assert load(engine) is None
    with transaction(engine, write=False) as session:
        verbs = [
            each.change.verb.value for each in load_changes(session, after=INITIAL_VERSION, limit=9)
        ]
    assert verbs == ["ADDED", "DELETED"]


def test_load_secret_of_lost_key_fails_and_save_replaces_it(engine):
    save(engine, secret())
    with pytest.raises(StoreError, match="TAGSTREAM_KEY_FILE"):
        load(engine, cipher=Cipher([NEW_KEY]))
    save(engine, secret(), cipher=Cipher([NEW_KEY]))
    assert load(engine, cipher=Cipher([NEW_KEY])).data == secret().data


def test_load_secret_refuses_sealed_data_of_another_secret(engine):
    save(engine, secret("mine"))
    save(engine, secret("theirs", password="x"))
    with engine.begin() as connection:
        connection.execute(
            text(
                "UPDATE secrets SET sealed = (SELECT sealed FROM secrets WHERE name = 'mine') "
                "WHERE name = 'theirs'"
            )
        )
    with pytest.raises(StoreError, match="another secret's data"):
        load(engine, "theirs")


def test_reseal_secrets_rotates_keys_without_changing_secrets(engine):
    saved = [save(engine, secret(name)) for name in ("a", "b", "c")]
    both = Cipher([NEW_KEY, OLD_KEY])
    last, pages = 0, 0
    while True:
        with transaction(engine) as session:
            last = reseal_secrets(session, cipher=both, limit=2, after=last)
        pages += 1
        if not last:
            break
    assert pages == 3
    assert [load(engine, name, cipher=Cipher([NEW_KEY])) for name in ("a", "b", "c")] == saved


APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def test_last_applied_annotation_of_secret_is_sealed(engine):
    """`kubectl apply` copies the whole secret there."""
    applied = secret(annotations={APPLIED: f'{{"data": "{PASSWORD}"}}', "a": "b"})
    saved = save(engine, applied)
    save(engine, saved.replace(type="Opaque"))
    with engine.connect() as connection:
        rows = [
            *connection.execute(text("SELECT * FROM secrets")),
            *connection.execute(text("SELECT * FROM changes")),
        ]
    for value in (value for row in rows for value in row):
        seen = value if isinstance(value, bytes) else str(value).encode()
        for content in (seen, zlib.decompress(seen) if seen[:1] == b"x" else b""):
            assert PASSWORD.encode() not in content
            assert base64.b64encode(PASSWORD.encode()) not in content
    found = load(engine)
    assert found.metadata.annotations == applied.metadata.annotations
    assert list(found.data) == [".dockerconfigjson"]
    assert save(engine, found) == found


def test_immutable_secret_is_loaded_as_immutable(engine):
    made = save(engine, secret().replace(immutable=True))
    assert made.immutable
    assert load(engine) == made
    assert save(engine, made) == made
    assert made.wire()["immutable"] is True


def test_list_secrets_pages_by_namespace_and_name_with_data(engine):
    for namespace, name in (("b", "x"), ("a", "z"), ("a", "y")):
        save(engine, secret(name, namespace=namespace))
    with transaction(engine, write=False) as session:
        found, last = [], None
        while page := list_secrets(session, cipher=CIPHER, limit=2, after=last):
            found += page
            last = (page[-1].metadata.namespace, page[-1].metadata.name)
        assert [(each.metadata.namespace, each.metadata.name) for each in found] == [
            ("a", "y"),
            ("a", "z"),
            ("b", "x"),
        ]
        assert all(each.data == secret().data for each in found)
        assert count_secrets(session) == 3
        assert count_secrets(session, "a", after=("a", "y")) == 1


def test_delete_secret_of_lost_key_succeeds(engine):
    save(engine, secret())
    with transaction(engine) as session:
        assert delete_secret(session, "ns", "pull", now=NOW) == INITIAL_VERSION + 2
