"""Translation of connection failures into registry errors (registry-14.6).

The texts are those that users search for, such as `connection refused` or `x509` (imports-4.6).
"""

from __future__ import annotations

import errno
import socket
import ssl

import aiohttp

from models.errors import ProtocolError, RegistryError, TlsError, TransientRegistryError
from worker.registry.transport.egress_policy import UNREACHABLE_TEXT, check_url, origin_of

_NOT_TLS_MARKERS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "PACKET_LENGTH")
_UNKNOWN_AUTHORITY = "certificate signed by unknown authority"
_CERTIFICATE_PROBLEMS = {
    "self-signed certificate": _UNKNOWN_AUTHORITY,
    "self signed certificate": _UNKNOWN_AUTHORITY,
    "unable to get local issuer certificate": _UNKNOWN_AUTHORITY,
    "certificate has expired": "certificate has expired or is not yet valid",
    "certificate is not yet valid": "certificate has expired or is not yet valid",
}
_TRUST_HINT = (
    "; let the operator trust its authority (TAGSTREAM_ADDITIONAL_TRUSTED_CA), or import it as "
    "insecure"
)
_PLAIN_HTTP_HINT = "; if it has no TLS, import it as insecure"
_NO_ROUTE_ERRNOS = frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EADDRNOTAVAIL})
# For these the cause is shown only to callers that may know about the host (registry-26.10).
_UNREACHABLE_CODES = frozenset({"net.refused", "net.timeout", "net.unreachable", "net.connect"})


def translate_connection_error(
    error: BaseException, *, method: str, url: str, may_reveal_cause: bool
) -> RegistryError:
    """Return the RegistryError for a failure of the connection.

    `may_reveal_cause` False hides why a host did not answer, so that a tenant cannot scan the
    network; failures of TLS are always shown (registry-26.10).
    """
    if isinstance(error, RegistryError):
        return error
    request_text = f'{method.capitalize()} "{without_query(url)}"'
    certificate = _certificate_problem(error)
    if certificate:
        text = (
            f"{request_text}: tls: failed to verify certificate: x509: {certificate}{_TRUST_HINT}"
        )
        return TlsError(text, code="tls.untrusted")
    if _is_not_tls(error):
        text = f"{request_text}: http: server gave HTTP response to HTTPS client{_PLAIN_HTTP_HINT}"
        return TlsError(text, code="tls.not_tls")
    if isinstance(error, aiohttp.ClientResponseError | aiohttp.InvalidURL):
        text = f"{request_text}: malformed HTTP response: the answer is not valid HTTP"
        return ProtocolError(text, code="protocol.http")
    if isinstance(error, ValueError):
        text = f"{request_text}: the request cannot be sent"
        return ProtocolError(text, code="protocol.http")
    code, cause = _cause_of(error, url)
    if not may_reveal_cause and code in _UNREACHABLE_CODES:
        return TransientRegistryError(UNREACHABLE_TEXT, code=code)
    return TransientRegistryError(f"{request_text}: {cause}", code=code)


def _certificate_problem(error: BaseException) -> str:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        error = error.certificate_error
    if not isinstance(error, ssl.SSLCertVerificationError):
        return ""
    verify_message = (error.verify_message or "certificate is not valid").strip().rstrip(".")
    for fragment, problem in _CERTIFICATE_PROBLEMS.items():
        if fragment in verify_message:
            return problem
    return verify_message


def _is_not_tls(error: BaseException) -> bool:
    inner = error.os_error if isinstance(error, aiohttp.ClientConnectorSSLError) else error
    return isinstance(inner, ssl.SSLError) and any(
        marker in str(inner.reason or inner).upper().replace(" ", "_")
        for marker in _NOT_TLS_MARKERS
    )


def _cause_of(error: BaseException, url: str) -> tuple[str, str]:
    _, host, port = origin_of(check_url(url))
    dial = f"dial tcp {host}:{port}: connect"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        if _is_name_not_found(error.os_error):
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
        if number in _NO_ROUTE_ERRNOS:
            return "net.unreachable", f"{dial}: no route to host"
        if number == errno.ECONNRESET:
            return "net.reset", "read: connection reset by peer"
        return "net.connect", f"{dial}: connection failed"
    if isinstance(error, OSError) and error.errno == errno.ECONNRESET:
        return "net.reset", "read: connection reset by peer"
    return "net.reset", "EOF"


def _is_name_not_found(error: OSError) -> bool:
    return isinstance(error, socket.gaierror) and error.errno in {
        socket.EAI_NONAME,
        getattr(socket, "EAI_NODATA", socket.EAI_NONAME),
    }


def without_query(url: str) -> str:
    """Return a URL as it may be shown: its query may be a signature (registry-27.2)."""
    return url.partition("?")[0].partition("#")[0]
