"""A REST client for JSON objects, paged lists and watches; every refusal becomes an exception.

The same client serves a remote server and the application in this process; only the httpx transport
differs.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self
from urllib.parse import urlsplit

import httpx

from cli.backend.kubeconfig import KubeconfigContext
from models.api_errors import ServerRefusedError, ServerUnreachableError
from models.errors import TagstreamError

LIST_PAGE_LIMIT = 500
CONNECT_TIMEOUT_SECONDS = 10.0
RESPONSE_TIMEOUT_SECONDS = 60.0
WATCH_TIMEOUT_SECONDS = 50  # the server ends a watch after this time, then a new one starts
_LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})
_USER_AGENT = "tagstream"


def open_rest_client(
    server_context: KubeconfigContext, *, warn: Callable[[str], None]
) -> RestClient:
    """Open a client of that server with that user's credentials.

    `warn` is called with the text of each Warning header.
    """
    headers = {"User-Agent": _USER_AGENT}
    if server_context.token is not None:
        headers["Authorization"] = f"Bearer {server_context.token.get_secret_value()}"
    host = urlsplit(server_context.server).hostname or ""
    http = httpx.Client(
        verify=server_context.ssl_context()
        if server_context.server.startswith("https:")
        else ssl.create_default_context(),
        headers=headers,
        timeout=httpx.Timeout(RESPONSE_TIMEOUT_SECONDS, connect=CONNECT_TIMEOUT_SECONDS),
        proxy=server_context.proxy,
        trust_env=host not in _LOOPBACK_HOSTS,
    )
    return RestClient(
        http, server_context.server, server_name=server_context.server_name, warn=warn
    )


class RestClient:
    """A client of one server. Bodies are plain JSON objects, as they are on the wire.

    Raises ServerRefusedError for a Status or any other error response, ServerUnreachableError if
    the server does not answer.
    """

    def __init__(
        self,
        http: httpx.Client,
        server: str,
        *,
        server_name: str = "",
        warn: Callable[[str], None],
    ) -> None:
        self._http = http
        self._server = server
        self._extensions = {"sni_hostname": server_name} if server_name else {}
        self._warn = warn

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def get(self, path: str, **query: str) -> dict[str, Any]:
        """Fetch one object."""
        return self._send("GET", path, query)

    def find(self, path: str) -> dict[str, Any] | None:
        """Fetch one object, or return None if the server answers NotFound."""
        try:
            return self.get(path)
        except ServerRefusedError as error:
            if error.server_reason == "NotFound":
                return None
            raise

    def list_objects(self, path: str, **query: str) -> Iterator[dict[str, Any]]:
        """Fetch every object of a list, page by page."""
        query["limit"] = str(LIST_PAGE_LIMIT)
        while True:
            page = self._send("GET", path, query)
            yield from page.get("items") or ()
            query["continue"] = (page.get("metadata") or {}).get("continue") or ""
            if not query["continue"]:
                return

    def post(
        self,
        path: str,
        body: Mapping[str, Any],
        *,
        headers: Mapping[str, str] | None = None,
        within: float = RESPONSE_TIMEOUT_SECONDS,
        dry_run: bool = False,
    ) -> dict[str, Any]:
        """Create an object and return the server's response; `dry_run` stores nothing."""
        query = {"dryRun": "All"} if dry_run else {}
        return self._send("POST", path, query, body, headers=headers, within=within)

    def post_with_headers(
        self, path: str, body: Mapping[str, Any], *, within: float
    ) -> tuple[dict[str, Any], Mapping[str, str]]:
        """Create an object and return the server's response with its headers."""
        return self._send_with_headers("POST", path, {}, body, within=within)

    def put(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Replace an object and return the stored one."""
        return self._send("PUT", path, {}, body)

    def delete(self, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Delete an object and return the response; `body` is a DeleteOptions."""
        return self._send("DELETE", path, {}, body)

    def watch(self, path: str, **query: str) -> Iterator[dict[str, Any]]:
        """Watch a collection: yield each added, modified or deleted object until the server ends
        it.
        """
        query |= {"watch": "true", "timeoutSeconds": str(WATCH_TIMEOUT_SECONDS)}
        request = self._request(
            "GET", path, query, None, None, within=WATCH_TIMEOUT_SECONDS + RESPONSE_TIMEOUT_SECONDS
        )
        try:
            response = self._http.send(request, stream=True)
            try:
                if response.is_error:
                    response.read()
                    raise _refused_error(response, self._server)
                for line in response.iter_lines():
                    event = _parse_object(line.encode()) if line.strip() else None
                    if event is None or event.get("type") not in {"ADDED", "MODIFIED", "DELETED"}:
                        continue
                    yield event["object"]
            finally:
                response.close()
        except httpx.RemoteProtocolError:
            return  # an aborted connection is treated like a regular end of the watch
        except httpx.HTTPError as error:
            raise self._unreachable_error(error) from error

    def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: Mapping[str, Any] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        within: float = RESPONSE_TIMEOUT_SECONDS,
    ) -> dict[str, Any]:
        return self._send_with_headers(method, path, query, body, headers=headers, within=within)[0]

    def _send_with_headers(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: Mapping[str, Any] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        within: float = RESPONSE_TIMEOUT_SECONDS,
    ) -> tuple[dict[str, Any], Mapping[str, str]]:
        request = self._request(method, path, query, body, headers, within=within)
        try:
            response = self._http.send(request)
        except httpx.HTTPError as error:
            raise self._unreachable_error(error) from error
        for warning in response.headers.get_list("warning"):
            self._warn(_warning_text(warning))
        if not response.is_success:
            raise _refused_error(response, self._server)
        document = _parse_object(response.content)
        if document is None:
            raise TagstreamError(
                f"the response of {self._server} is not JSON; is it a tagstream server?"
            )
        return document, response.headers

    def _request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: Mapping[str, Any] | None,
        headers: Mapping[str, str] | None,
        *,
        within: float,
    ) -> httpx.Request:
        sent = {"Accept": "application/json", **(headers or {})}
        content = None
        if body is not None:
            sent["Content-Type"] = "application/json"
            content = json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
        return self._http.build_request(
            method,
            f"{self._server}{path}",
            params={name: value for name, value in query.items() if value} or None,
            headers=sent,
            content=content,
            timeout=httpx.Timeout(within, connect=CONNECT_TIMEOUT_SECONDS),
            extensions=dict(self._extensions),
        )

    def _unreachable_error(self, error: httpx.HTTPError) -> ServerUnreachableError:
        if isinstance(error, httpx.ConnectTimeout | httpx.ConnectError):
            reason = str(error) or "no response"
            return ServerUnreachableError(
                f"{self._server} cannot be reached: {reason}; is this the right kubeconfig?"
            )
        if isinstance(error, httpx.TimeoutException):
            return ServerUnreachableError(f"{self._server} did not respond in time; try again")
        return ServerUnreachableError(f"the connection to {self._server} broke; try again")


def _refused_error(response: httpx.Response, server: str) -> ServerRefusedError:
    """Build the error of a refusal from its Status; the page of a proxy is described by its code
    alone.
    """
    status = _parse_object(response.content) or {}
    if status.get("kind") != "Status":
        status_text = f"{response.status_code} {response.reason_phrase}".strip()
        return ServerRefusedError({"message": f"{server} answered {status_text} and no Status"})
    if response.status_code == httpx.codes.UNAUTHORIZED:
        hint = "the kubeconfig's token is unknown here, revoked or has expired"
        return ServerRefusedError({**status, "message": f"{status.get('message')}: {hint}"})
    return ServerRefusedError(status)


def _parse_object(content: bytes) -> dict[str, Any] | None:
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _warning_text(header: str) -> str:
    """Extract the text from a `299 - "text"` Warning header (RFC 7234 5.5)."""
    text = header.partition('"')[2].rpartition('"')[0] or header
    return text.replace('\\"', '"').replace("\\\\", "\\")
