"""Tests of read_kubeconfig_context: server, trust, credential and namespace."""

import base64
import ssl

import pytest
import yaml

from api.serving.serving_certs import ensure_certificates
from cli.backend.kubeconfig import read_kubeconfig_context
from models.errors import UsageError

SERVER = "https://reg.example:8443"
CANARY = "hunter2-canary"


def config(cluster=None, user=None, context=None, **more):
    """Return a kubeconfig with one context, `here`."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": SERVER, **(cluster or {})}}],
        "users": [{"name": "u", "user": {"token": CANARY} if user is None else user}],
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u", **(context or {})}}],
        "current-context": "here",
        **more,
    }


@pytest.fixture
def read(tmp_path):
    """Write a kubeconfig to a file and read it."""

    def write_and_read(content, context=""):
        path = tmp_path / "config"
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
        return read_kubeconfig_context(path, context)

    return write_and_read


def refused(read, content, context=""):
    with pytest.raises(UsageError) as caught:
        read(content, context)
    assert CANARY not in str(caught.value)
    return str(caught.value)


def test_current_context_gives_server_token_and_namespace(read):
    access = read(config(context={"namespace": "team"}))
    assert (access.server, access.namespace) == (SERVER, "team")
    assert access.token.get_secret_value() == CANARY
    assert CANARY not in repr(access)


def test_context_without_namespace_gives_default(read):
    assert read(config()).namespace == "default"


def test_context_argument_selects_context_by_name(read):
    content = config()
    content["clusters"].append({"name": "c2", "cluster": {"server": "https://other"}})
    content["contexts"].append({"name": "there", "context": {"cluster": "c2", "user": "u"}})
    assert read(content, "there").server == "https://other"
    assert read(content).server == SERVER


def test_token_file_beside_kubeconfig_takes_precedence_over_token(read, tmp_path):
    (tmp_path / "token").write_text("tgs_new\n")
    access = read(config(user={"token": "tgs_old", "tokenFile": "token"}))
    assert access.token.get_secret_value() == "tgs_new"


def test_certificate_authority_is_read_inline_or_from_file(read, tmp_path):
    files = ensure_certificates(tmp_path / "pki", ["localhost"])
    pem = files.authority.read_bytes()
    inline = {"certificate-authority-data": base64.b64encode(pem).decode()}
    beside = {"certificate-authority": str(files.authority.relative_to(tmp_path))}
    for cluster in (inline, beside):
        access = read(config(cluster))
        assert access.authority.encode() == pem
        assert access.ssl_context().verify_mode == ssl.CERT_REQUIRED


def test_client_certificate_is_loaded_or_refused_as_no_pem_pair(read, tmp_path):
    files = ensure_certificates(tmp_path / "pki", ["localhost"])
    user = {
        "client-certificate": str(files.certificate),
        "client-key-data": base64.b64encode(files.key.read_bytes()).decode(),
    }
    access = read(config(user=user))
    assert access.token is None
    assert access.ssl_context().check_hostname
    broken = read(config(user={**user, "client-key": "", "client-key-data": "eA=="}))
    with pytest.raises(UsageError, match="are not a PEM pair"):
        broken.ssl_context()


def test_insecure_skip_tls_verify_disables_all_server_checks(read):
    context = read(config({"insecure-skip-tls-verify": True})).ssl_context()
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_NONE, False)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[" * 5000, "is not a kubeconfig"),
        ("just text", "is not a kubeconfig"),
        (" " * 1_100_000, "larger than the limit of a kubeconfig"),
        (config(**{"current-context": ""}), "has no current-context; use --context NAME"),
        (config(**{"current-context": "gone"}), "has no context 'gone'; it has here"),
        (config(contexts=None), "has no context 'here'; it has none"),
        (config(clusters=[]), "has no cluster 'c', which its context 'here' names"),
        (config(users=[]), "has no user 'u', which its context 'here' names"),
        (config({"server": ""}), "names no server"),
        (config({"server": "ftp://x"}), "names no server"),
        (config({"server": f"https://me:{CANARY}@x"}), "names no server"),
        (config({"server": "https://x:y"}), "names no server"),
        (config({"server": "http://x"}), "tokens are sent over https only"),
        (config({"certificate-authority-data": "%"}), "certificate-authority-data that is not"),
        (config({"certificate-authority": "gone.pem"}), "gone.pem as certificate-authority: No"),
        (
            config({"certificate-authority-data": "eA==", "insecure-skip-tls-verify": True}),
            "remove one of them",
        ),
        (config(user={"tokenFile": "gone"}), "gone as tokenFile: No such file"),
        (config(user={"token": f"{CANARY} \n x"}), "has an invalid token"),
        (config(user={"exec": {"command": "aws"}}), "uses exec, which tagstream does not support"),
        (
            config(user={"username": "me", "password": CANARY}),
            "uses username, which tagstream does not support",
        ),
        (config(user={"client-certificate-data": "eA=="}), "only one of client-certificate"),
    ],
)
def test_invalid_kubeconfig_is_refused_without_showing_the_token(read, content, message):
    assert message in refused(read, content)


def test_missing_kubeconfig_is_named(tmp_path):
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        read_kubeconfig_context(tmp_path / "nope")


def test_invalid_certificate_authority_is_refused_when_used(read):
    with pytest.raises(UsageError, match="is not a PEM certificate"):
        read(config({"certificate-authority-data": "eA=="})).ssl_context()
