"""Origins of responses, and copies of a request with another URL or scope."""

from __future__ import annotations

from collections.abc import Mapping

from worker.registry.registry_types import RegistryRequest, RegistryResponse


def is_from_other_host(response: RegistryResponse, request: RegistryRequest) -> bool:
    """Return whether a redirect led to another host; it gets no credentials (registry-7.8)."""
    return response.url != request.url and _netloc(response.url) != _netloc(request.url)


def _netloc(url: str) -> str:
    return url.partition("://")[2].partition("/")[0].lower()


def with_answered_scheme(request: RegistryRequest, response: RegistryResponse) -> RegistryRequest:
    """Return the request with the scheme that worked, where https fell back to plain http."""
    if response.url.startswith("https://") or not request.url.startswith("https://"):
        return request
    if is_from_other_host(response, request):
        return request
    return copy_request(request, "http" + request.url[5:], request.headers)


def with_known_scheme(request: RegistryRequest, base_url: str) -> RegistryRequest:
    """Return the request by plain http, where the registry is known to support only that."""
    if not base_url.startswith("http://") or not request.url.startswith("https://"):
        return request
    url = "http" + request.url[5:]
    return (
        copy_request(request, url, request.headers) if url.startswith(base_url + "/") else request
    )


def with_scope(request: RegistryRequest, scope: str) -> RegistryRequest:
    """Return the request with another scope, whose limits then apply to it."""
    return copy_request(request, request.url, request.headers, scope=scope)


def copy_request(
    request: RegistryRequest, url: str, headers: Mapping[str, str], *, scope: str | None = None
) -> RegistryRequest:
    """Return the request with another URL and other headers, and another scope if given."""
    return RegistryRequest(
        method=request.method,
        url=url,
        source=request.source,
        headers=headers,
        body=request.body,
        max_bytes=request.max_bytes,
        timeout_seconds=request.timeout_seconds,
        redirects=request.redirects,
        reads_body=request.reads_body,
        scope=request.scope if scope is None else scope,
        kind=request.kind,
    )
