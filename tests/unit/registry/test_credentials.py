"""Which credential may be shown where (`registry.md` 3.6): to whom it is meant for, no further."""

import base64
import json
import subprocess
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from models.resources.meta import Secret
from worker.registry.auth.credentials import MOST_CANDIDATES, Credential, Keyring, split_key
from worker.registry.registry_types import Place

CANARY = "canary-7f3a"


def encode(text):
    return base64.b64encode(text if isinstance(text, bytes) else text.encode()).decode()


def secret(auths, *, cfg=False, uid="uid-1", version="7", raw=None, **rest):
    document = auths if cfg else {"auths": auths, **rest}
    key = ".dockercfg" if cfg else ".dockerconfigjson"
    return Secret.model_validate(
        {
            "metadata": {"name": "pull", "uid": uid, "resourceVersion": version},
            "type": f"kubernetes.io/{key[1:]}",
            "data": {key: encode(json.dumps(document) if raw is None else raw)},
        }
    )


def login(name="u"):
    return {"username": name, "password": f"{name}-{CANARY}"}


def keyring(*keys):
    """A keyring whose credentials' user names are their keys."""
    return Keyring.from_secrets([secret({key: login(key) for key in keys})])


def found(ring, name):
    registry, _, repository = name.partition("/")
    return [each.username for each in ring.candidates(Place(registry, repository))]


@pytest.mark.case("registry 92")
@pytest.mark.parametrize(
    ("key", "name", "fits"),
    [
        ("quay.io", "quay.io/team/app", True),
        ("quay.io", "quay.io.evil/team/app", False),
        ("QUAY.io", "quay.io/team/app", True),
        ("https://quay.io", "quay.io/team/app", True),
        ("http://quay.io/", "quay.io/team/app", True),
        ("https://quay.io/v2/", "quay.io/team/app", True),
        ("reg.io:5000", "reg.io:5000/a", True),
        ("reg.io", "reg.io:5000/a", False),
        ("reg.io:443", "reg.io/a", False),
        ("reg.io:*", "reg.io:5000/a", False),
        ("[::1]:5000", "[::1]:5000/a", True),
        ("[::1]:5000", "[::1]/a", False),
        ("*.corp.io", "reg.corp.io/a", True),
        ("*.corp.io", "corp.io/a", False),
        ("*.corp.io", "a.b.corp.io/a", False),
        ("*", "localhost/a", True),
        ("*.*", "corp.io/a", True),
        ("reg-?.corp.io", "reg-1.corp.io/a", True),
        ("reg-?.corp.io", "reg-10.corp.io/a", False),
        ("reg-[ab].corp.io", "reg-a.corp.io/a", True),
        ("reg-[^ab].corp.io", "reg-a.corp.io/a", False),
        ("reg-[.corp.io", "reg-a.corp.io/a", False),
        ("quay.io/team/foo", "quay.io/team/foo", True),
        ("quay.io/team/foo", "quay.io/team/foo/bar", True),
        ("quay.io/team/foo", "quay.io/team/foo-evil", False),
        ("quay.io/team/", "quay.io/team/foo", True),
        ("quay.io/te", "quay.io/team/foo", False),
        ("quay.io/*", "quay.io/team", False),
        ("https://index.docker.io/v1/", "docker.io/library/nginx", True),
        ("docker.io", "docker.io/library/nginx", True),
        ("registry-1.docker.io", "docker.io/team/app", True),
        ("docker.io/team", "docker.io/library/nginx", False),
        ("auth.docker.io", "docker.io/library/nginx", False),
        ("https://user@quay.io", "quay.io/a", False),
    ],
)
def test_a_key_fits_its_own_places_only(key, name, fits):
    assert bool(found(keyring(key), name)) is fits


@pytest.mark.case("registry 92")
def test_the_most_special_comes_first_then_as_declared():
    keys = ["*.io", "quay.io", "qu*.io", "quay.io/team", "quay.io/team/app", "quay.io/other"]
    assert found(keyring(*keys), "quay.io/team/app") == [
        "quay.io/team/app",
        "quay.io/team",
        "quay.io",
        "qu*.io",
        "*.io",
    ]
    twice = Keyring.from_secrets(
        [
            secret({"quay.io": login("first")}, uid="1"),
            secret({"quay.io": login("second")}, uid="2"),
        ]
    )
    assert found(twice, "quay.io/a") == ["first", "second"]


def test_there_are_five_candidates_at_most():
    secrets = [secret({"quay.io": login(f"u{n}")}, uid=str(n)) for n in range(9)]
    assert len(found(Keyring.from_secrets(secrets), "quay.io/a")) == MOST_CANDIDATES == 5


@pytest.mark.parametrize(
    ("entry", "pair"),
    [
        ({"auth": encode("u:p:with:colons")}, ("u", "p:with:colons")),
        ({"auth": encode("u:pw").rstrip("=")}, ("u", "pw")),
        ({"auth": " " + encode("u:p") + "\n"}, ("u", "p")),
        ({"auth": encode("u:p\0\0")}, ("u", "p")),
        ({"auth": encode("u:s3:crèt")}, ("u", "s3:crèt")),
        ({"auth": encode("a:1"), "username": "b", "password": "2"}, ("a", "1")),
        ({"auth": "%%%", "username": "b", "password": "2"}, ("b", "2")),
        ({"username": "robot$a+b|c", "password": "p"}, ("robot$a+b|c", "p")),
        ({"username": "u", "password": "p", "email": "e", "serveraddress": "evil.io"}, ("u", "p")),
    ],
)
def test_user_and_password_are_found_as_kubelet_finds_them(entry, pair):
    [credential] = Keyring.from_secrets([secret({"reg.io": entry})]).credentials
    assert (credential.username, credential.password.get_secret_value()) == pair
    assert base64.b64decode(credential.basic().split()[1]).decode() == ":".join(pair)
    assert credential.is_login


