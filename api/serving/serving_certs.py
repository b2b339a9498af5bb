"""Self-signed serving certificates: a CA of its own and a leaf certificate that it signed.

For a server without certificates from elsewhere (clients-1.1; RFC 5280). Keys are P-256 and
readable by their owner only. The leaf is renewed if it lacks a required name or expires within 30
days, the CA only if it expires.
"""

from __future__ import annotations

import fcntl
import ipaddress
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from models.atomic_file import write_atomically
from models.errors import UsageError

CA_DAYS = 3650
SERVING_CERT_DAYS = 397  # some clients reject more
RENEW_BEFORE_DAYS = 30
PUBLIC_FILE_MODE = 0o644


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """The paths of the certificates and the key."""

    authority: Path
    certificate: Path
    key: Path


def ensure_certificates(directory: Path, names: Collection[str]) -> CertificateFiles:
    """Return the files of a CA and of a leaf for `names` (hosts and addresses).

    Missing and expiring ones are created. Raises UsageError for a file that is not what its name
    says.
    """
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (directory / ".lock").open("w") as lock:
        # Several processes that share the directory must use one CA.
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _ensure_files(directory, names)


def _ensure_files(directory: Path, names: Collection[str]) -> CertificateFiles:
    """Return the files, after creating or renewing what is missing or about to expire.

    A certificate is removed before its key is replaced, so that existing files always match.
    """
    files = CertificateFiles(directory / "ca.crt", directory / "tls.crt", directory / "tls.key")
    authority_key = directory / "ca.key"
    now = datetime.now(UTC)
    authority = _read_certificate(files.authority)
    if authority is None or not authority_key.exists() or _expires_soon(authority, now):
        files.certificate.unlink(missing_ok=True)
        files.authority.unlink(missing_ok=True)
        authority, key = _make_authority(now)
        write_atomically(authority_key, _encode_key(key))
        write_atomically(files.authority, _encode_certificate(authority), mode=PUBLIC_FILE_MODE)
    leaf = _read_certificate(files.certificate)
    if (
        leaf is None
        or not files.key.exists()
        or _expires_soon(leaf, now)
        or not _covers_names(leaf, names)
    ):
        files.certificate.unlink(missing_ok=True)
        signer = _read_key(authority_key)
        leaf, key = _make_leaf(authority, signer, names, now)
        write_atomically(files.key, _encode_key(key))
        write_atomically(
            files.certificate,
            _encode_certificate(leaf) + _encode_certificate(authority),
            mode=PUBLIC_FILE_MODE,
        )
    return files


def _make_authority(now: datetime) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"tagstream CA {now:%Y-%m-%d}")])
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    builder = _certificate_builder(name, name, key, now, CA_DAYS)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(usage, critical=True)
    subject_key = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    builder = builder.add_extension(subject_key, critical=False)
    return builder.sign(key, hashes.SHA256()), key


def _make_leaf(
    authority: x509.Certificate,
    signer: ec.EllipticCurvePrivateKey,
    names: Collection[str],
    now: datetime,
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tagstream")])
    builder = _certificate_builder(subject, authority.subject, key, now, SERVING_CERT_DAYS)
    builder = builder.add_extension(
        x509.SubjectAlternativeName([_general_name(name) for name in sorted(names)]),
        critical=False,
    )
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), True)
    builder = builder.add_extension(
        x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False
    )
    issuer_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
    builder = builder.add_extension(issuer_key, critical=False)
    return builder.sign(signer, hashes.SHA256()), key


def _certificate_builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    now: datetime,
    days: int,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=days))
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _covers_names(leaf: x509.Certificate, names: Collection[str]) -> bool:
    try:
        found = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return False
    return set(found) >= {_general_name(name) for name in names}


def _expires_soon(certificate: x509.Certificate, now: datetime) -> bool:
    return certificate.not_valid_after_utc - now < timedelta(days=RENEW_BEFORE_DAYS)


def _read_certificate(path: Path) -> x509.Certificate | None:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise UsageError(f"{path} is not a certificate; remove it to create a new one") from error


def _read_key(path: Path) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError) as error:
        raise UsageError(f"{path} is not a key; remove it to create a new one") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise UsageError(f"{path} is not a P-256 key; remove it to create a new one")
    return key


def _encode_certificate(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _encode_key(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
