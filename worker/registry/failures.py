"""What can go wrong below HTTP, in words that people search for (`import.md` 4.5)."""

from __future__ import annotations

import errno
import ssl

import aiohttp
import httpx

from models.errors import (
    EgressRefusedError,
    ProtocolError,
    RegistryError,
    TlsError,
    TransientRegistryError,
)
from worker.registry.guard import REFUSED

_NOT_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "PACKET_LENGTH")
_CAUSES = {
    "self-signed certificate": "certificate signed by unknown authority",
    "self signed certificate": "certificate signed by unknown authority",
    "unable to get local issuer certificate": "certificate signed by unknown authority",
    "certificate has expired": "certificate has expired or is not yet valid",
}


def translate(error: BaseException, *, method: str, url: str, is_told: bool) -> RegistryError:
    """One of our errors for a failure of the connection.

    `is_told` False hides why a host did not answer (S13); what TLS said is always told.
    """
    if isinstance(error, RegistryError):
        return error
    shown = f'{method.capitalize()} "{without_query(url)}"'
    certificate = _certificate_problem(error)
    if certificate:
        text = f"{shown}: tls: failed to verify certificate: x509: {certificate}"
        return TlsError(text, code="tls.untrusted")
    if _is_not_tls(error):
        text = f"{shown}: http: server gave HTTP response to HTTPS client"
        return TlsError(text, code="tls.not_tls")
    if isinstance(error, aiohttp.ClientResponseError | aiohttp.InvalidURL | httpx.InvalidURL):
        text = f"{shown}: the answer is not valid HTTP"
        return ProtocolError(text, code="protocol.http")
    code, cause = _cause_of(error, url)
    if not is_told and code in {"net.refused", "net.timeout", "net.unreachable", "net.dns"}:
        return EgressRefusedError(REFUSED, code="net.unreachable")
    return TransientRegistryError(f"{shown}: {cause}", code=code)


def _certificate_problem(error: BaseException) -> str:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        error = error.certificate_error
    if not isinstance(error, ssl.SSLCertVerificationError):
        return ""
    said = (error.verify_message or "certificate is not valid").strip()
    for known, words in _CAUSES.items():
        if known in said:
            return words
    return said


def _is_not_tls(error: BaseException) -> bool:
    inner = error.os_error if isinstance(error, aiohttp.ClientConnectorSSLError) else error
    return isinstance(inner, ssl.SSLError) and any(
        word in str(inner.reason or inner).upper().replace(" ", "_") for word in _NOT_TLS
    )


def _cause_of(error: BaseException, url: str) -> tuple[str, str]:
    place = httpx.URL(url)
    port = place.port or (443 if place.scheme == "https" else 80)
    dial = f"dial tcp {place.host}:{port}"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "net.dns", f"dial tcp: lookup {place.host}: no such host"
    if isinstance(error, TimeoutError):
        return "net.timeout", "the registry did not answer in time"
    if isinstance(error, aiohttp.ClientConnectorError):
        number = error.os_error.errno
        if number == errno.ECONNREFUSED or "refused" in str(error.os_error).lower():
            return "net.refused", f"{dial}: connect: connection refused"
        if number in {errno.EHOSTUNREACH, errno.ENETUNREACH}:
            return "net.unreachable", f"{dial}: connect: no route to host"
        return "net.connect", f"{dial}: connect: connection failed"
    if isinstance(error, ConnectionResetError):
        return "net.reset", "connection reset by peer"
    return "net.reset", "EOF"


def without_query(url: str) -> str:
    """A URL as it may be shown: queries carry signatures."""
    return url.partition("?")[0].partition("#")[0]