@pytest.mark.case("registry 92")
def test_a_user_called_token_brings_an_identity_token():
    [credential] = Keyring.from_secrets(
        [secret({"reg.io": {"auth": encode(f"<token>:{CANARY}")}})]
    ).credentials
    assert credential.identity_token == SecretStr(CANARY)
    assert not credential.is_login


@pytest.mark.case("registry 92")
@pytest.mark.parametrize(
    "entry",
    [
        {},
        None,
        [],
        "text",
        {"auth": ""},
        {"auth": encode("only-a-user")},
        {"username": "u"},
        {"password": "p"},
        {"username": 1, "password": 2},
        {"registrytoken": "two words"},
        {"registrytoken": "line\r\nX: y"},
    ],
)
def test_an_entry_that_holds_nothing_is_passed_over(entry):
    ring = Keyring.from_secrets([secret({"bad.io": entry, "good.io": login()})])
    assert [credential.host for credential in ring.credentials] == ["good.io"]


@pytest.mark.case("registry 92")
def test_a_dockercfg_has_no_auths_around_it():
    assert found(
        Keyring.from_secrets([secret({"quay.io": login("u")}, cfg=True)]), "quay.io/a"
    ) == ["u"]


@pytest.mark.parametrize(
    "raw", ["", "nonsense", "[]", "null", '{"auths": []}', "{" * 9999, b"\xff"]
)
def test_a_secret_that_cannot_be_read_hides_no_other(raw):
    ring = Keyring.from_secrets([secret({}, raw=raw), secret({"quay.io": login("u")}, uid="2")])
    assert found(ring, "quay.io/a") == ["u"]


def test_a_secret_of_another_type_or_without_its_key_is_passed_over():
    opaque = Secret.model_validate({"type": "Opaque", "data": {".dockerconfigjson": encode("{}")}})
    empty = Secret.model_validate({"type": "kubernetes.io/dockerconfigjson", "data": {}})
    broken = Secret.model_validate(
        {"type": "kubernetes.io/dockercfg", "data": {".dockercfg": "not base64!"}}
    )
    assert Keyring.from_secrets([opaque, empty, broken]) == Keyring()


@pytest.mark.case("registry 94")
def test_programs_that_a_secret_names_are_never_run(monkeypatch):
    started = []
    monkeypatch.setattr(subprocess.Popen, "__init__", lambda *a, **_: started.append(a))
    ring = Keyring.from_secrets(
        [
            secret(
                {"quay.io": login("u"), "helped.io": {}},
                credsStore="evil",
                credHelpers={"helped.io": "evil", "quay.io": "evil"},
            )
        ]
    )
    assert found(ring, "quay.io/a") == ["u"]
    assert found(ring, "helped.io/a") == []
    assert started == []


@pytest.mark.case("registry 188")
def test_no_secret_shows_in_what_is_printed_or_named():
    entry = {**login(), "identitytoken": CANARY, "registrytoken": CANARY}
    ring = Keyring.from_secrets([secret({"quay.io": entry})])
    [credential] = ring.candidates(Place("quay.io", "a"))
    for shown in (repr(ring), str(credential), credential.id, repr(credential.password)):
        assert CANARY not in shown
        assert encode(f"u:u-{CANARY}") not in shown


def test_a_credential_takes_its_secrets_out_of_a_strangers_words():
    credential = Credential("id", "quay.io", username="u", password=SecretStr(CANARY))
    text = f"who are you, {CANARY}? Authorization: {credential.basic()}"
    redacted = credential.redact(text)
    assert CANARY not in redacted
    assert encode(f"u:{CANARY}") not in redacted
    assert Credential("id", "quay.io").redact("as it was") == "as it was"


def test_the_id_changes_with_the_secret_and_its_version():
    def id_of(**how):
        return Keyring.from_secrets([secret({"quay.io": login()}, **how)]).credentials[0].id

    assert id_of() == id_of() == "uid-1/7/quay.io"
    assert id_of(version="8") != id_of()
    assert id_of(uid="uid-2") != id_of()


def test_secrets_that_were_never_saved_share_an_id_only_when_they_are_the_same():
    def id_of(password):
        entry = {"username": "u", "password": password}
        return Keyring.from_secrets([secret({"quay.io": entry}, uid="")]).credentials[0].id

    assert id_of("one") == id_of("one")
    assert id_of("one") != id_of("two")


def test_a_hostile_glob_costs_no_time():
    ring = keyring("*a" * 100 + "b.io")
    began = time.perf_counter()
    assert found(ring, "a" * 63 + ".io/x") == []
    assert time.perf_counter() - began < 0.5


@given(st.text(max_size=100))
def test_no_key_breaks_the_matching(key):
    host, port, path = split_key(key)
    assert host == host.lower()
    found(keyring(key), "quay.io/team/app")
    Credential("id", host, port, path).matches("quay.io", "", "team/app")


@given(st.from_regex(r"[a-z]{1,8}(/[a-z]{1,8}){0,3}", fullmatch=True), st.text(max_size=8))
def test_a_path_never_fits_beyond_a_boundary(path, tail):
    credential = Credential("id", "quay.io", path=path)
    fits = credential.matches("quay.io", "", path + tail)
    assert fits is (tail == "" or tail.startswith("/"))
