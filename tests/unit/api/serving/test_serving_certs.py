"""The CA and the serving certificate of a server with generated certificates (clients-1.1)."""

import contextlib
import os
import stat

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from api.serving.serving_certs import ensure_certificates

NAMES = ["localhost", "127.0.0.1"]


class PowerFailureError(Exception):
    pass


def public(key):
    return key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def check_key_and_issuer(files):
    """Check that the key matches the certificate and that the CA signed it."""
    leaf = x509.load_pem_x509_certificate(files.certificate.read_bytes())
    authority = x509.load_pem_x509_certificate(files.authority.read_bytes())
    key = serialization.load_pem_private_key(files.key.read_bytes(), None)
    assert public(leaf.public_key()) == public(key.public_key())
    leaf.verify_directly_issued_by(authority)


def contents(directory):
    return {path.name: path.read_bytes() for path in directory.iterdir() if path.name != ".lock"}


def test_new_certificates_match_and_keys_are_private(tmp_path):
    check_key_and_issuer(ensure_certificates(tmp_path, NAMES))
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert (modes["ca.key"], modes["tls.key"]) == (0o600, 0o600)
    assert set(contents(tmp_path)) == {"ca.crt", "ca.key", "tls.crt", "tls.key"}


def test_existing_certificates_are_reused(tmp_path):
    ensure_certificates(tmp_path, NAMES)
    before = contents(tmp_path)
    ensure_certificates(tmp_path, NAMES[:1])
    assert contents(tmp_path) == before


def test_new_host_name_renews_certificate_with_existing_ca(tmp_path):
    ensure_certificates(tmp_path, NAMES)
    before = contents(tmp_path)
    check_key_and_issuer(ensure_certificates(tmp_path, [*NAMES, "registry.example"]))
    after = contents(tmp_path)
    assert after["ca.crt"] == before["ca.crt"]
    assert after["tls.crt"] != before["tls.crt"]


@pytest.mark.parametrize("deleted", ["ca.crt", "ca.key", "tls.crt", "tls.key"])
@pytest.mark.parametrize("writes", range(4))
def test_certificates_match_after_power_failure_between_writes(
    tmp_path, monkeypatch, deleted, writes
):
    """Whichever file was being renewed, the next start has files that match."""
    ensure_certificates(tmp_path, NAMES)
    (tmp_path / deleted).unlink()
    remaining_writes = iter(range(writes))
    to_disk = os.fsync

    def cut_short(descriptor):
        if next(remaining_writes, None) is None:
            raise PowerFailureError
        to_disk(descriptor)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", cut_short)
        with contextlib.suppress(PowerFailureError):
            ensure_certificates(tmp_path, NAMES)
    check_key_and_issuer(ensure_certificates(tmp_path, NAMES))
