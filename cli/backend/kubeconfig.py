"""Reads a kubeconfig: at which server, trusted how, as whom, in which namespace.

Only the file that `--kubeconfig` or `TAGSTREAM_KUBECONFIG` names is read. The ambient `KUBECONFIG`
is somebody's cluster, and none of our business.
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
MOST_BYTES = 1024 * 1024
# Ways to log in that would run somebody's program, or that our server does not have.
_UNUSABLE = ("exec", "auth-provider", "username")


@dataclass(frozen=True, slots=True)
class Identity:
    """A client's certificate and its key, PEM."""

    certificate: bytes
    key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Access:
    """One context of a kubeconfig, ready for use.

    `authority` is PEM; none: the system's. `server_name` is what the certificate has to say where
    that is not the server's host.
    """

    server: str
    namespace: str = DEFAULT_NAMESPACE
    token: SecretStr | None = None
    authority: str | None = None
    insecure: bool = False
    server_name: str = ""
    proxy: str | None = None
    identity: Identity | None = field(default=None, repr=False)

    def tls(self) -> ssl.SSLContext:
        """How the server's certificate is checked, and which one is shown to it."""
        try:
            context = ssl.create_default_context(cadata=self.authority)
        except (ssl.SSLError, ValueError) as error:
            raise UsageError(
                f"the certificate authority for {self.server} is no PEM certificate"
            ) from error
        if self.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.identity is not None:
            _show_identity(context, self.identity)
        return context


def read_access(path: Path, context: str = "") -> Access:
    """The context of that name, else the current one. UsageError says what is wrong with which
    entry; what the file keeps secret is never repeated.
    """
    return _Config(path, _read(path)).access(context)


class _Config:
    """A kubeconfig file: lists of clusters, users and contexts that name each other."""

    def __init__(self, path: Path, content: dict[str, Any]) -> None:
        self._path = path
        self._content = content

    def access(self, name: str) -> Access:
        name = name or _text(self._content.get("current-context"))
        if not name:
            raise self._wrong("has no current-context; say --context NAME")
        context = self._entry("context", name)
        cluster = self._entry("cluster", _text(context.get("cluster")), of=name)
        user = self._entry("user", _text(context.get("user")), of=name, needed=False)
        server = self._server(cluster)
        insecure = cluster.get("insecure-skip-tls-verify") is True
        authority = self._pem(cluster, "certificate-authority")
        if insecure and authority is not None:
            raise self._wrong(
                "names a certificate-authority and says insecure-skip-tls-verify; keep one of them"
            )
        token = self._token(user)
        if token is not None and not server.startswith("https:"):
            raise self._wrong(f"would send a token to {server}; tokens go over https only")
        return Access(
            server=server,
            namespace=_text(context.get("namespace")) or DEFAULT_NAMESPACE,
            token=token,
            authority=None if authority is None else authority.decode("utf-8", "replace"),
            insecure=insecure,
            server_name=_text(cluster.get("tls-server-name")),
            proxy=_text(cluster.get("proxy-url")) or None,
            identity=self._identity(user),
        )

    def _entry(self, kind: str, name: str, *, of: str = "", needed: bool = True) -> dict[str, Any]:
        """The cluster, user or context of that name."""
        if not name and not needed:
            return {}
        listed = self._content.get(f"{kind}s")
        entries = [each for each in listed if isinstance(each, dict)] if listed else []
        found = next((each.get(kind) for each in entries if each.get("name") == name), None)
        if isinstance(found, dict):
            return found
        if of:
            raise self._wrong(f"has no {kind} {name!r}, which its context {of!r} names")
        names = ", ".join(sorted(_text(each.get("name")) for each in entries)) or "none at all"
        raise self._wrong(f"has no {kind} {name!r}; it has {names}")

    def _server(self, cluster: dict[str, Any]) -> str:
        server = _text(cluster.get("server")).rstrip("/")
        try:
            parts = urlsplit(server)
            usable = parts.scheme in {"http", "https"} and bool(parts.hostname)
            usable = usable and parts.username is None and not parts.query
            _ = parts.port
        except ValueError:
            usable = False
        if not usable:
            raise self._wrong("names no server, like https://127.0.0.1:8443")
        return server

    def _token(self, user: dict[str, Any]) -> SecretStr | None:
        """The bearer token; that of a tokenFile counts before the one in the kubeconfig."""
        file = _text(user.get("tokenFile"))
        token = _text(user.get("token"))
        if file:
            token = self._bytes(file, "tokenFile").decode("utf-8", "replace").strip()
        if not token:
            unusable = [way for way in _UNUSABLE if user.get(way)]
            if unusable:
                raise self._wrong(
                    f"logs in by {unusable[0]}, which tagstream does not; give the user a token"
                )
            return None
        if not (token.isascii() and token.isprintable()) or " " in token:
            raise self._wrong("holds a token that is none: spaces or strange characters are in it")
        return SecretStr(token)

    def _identity(self, user: dict[str, Any]) -> Identity | None:
        certificate = self._pem(user, "client-certificate")
        key = self._pem(user, "client-key")
        if certificate is None and key is None:
            return None
        if certificate is None or key is None:
            raise self._wrong("has only one of client-certificate and client-key; give both")
        return Identity(certificate, key)

    def _pem(self, entry: dict[str, Any], name: str) -> bytes | None:
        """PEM from the entry itself (`NAME-data`, which counts first) or from a file."""
        inline = _text(entry.get(f"{name}-data"))
        if inline:
            try:
                return base64.b64decode(inline, validate=True)
            except (binascii.Error, ValueError):
                raise self._wrong(f"holds a {name}-data that is not base64") from None
        file = _text(entry.get(name))
        return self._bytes(file, name) if file else None

    def _bytes(self, file: str, name: str) -> bytes:
        """A file that an entry names; relative names start at the kubeconfig's directory."""
        path = self._path.parent / file
        try:
            with path.open("rb") as opened:
                return opened.read(MOST_BYTES)
        except OSError as error:
            raise self._wrong(f"names {path} as {name}: {error.strerror}") from error

    def _wrong(self, text: str) -> UsageError:
        return UsageError(f"the kubeconfig {self._path} {text}")


def _read(path: Path) -> dict[str, Any]:
    import yaml

    try:
        with path.open("rb") as opened:
            content = opened.read(MOST_BYTES + 1)
    except OSError as error:
        raise UsageError(
            f"the kubeconfig {path} cannot be read: {error.strerror}; `tagstream up` writes one"
        ) from error
    if len(content) > MOST_BYTES:
        raise UsageError(f"{path} is larger than a kubeconfig ever is (1 MiB)")
    try:
        found = yaml.safe_load(content)
    except (yaml.YAMLError, ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise UsageError(f"{path} is not a kubeconfig: YAML with clusters, users and contexts")
    return found


def _text(value: object) -> str:
    """What should be text. YAML may have read a number or a date."""
    return "" if value is None or isinstance(value, dict | list) else str(value)


def _show_identity(context: ssl.SSLContext, identity: Identity) -> None:
    try:
        with (
            _written(identity.certificate) as certificate,
            _written(identity.key) as key,
        ):
            context.load_cert_chain(certificate, key, password=lambda: b"")
    except (ssl.SSLError, OSError) as error:
        raise UsageError(
            "the kubeconfig's client-certificate and client-key are no PEM pair without a password"
        ) from error


@contextlib.contextmanager
def _written(content: bytes) -> Iterator[str]:
    """A file that only its owner reads, for as long as the block lasts: ssl takes no bytes."""
    descriptor, name = tempfile.mkstemp(prefix="tagstream-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        yield name
    finally:
        Path(name).unlink()
