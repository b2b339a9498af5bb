"""Reads one context of a kubeconfig: server, certificate authority, credentials, namespace.

Only the file that `--kubeconfig` or `TAGSTREAM_KUBECONFIG` names is read. The ambient `KUBECONFIG`
belongs to another cluster and is ignored.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import os
import ssl
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import SecretStr

from models.errors import UsageError

DEFAULT_NAMESPACE = "default"
MAX_KUBECONFIG_BYTES = 1024 * 1024
# Login methods that would run an external program, or that our server does not support.
_UNSUPPORTED_AUTH = ("exec", "auth-provider", "username")


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """A client certificate and its private key, both PEM."""

    certificate: bytes
    key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class KubeconfigContext:
    """One resolved context of a kubeconfig.

    `authority` is PEM, or None for the system's certificate authorities. `server_name` is the name
    that the server's certificate must carry if it is not the host of `server`.
    """

    server: str
    namespace: str = DEFAULT_NAMESPACE
    token: SecretStr | None = None
    authority: str | None = None
    insecure: bool = False
    server_name: str = ""
    proxy: str | None = None
    client_certificate: ClientCertificate | None = field(default=None, repr=False)

    def ssl_context(self) -> ssl.SSLContext:
        """Build the TLS context that verifies the server and presents the client certificate.

        Raises UsageError if a certificate or key is not valid PEM.
        """
        try:
            context = ssl.create_default_context(cadata=self.authority)
        except (ssl.SSLError, ValueError) as error:
            raise UsageError(
                f"the certificate authority for {self.server} is not a PEM certificate"
            ) from error
        if self.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.client_certificate is not None:
            _load_client_certificate(context, self.client_certificate)
        return context


def read_kubeconfig_context(path: Path, context: str = "") -> KubeconfigContext:
    """Read the context of that name, or the current context if no name is given.

    Raises UsageError, which names the file and the entry that is wrong. A message never repeats a
    secret of the file.
    """
    return _KubeconfigFile(path, _load_yaml(path)).read_context(context)


class _KubeconfigFile:
    """A kubeconfig file: lists of clusters, users and contexts that refer to each other by name."""

    def __init__(self, path: Path, content: dict[str, Any]) -> None:
        self._path = path
        self._content = content

    def read_context(self, name: str) -> KubeconfigContext:
        name = name or _text(self._content.get("current-context"))
        if not name:
            raise self._error("has no current-context; use --context NAME")
        context = self._entry("context", name)
        cluster = self._entry("cluster", _text(context.get("cluster")), context_name=name)
        user = self._entry("user", _text(context.get("user")), context_name=name, required=False)
        server = self._server(cluster)
        insecure = cluster.get("insecure-skip-tls-verify") is True
        authority = self._pem(cluster, "certificate-authority")
        if insecure and authority is not None:
            raise self._error(
                "sets certificate-authority and insecure-skip-tls-verify; remove one of them"
            )
        token = self._token(user)
        if token is not None and not server.startswith("https:"):
            raise self._error(f"would send a token to {server}; tokens are sent over https only")
        return KubeconfigContext(
            server=server,
            namespace=_text(context.get("namespace")) or DEFAULT_NAMESPACE,
            token=token,
            authority=None if authority is None else authority.decode("utf-8", "replace"),
            insecure=insecure,
            server_name=_text(cluster.get("tls-server-name")),
            proxy=_text(cluster.get("proxy-url")) or None,
            client_certificate=self._client_certificate(user),
        )

    def _entry(
        self, kind: str, name: str, *, context_name: str = "", required: bool = True
    ) -> dict[str, Any]:
        """Return the cluster, user or context of that name."""
        if not name and not required:
            return {}
        listed = self._content.get(f"{kind}s")
        entries = [each for each in listed if isinstance(each, dict)] if listed else []
        found = next((each.get(kind) for each in entries if each.get("name") == name), None)
        if isinstance(found, dict):
            return found
        if context_name:
            raise self._error(f"has no {kind} {name!r}, which its context {context_name!r} names")
        names = ", ".join(sorted(_text(each.get("name")) for each in entries)) or "none"
        raise self._error(f"has no {kind} {name!r}; it has {names}")

    def _server(self, cluster: dict[str, Any]) -> str:
        server = _text(cluster.get("server")).rstrip("/")
        try:
            parts = urlsplit(server)
            valid = parts.scheme in {"http", "https"} and bool(parts.hostname)
            valid = valid and parts.username is None and not parts.query
            _ = parts.port
        except ValueError:
            valid = False
        if not valid:
            raise self._error("names no server; a server is a URL like https://127.0.0.1:8443")
        return server

    def _token(self, user: dict[str, Any]) -> SecretStr | None:
        """Return the bearer token; `tokenFile` takes precedence over `token`."""
        file = _text(user.get("tokenFile"))
        token = _text(user.get("token"))
        if file:
            token = self._read_file(file, "tokenFile").decode("utf-8", "replace").strip()
        if not token:
            unsupported = [method for method in _UNSUPPORTED_AUTH if user.get(method)]
            if unsupported:
                raise self._error(
                    f"uses {unsupported[0]}, which tagstream does not support; use a token"
                )
            return None
        if not (token.isascii() and token.isprintable()) or " " in token:
            raise self._error("has an invalid token: it contains spaces or special characters")
        return SecretStr(token)

    def _client_certificate(self, user: dict[str, Any]) -> ClientCertificate | None:
        certificate = self._pem(user, "client-certificate")
        key = self._pem(user, "client-key")
        if certificate is None and key is None:
            return None
        if certificate is None or key is None:
            raise self._error("has only one of client-certificate and client-key; give both")
        return ClientCertificate(certificate, key)

    def _pem(self, entry: dict[str, Any], name: str) -> bytes | None:
        """Return PEM from the entry itself (`NAME-data`, which takes precedence) or from a file."""
        inline = _text(entry.get(f"{name}-data"))
        if inline:
            try:
                return base64.b64decode(inline, validate=True)
            except (binascii.Error, ValueError):
                raise self._error(f"has a {name}-data that is not base64") from None
        file = _text(entry.get(name))
        return self._read_file(file, name) if file else None

    def _read_file(self, file: str, name: str) -> bytes:
        """Read a file that an entry names; relative names start at the kubeconfig's directory."""
        path = self._path.parent / file
        try:
            with path.open("rb") as opened:
                return opened.read(MAX_KUBECONFIG_BYTES)
        except OSError as error:
            raise self._error(f"names {path} as {name}: {error.strerror}") from error

    def _error(self, text: str) -> UsageError:
        return UsageError(f"the kubeconfig {self._path} {text}")


