"""Which credential may be sent to which repository (registry-13.5)."""

import base64
import json
import subprocess
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from models.resources.meta import Secret
from worker.registry.auth.credentials import MAX_CANDIDATES, Credential, Keyring, parse_keyring_key
from worker.registry.registry_types import SourceRepository

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
    """Return a keyring whose user names are its keys."""
    return Keyring.from_secrets([secret({key: login(key) for key in keys})])


def candidate_names(ring, name):
    registry, _, repository = name.partition("/")
    return [each.username for each in ring.candidates(SourceRepository(registry, repository))]


@pytest.mark.case("registry 92")
@pytest.mark.parametrize(
    ("key", "name", "matches"),
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
def test_keyring_key_matches_only_its_repositories(key, name, matches):
    assert bool(candidate_names(keyring(key), name)) is matches


@pytest.mark.case("registry 92")
def test_candidates_are_ordered_by_specificity_then_declaration():
    keys = ["*.io", "quay.io", "qu*.io", "quay.io/team", "quay.io/team/app", "quay.io/other"]
    assert candidate_names(keyring(*keys), "quay.io/team/app") == [
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
    assert candidate_names(twice, "quay.io/a") == ["first", "second"]


def test_candidates_are_limited_to_five():
    secrets = [secret({"quay.io": login(f"u{n}")}, uid=str(n)) for n in range(9)]
    assert len(candidate_names(Keyring.from_secrets(secrets), "quay.io/a")) == MAX_CANDIDATES == 5


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
def test_secret_entry_is_parsed_like_kubelet(entry, pair):
    [credential] = Keyring.from_secrets([secret({"reg.io": entry})]).credentials
    assert (credential.username, credential.password.get_secret_value()) == pair
    assert base64.b64decode(credential.basic_authorization().split()[1]).decode() == ":".join(pair)
    assert credential.has_password


@pytest.mark.case("registry 92")
def test_token_username_carries_identity_token():
    [credential] = Keyring.from_secrets(
        [secret({"reg.io": {"auth": encode(f"<token>:{CANARY}")}})]
    ).credentials
    assert credential.identity_token == SecretStr(CANARY)
    assert not credential.has_password


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
def test_secret_entry_without_credential_is_skipped(entry):
    ring = Keyring.from_secrets([secret({"bad.io": entry, "good.io": login()})])
    assert [credential.host for credential in ring.credentials] == ["good.io"]


@pytest.mark.case("registry 92")
def test_dockercfg_is_read_without_auths_key():
    assert candidate_names(
        Keyring.from_secrets([secret({"quay.io": login("u")}, cfg=True)]), "quay.io/a"
    ) == ["u"]


@pytest.mark.parametrize(
    "raw", ["", "nonsense", "[]", "null", '{"auths": []}', "{" * 9999, b"\xff"]
)
def test_unreadable_secret_does_not_hide_others(raw):
    ring = Keyring.from_secrets([secret({}, raw=raw), secret({"quay.io": login("u")}, uid="2")])
    assert candidate_names(ring, "quay.io/a") == ["u"]


def test_secret_of_wrong_type_or_without_key_is_skipped():
    opaque = Secret.model_validate({"type": "Opaque", "data": {".dockerconfigjson": encode("{}")}})
    empty = Secret.model_validate({"type": "kubernetes.io/dockerconfigjson", "data": {}})
    broken = Secret.model_validate(
        {"type": "kubernetes.io/dockercfg", "data": {".dockercfg": "not base64!"}}
    )
    assert Keyring.from_secrets([opaque, empty, broken]) == Keyring()


@pytest.mark.case("registry 94")
def test_credential_helpers_named_by_secret_are_never_run(monkeypatch):
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
    assert candidate_names(ring, "quay.io/a") == ["u"]
    assert candidate_names(ring, "helped.io/a") == []
    assert started == []


@pytest.mark.case("registry 188")
def test_credential_repr_and_id_hide_secrets():
    entry = {**login(), "identitytoken": CANARY, "registrytoken": CANARY}
    ring = Keyring.from_secrets([secret({"quay.io": entry})])
    [credential] = ring.candidates(SourceRepository("quay.io", "a"))
    for shown in (repr(ring), str(credential), credential.id, repr(credential.password)):
        assert CANARY not in shown
        assert encode(f"u:u-{CANARY}") not in shown


def test_credential_redacts_its_secrets_from_text():
    credential = Credential("id", "quay.io", username="u", password=SecretStr(CANARY))
    text = f"who are you, {CANARY}? Authorization: {credential.basic_authorization()}"
    redacted = credential.redact(text)
    assert CANARY not in redacted
    assert encode(f"u:{CANARY}") not in redacted
    assert Credential("id", "quay.io").redact("as it was") == "as it was"


def test_credential_id_changes_with_secret_and_version():
    def id_of(**options):
        return Keyring.from_secrets([secret({"quay.io": login()}, **options)]).credentials[0].id

    assert id_of() == id_of() == "uid-1/7/quay.io"
    assert id_of(version="8") != id_of()
    assert id_of(uid="uid-2") != id_of()


def test_unsaved_secrets_have_equal_ids_only_when_equal():
    def id_of(password):
        entry = {"username": "u", "password": password}
        return Keyring.from_secrets([secret({"quay.io": entry}, uid="")]).credentials[0].id

    assert id_of("one") == id_of("one")
    assert id_of("one") != id_of("two")


def test_hostile_keyring_glob_matches_quickly():
    ring = keyring("*a" * 100 + "b.io")
    started = time.perf_counter()
    assert candidate_names(ring, "a" * 63 + ".io/x") == []
    assert time.perf_counter() - started < 0.5


@given(st.text(max_size=100))
def test_keyring_matching_accepts_any_key(key):
    host, port, path = parse_keyring_key(key)
    assert host == host.lower()
    candidate_names(keyring(key), "quay.io/team/app")
    Credential("id", host, port, path).matches("quay.io", "", "team/app")


@given(st.from_regex(r"[a-z]{1,8}(/[a-z]{1,8}){0,3}", fullmatch=True), st.text(max_size=8))
def test_credential_path_matches_only_at_segment_boundary(path, tail):
    credential = Credential("id", "quay.io", path=path)
    matches = credential.matches("quay.io", "", path + tail)
    assert matches is (tail == "" or tail.startswith("/"))
