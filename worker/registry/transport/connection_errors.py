"""What can go wrong below HTTP, in words that people search for (`import.md` 4.5)."""

from __future__ import annotations

import errno
import socket
import ssl

import aiohttp

from models.errors import ProtocolError, RegistryError, TlsError, TransientRegistryError
from worker.registry.transport.egress_policy import REFUSED, check_url, origin_of

_NOT_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "PACKET_LENGTH")
_UNKNOWN = "certificate signed by unknown authority"
_CAUSES = {
    "self-signed certificate": _UNKNOWN,
    "self signed certificate": _UNKNOWN,
    "unable to get local issuer certificate": _UNKNOWN,
    "certificate has expired": "certificate has expired or is not yet valid",
    "certificate is not yet valid": "certificate has expired or is not yet valid",
}
_TRUST = (
    "; let the operator trust its authority (TAGSTREAM_ADDITIONAL_TRUSTED_CA), or import it as "
    "insecure"
)
_PLAIN = "; if it has no TLS, import it as insecure"
_ROUTES = frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EADDRNOTAVAIL})
# Why a host was silent is told only of hosts that whoever asks may know about (S13).
_SILENCE = frozenset({"net.refused", "net.timeout", "net.unreachable", "net.connect"})


def translate(error: BaseException, *, method: str, url: str, is_told: bool) -> RegistryError:
    """One of our errors for a failure of the connection.

    `is_told` False hides why a host did not answer (S13); what TLS said is always told.
    """
    if isinstance(error, RegistryError):
        return error
    shown = f'{method.capitalize()} "{without_query(url)}"'
    certificate = _certificate_problem(error)
    if certificate:
        text = f"{shown}: tls: failed to verify certificate: x509: {certificate}{_TRUST}"
        return TlsError(text, code="tls.untrusted")
    if _is_not_tls(error):
        text = f"{shown}: http: server gave HTTP response to HTTPS client{_PLAIN}"
        return TlsError(text, code="tls.not_tls")
    if isinstance(error, aiohttp.ClientResponseError | aiohttp.InvalidURL):
        text = f"{shown}: malformed HTTP response: the answer is not valid HTTP"
        return ProtocolError(text, code="protocol.http")
    if isinstance(error, ValueError):
        text = f"{shown}: the request cannot be sent"
        return ProtocolError(text, code="protocol.http")
    code, cause = _cause_of(error, url)
    if not is_told and code in _SILENCE:
        return TransientRegistryError(REFUSED, code=code)
    return TransientRegistryError(f"{shown}: {cause}", code=code)


def _certificate_problem(error: BaseException) -> str:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        error = error.certificate_error
    if not isinstance(error, ssl.SSLCertVerificationError):
        return ""
    said = (error.verify_message or "certificate is not valid").strip().rstrip(".")
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
    _, host, port = origin_of(check_url(url))
    dial = f"dial tcp {host}:{port}: connect"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        if _is_no_name(error.os_error):
            return "net.dns_nxdomain", f"dial tcp: lookup {host}: no such host"
        return "net.dns", f"dial tcp: lookup {host}: the name server does not answer"
    if isinstance(error, TimeoutError):
        return "net.timeout", "i/o timeout: the registry did not answer in time"
    if isinstance(error, aiohttp.ClientConnectorSSLError):
        return "net.tls", "the TLS handshake failed"
    if isinstance(error, aiohttp.ClientConnectorError):
        number = error.os_error.errno
        if number == errno.ECONNREFUSED:
            return "net.refused", f"{dial}: connection refused"
        if number in _ROUTES:
            return "net.unreachable", f"{dial}: no route to host"
        if number == errno.ECONNRESET:
            return "net.reset", "read: connection reset by peer"
        return "net.connect", f"{dial}: connection failed"
    if isinstance(error, OSError) and error.errno == errno.ECONNRESET:
        return "net.reset", "read: connection reset by peer"
    return "net.reset", "EOF"


def _is_no_name(error: OSError) -> bool:
    return isinstance(error, socket.gaierror) and error.errno in {
        socket.EAI_NONAME,
        getattr(socket, "EAI_NODATA", socket.EAI_NONAME),
    }


def without_query(url: str) -> str:
    """A URL as it may be shown: queries carry signatures."""
    return url.partition("?")[0].partition("#")[0]
