"""Certificates for tests: an authority, and valid, expired, misnamed or self-signed leaves."""

from __future__ import annotations

import ipaddress
import ssl
import tempfile
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

LOCAL = ("127.0.0.1", "::1", "localhost", "reg.test", "*.test")
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Certificate:
    """A server's certificate with its key, and the authority that signed it, as PEM."""

    chain: bytes
    key: bytes
    authority: bytes

    def server_context(self) -> ssl.SSLContext:
        """Return a context for a server; it records the name that each client sent (SNI)."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.NamedTemporaryFile(suffix=".pem") as file:
            file.write(self.chain + self.key)
            file.flush()
            context.load_cert_chain(file.name)
        context.sni_callback = _record_server_name
        return context

    def client_context(self) -> ssl.SSLContext:
        """Return a context for a client that trusts only the authority."""
        return ssl.create_default_context(cadata=self.authority.decode())

    def write(self, directory: Path) -> tuple[Path, Path, Path]:
        """Write chain, key and authority to files; return their paths."""
        paths = directory / "tls.crt", directory / "tls.key", directory / "ca.crt"
        for path, content in zip(paths, (self.chain, self.key, self.authority), strict=True):
            path.write_bytes(content)
        return paths


def _record_server_name(connection, name, _context):
    connection.requested_server_name = name


@dataclass
class Authority:
    """A certificate authority that no client trusts by default."""

    name: str = "Test Authority"
    _key: ec.EllipticCurvePrivateKey = field(init=False)
    _certificate: x509.Certificate = field(init=False)

    def __post_init__(self):
        self._key = ec.generate_private_key(ec.SECP256R1())
        subject = _named(self.name)
        builder = _builder(subject, subject, self._key, datetime.now(UTC), 3650 * _DAY)
        usage = _usage(key_cert_sign=True, crl_sign=True)
        builder = builder.add_extension(
            x509.BasicConstraints(ca=True, path_length=0), critical=True
        )
        builder = builder.add_extension(usage, critical=True)
        self._certificate = builder.sign(self._key, hashes.SHA256())

    @property
    def pem(self) -> bytes:
        return _pem(self._certificate)

    def write(self, path: Path) -> Path:
        """Write the authority's certificate to a file for clients; return the path."""
        path.write_bytes(self.pem)
        return path

    def issue(self, *names: str, expired: bool = False) -> Certificate:
        """Issue a certificate for host names and addresses (default: this machine and `*.test`)."""
        key = ec.generate_private_key(ec.SECP256R1())
        issuer = self._certificate.subject
        leaf = _leaf(names or LOCAL, issuer, key, expired=expired)
        issuing = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        signed = leaf.add_extension(issuing, critical=False).sign(self._key, hashes.SHA256())
        return Certificate(_pem(signed), _key_pem(key), self.pem)


def valid() -> Certificate:
    """Return a valid certificate for this machine, issued by a new authority."""
    return Authority().issue()


def expired() -> Certificate:
    """Return a certificate for this machine that expired yesterday."""
    return Authority().issue(expired=True)


def misnamed() -> Certificate:
    """Return a valid certificate for another host name."""
    return Authority().issue("elsewhere.example")


def self_signed(*names: str) -> Certificate:
    """Return a certificate that is signed by its own key."""
    key = ec.generate_private_key(ec.SECP256R1())
    names = names or LOCAL
    signed = _leaf(names, _named(names[0]), key, expired=False).sign(key, hashes.SHA256())
    return Certificate(_pem(signed), _key_pem(key), _pem(signed))


def _leaf(names, issuer, key, *, expired: bool) -> x509.CertificateBuilder:
    begin = datetime.now(UTC) - (10 * _DAY if expired else _DAY)
    builder = _builder(_named(names[0]), issuer, key, begin, 9 * _DAY if expired else 30 * _DAY)
    alternatives = x509.SubjectAlternativeName([_general(name) for name in names])
    return builder.add_extension(alternatives, critical=False).add_extension(
        x509.BasicConstraints(ca=False, path_length=None), critical=True
    )


def _builder(subject, issuer, key, begin, lifetime) -> x509.CertificateBuilder:
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + lifetime)
        .add_extension(identifier, critical=False)
    )


def _usage(**chosen: bool) -> x509.KeyUsage:
    names = (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    )
    return x509.KeyUsage(**{name: chosen.get(name, False) for name in names})


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