def _load_yaml(path: Path) -> dict[str, Any]:
    import yaml

    try:
        with path.open("rb") as opened:
            content = opened.read(MAX_KUBECONFIG_BYTES + 1)
    except OSError as error:
        raise UsageError(
            f"the kubeconfig {path} cannot be read: {error.strerror}; `tagstream up` writes one"
        ) from error
    if len(content) > MAX_KUBECONFIG_BYTES:
        raise UsageError(f"{path} is larger than the limit of a kubeconfig (1 MiB)")
    try:
        document = yaml.safe_load(content)
    except (yaml.YAMLError, ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise UsageError(f"{path} is not a kubeconfig: YAML with clusters, users and contexts")
    return document


def _text(value: object) -> str:
    """Return the value as text; YAML may have parsed a number or a date."""
    return "" if value is None or isinstance(value, dict | list) else str(value)


def _load_client_certificate(
    context: ssl.SSLContext, client_certificate: ClientCertificate
) -> None:
    try:
        with (
            _private_file(client_certificate.certificate) as certificate,
            _private_file(client_certificate.key) as key,
        ):
            context.load_cert_chain(certificate, key, password=lambda: b"")
    except (ssl.SSLError, OSError) as error:
        raise UsageError(
            "the kubeconfig's client-certificate and client-key are not a PEM pair without password"
        ) from error


@contextlib.contextmanager
def _private_file(content: bytes) -> Iterator[str]:
    """Write the content to a temporary file that only its owner can read, for the duration of the
    block.

    `ssl.SSLContext.load_cert_chain` takes file names, not bytes.
    """
    descriptor, name = tempfile.mkstemp(prefix="tagstream-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        yield name
    finally:
        Path(name).unlink()
