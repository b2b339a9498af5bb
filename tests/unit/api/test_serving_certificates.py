"""The CA and the certificate of a server that one person starts."""

import contextlib
import os
import stat

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from api.serving.serving_certs import ensure_certificates

NAMES = ["localhost", "127.0.0.1"]


class PowerCutError(Exception):
    pass


def public(key):
    return key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def check(files):
    """The key belongs to the certificate, and the CA signed it."""
    leaf = x509.load_pem_x509_certificate(files.certificate.read_bytes())
    authority = x509.load_pem_x509_certificate(files.authority.read_bytes())
    key = serialization.load_pem_private_key(files.key.read_bytes(), None)
    assert public(leaf.public_key()) == public(key.public_key())
    leaf.verify_directly_issued_by(authority)


def contents(directory):
    return {path.name: path.read_bytes() for path in directory.iterdir() if path.name != ".lock"}


def test_what_is_made_belongs_together_and_its_keys_are_private(tmp_path):
    check(ensure_certificates(tmp_path, NAMES))
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert (modes["ca.key"], modes["tls.key"]) == (0o600, 0o600)
    assert set(contents(tmp_path)) == {"ca.crt", "ca.key", "tls.crt", "tls.key"}


def test_what_is_there_and_serves_is_kept(tmp_path):
    ensure_certificates(tmp_path, NAMES)
    before = contents(tmp_path)
    ensure_certificates(tmp_path, NAMES[:1])
    assert contents(tmp_path) == before


def test_another_name_makes_another_certificate_of_the_same_ca(tmp_path):
    ensure_certificates(tmp_path, NAMES)
    before = contents(tmp_path)
    check(ensure_certificates(tmp_path, [*NAMES, "registry.example"]))
    after = contents(tmp_path)
    assert after["ca.crt"] == before["ca.crt"]
    assert after["tls.crt"] != before["tls.crt"]


@pytest.mark.parametrize("lost", ["ca.crt", "ca.key", "tls.crt", "tls.key"])
@pytest.mark.parametrize("writes", range(4))
def test_a_power_cut_between_any_two_files_leaves_nothing_that_does_not_fit(
    tmp_path, monkeypatch, lost, writes
):
    """Whatever was being renewed, the next start has files that belong together."""
    ensure_certificates(tmp_path, NAMES)
    (tmp_path / lost).unlink()
    left = iter(range(writes))
    to_disk = os.fsync

    def cut_short(descriptor):
        if next(left, None) is None:
            raise PowerCutError
        to_disk(descriptor)

    with monkeypatch.context() as power:
        power.setattr(os, "fsync", cut_short)
        with contextlib.suppress(PowerCutError):
            ensure_certificates(tmp_path, NAMES)
    check(ensure_certificates(tmp_path, NAMES))
