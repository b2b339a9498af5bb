"""A kubeconfig says which server, trusted how, as whom, and in which namespace."""

import base64
import ssl

import pytest
import yaml

from api.serving.serving_certs import ensure_certificates
from cli.backend.kubeconfig import read_access
from models.errors import UsageError

SERVER = "https://reg.example:8443"
CANARY = "hunter2-canary"


def config(cluster=None, user=None, context=None, **more):
    """A kubeconfig with one context, `here`."""
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
    """Write a kubeconfig down and read it."""

    def written(content, context=""):
        path = tmp_path / "config"
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
        return read_access(path, context)

    return written


def refused(read, content, context=""):
    with pytest.raises(UsageError) as caught:
        read(content, context)
    assert CANARY not in str(caught.value)
    return str(caught.value)


def test_the_current_context_names_server_token_and_namespace(read):
    access = read(config(context={"namespace": "team"}))
    assert (access.server, access.namespace) == (SERVER, "team")
    assert access.token.get_secret_value() == CANARY
    assert CANARY not in repr(access)


def test_a_context_without_a_namespace_means_default(read):
    assert read(config()).namespace == "default"


def test_another_context_is_chosen_by_its_name(read):
    content = config()
    content["clusters"].append({"name": "c2", "cluster": {"server": "https://other"}})
    content["contexts"].append({"name": "there", "context": {"cluster": "c2", "user": "u"}})
    assert read(content, "there").server == "https://other"
    assert read(content).server == SERVER


def test_a_token_file_counts_before_a_token_and_is_found_beside_the_kubeconfig(read, tmp_path):
    (tmp_path / "token").write_text("tgs_new\n")
    access = read(config(user={"token": "tgs_old", "tokenFile": "token"}))
    assert access.token.get_secret_value() == "tgs_new"


def test_authorities_come_inline_or_from_a_file(read, tmp_path):
    files = ensure_certificates(tmp_path / "pki", ["localhost"])
    pem = files.authority.read_bytes()
    inline = {"certificate-authority-data": base64.b64encode(pem).decode()}
    beside = {"certificate-authority": str(files.authority.relative_to(tmp_path))}
    for cluster in (inline, beside):
        access = read(config(cluster))
        assert access.authority.encode() == pem
        assert access.tls().verify_mode == ssl.CERT_REQUIRED


def test_client_certificates_are_shown_and_leave_no_file_behind(read, tmp_path):
    files = ensure_certificates(tmp_path / "pki", ["localhost"])
    user = {
        "client-certificate": str(files.certificate),
        "client-key-data": base64.b64encode(files.key.read_bytes()).decode(),
    }
    access = read(config(user=user))
    assert access.token is None
    assert access.tls().check_hostname
    broken = read(config(user={**user, "client-key": "", "client-key-data": "eA=="}))
    with pytest.raises(UsageError, match="no PEM pair"):
        broken.tls()


def test_insecure_skips_every_check_of_the_server(read):
    context = read(config({"insecure-skip-tls-verify": True})).tls()
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_NONE, False)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[" * 5000, "is not a kubeconfig"),
        ("just text", "is not a kubeconfig"),
        (" " * 1_100_000, "larger than a kubeconfig ever is"),
        (config(**{"current-context": ""}), "has no current-context; say --context NAME"),
        (config(**{"current-context": "gone"}), "has no context 'gone'; it has here"),
        (config(contexts=None), "has no context 'here'; it has none at all"),
        (config(clusters=[]), "has no cluster 'c', which its context 'here' names"),
        (config(users=[]), "has no user 'u', which its context 'here' names"),
        (config({"server": ""}), "names no server"),
        (config({"server": "ftp://x"}), "names no server"),
        (config({"server": f"https://me:{CANARY}@x"}), "names no server"),
        (config({"server": "https://x:y"}), "names no server"),
        (config({"server": "http://x"}), "tokens go over https only"),
        (config({"certificate-authority-data": "%"}), "certificate-authority-data that is not"),
        (config({"certificate-authority": "gone.pem"}), "gone.pem as certificate-authority: No"),
        (
            config({"certificate-authority-data": "eA==", "insecure-skip-tls-verify": True}),
            "keep one of them",
        ),
        (config(user={"tokenFile": "gone"}), "gone as tokenFile: No such file"),
        (config(user={"token": f"{CANARY} \n x"}), "holds a token that is none"),
        (config(user={"exec": {"command": "aws"}}), "logs in by exec"),
        (config(user={"username": "me", "password": CANARY}), "logs in by username"),
        (config(user={"client-certificate-data": "eA=="}), "only one of client-certificate"),
    ],
)
def test_what_is_wrong_is_told_without_what_is_secret(read, content, said):
    assert said in refused(read, content)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        read_access(tmp_path / "nope")


def test_an_authority_that_is_no_certificate_is_told_when_it_is_used(read):
    with pytest.raises(UsageError, match="no PEM certificate"):
        read(config({"certificate-authority-data": "eA=="})).tls()
