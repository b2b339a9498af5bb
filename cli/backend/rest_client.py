"""Speaks REST to a server: JSON in and out, pages, watches, and every refusal an error.

The same client serves a server elsewhere and the application in this process: only what carries
the requests differs.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self
from urllib.parse import urlsplit

import httpx

from cli.backend.kubeconfig import Access
from models.api_errors import ServerAwayError, ServerRefusedError
from models.errors import TagstreamError

PAGE = 500
CONNECT = 10.0
ANSWER = 60.0
WATCH = 50  # seconds that one watch lasts before it is begun anew
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_AGENT = "tagstream"


def open_rest(access: Access, *, warn: Callable[[str], None]) -> Rest:
    """A client of that server, as that user. `warn` is told of the server's warnings."""
    headers = {"User-Agent": _AGENT}
    if access.token is not None:
        headers["Authorization"] = f"Bearer {access.token.get_secret_value()}"
    host = urlsplit(access.server).hostname or ""
    http = httpx.Client(
        verify=access.tls() if access.server.startswith("https:") else ssl.create_default_context(),
        headers=headers,
        timeout=httpx.Timeout(ANSWER, connect=CONNECT),
        proxy=access.proxy,
        trust_env=host not in _LOOPBACK,
    )
    return Rest(http, access.server, server_name=access.server_name, warn=warn)


class Rest:
    """One server. Bodies are plain JSON objects, as they go over the wire."""

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
        """One object."""
        return self._ask("GET", path, query)

    def find(self, path: str) -> dict[str, Any] | None:
        """One object; None where there is none."""
        try:
            return self.get(path)
        except ServerRefusedError as error:
            if error.answered == "NotFound":
                return None
            raise

    def pages(self, path: str, **query: str) -> Iterator[dict[str, Any]]:
        """Every object of a list, page by page."""
        query["limit"] = str(PAGE)
        while True:
            page = self._ask("GET", path, query)
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
        within: float = ANSWER,
        trial: bool = False,
    ) -> dict[str, Any]:
        """What the server made of `body`; of a `trial`, what it would have made."""
        query = {"dryRun": "All"} if trial else {}
        return self._ask("POST", path, query, body, headers=headers, within=within)

    def post_and_hear(
        self, path: str, body: Mapping[str, Any], *, within: float
    ) -> tuple[dict[str, Any], Mapping[str, str]]:
        """What the server made of `body`, and the headers that came with it."""
        return self._hear("POST", path, {}, body, within=within)

    def put(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """The object as it stands after `body` replaced it."""
        return self._ask("PUT", path, {}, body)

    def delete(self, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """What the server said; `body` is a DeleteOptions."""
        return self._ask("DELETE", path, {}, body)

    def watch(self, path: str, **query: str) -> Iterator[dict[str, Any]]:
        """The objects of a watch as they change, until the server ends it."""
        query |= {"watch": "true", "timeoutSeconds": str(WATCH)}
        request = self._request("GET", path, query, None, None, within=WATCH + ANSWER)
        try:
            response = self._http.send(request, stream=True)
            try:
                if response.is_error:
                    response.read()
                    raise _refusal(response, self._server)
                for line in response.iter_lines():
                    event = _parse(line.encode()) if line.strip() else None
                    if event is None or event.get("type") not in {"ADDED", "MODIFIED", "DELETED"}:
                        continue
                    yield event["object"]
            finally:
                response.close()
        except httpx.RemoteProtocolError:
            return  # cut off: the same as its end
        except httpx.HTTPError as error:
            raise self._away(error) from error

    def _ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: Mapping[str, Any] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        within: float = ANSWER,
    ) -> dict[str, Any]:
        return self._hear(method, path, query, body, headers=headers, within=within)[0]

    def _hear(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: Mapping[str, Any] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        within: float = ANSWER,
    ) -> tuple[dict[str, Any], Mapping[str, str]]:
        request = self._request(method, path, query, body, headers, within=within)
        try:
            response = self._http.send(request)
        except httpx.HTTPError as error:
            raise self._away(error) from error
        for warning in response.headers.get_list("warning"):
            self._warn(_warning_text(warning))
        if not response.is_success:
            raise _refusal(response, self._server)
        found = _parse(response.content)
        if found is None:
            raise TagstreamError(
                f"{self._server} answered something else than JSON; is it a tagstream server?"
            )
        return found, response.headers

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
            timeout=httpx.Timeout(within, connect=CONNECT),
            extensions=dict(self._extensions),
        )

    def _away(self, error: httpx.HTTPError) -> ServerAwayError:
        if isinstance(error, httpx.ConnectTimeout | httpx.ConnectError):
            why = str(error) or "no answer"
            return ServerAwayError(
                f"{self._server} cannot be reached: {why}; is this the right kubeconfig?"
            )
        if isinstance(error, httpx.TimeoutException):
            return ServerAwayError(f"{self._server} did not answer in time; try again")
        return ServerAwayError(f"the connection to {self._server} broke; try again")


def _refusal(response: httpx.Response, server: str) -> ServerRefusedError:
    """The Status of a refusal; some other proxy's page is told by its code alone."""
    status = _parse(response.content) or {}
    if status.get("kind") != "Status":
        said = f"{response.status_code} {response.reason_phrase}".strip()
        return ServerRefusedError({"message": f"{server} answered {said} and no Status"})
    if response.status_code == httpx.codes.UNAUTHORIZED:
        hint = "the kubeconfig's token is unknown here, revoked or has expired"
        return ServerRefusedError({**status, "message": f"{status.get('message')}: {hint}"})
    return ServerRefusedError(status)


def _parse(content: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _warning_text(header: str) -> str:
    """`299 - "text"` of RFC 7234, without its frame."""
    text = header.partition('"')[2].rpartition('"')[0] or header
    return text.replace('\\"', '"').replace("\\\\", "\\")
