"""A registry that costs almost no CPU time: responses are cached bytes made from a tag's number.

    python -m bench.importing.stub_registry PORT

It runs in a process of its own, so that only the client is measured. Any repository exists. One
named `REPOSITORY-TAGS` lists that many tags, a thousand a page; every tag is a different image. It
counts as one registry for each of its addresses: 127.0.0.1 to 127.0.0.16.
"""

from __future__ import annotations

import asyncio
import json
import sys
from functools import lru_cache
from typing import cast

import uvloop

from bench.importing.corpus_documents import CONFIG, MANIFEST, digest_of, make_config, make_manifest

TAGS_PER_PAGE = 1000
HOST_COUNT = 16


class StubRegistry(asyncio.Protocol):
    """Responds as soon as the head of a request is complete; requests have no bodies."""

    def __init__(self) -> None:
        self._pending = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        data = self._pending + data
        if not data[:1].isupper():  # a TLS ClientHello: respond as a plain http server does
            self._transport.write(b"HTTP/1.0 400 Bad Request\r\n\r\n")
            self._transport.close()
            return
        while (end := data.find(b"\r\n\r\n")) >= 0:
            method, target, _ = data.split(b" ", 2)
            response, head = build_response(target)
            self._transport.write(response[:head] if method == b"HEAD" else response)
            data = data[end + 4 :]
        self._pending = data


@lru_cache(maxsize=100_000)
def build_response(target: bytes) -> tuple[bytes, int]:
    """Build the bytes of a response and return them with the length of its head."""
    path, _, query = target.decode().partition("?")
    if path == "/v2/":
        return http_response(b"{}", "application/json")
    repository, kind, name = path.removeprefix("/v2/").rsplit("/", 2)
    if kind == "tags":
        return tag_list_response(repository, query)
    if kind == "blobs":
        return blob_response(name)
    number = int(name.rpartition("-")[2]) if name.startswith("tag-") else 0
    config = make_registered_config(repository, number)
    body = make_manifest(config, number)
    return http_response(body, MANIFEST, digest=digest_of(body))


CONFIG_SOURCES: dict[str, tuple[str, int]] = {}


def make_registered_config(repository: str, number: int) -> bytes:
    config = make_config("amd64", f"{repository} {number}")
    CONFIG_SOURCES[digest_of(config)] = (repository, number)
    return config


def blob_response(digest: str) -> tuple[bytes, int]:
    repository, number = CONFIG_SOURCES[digest]
    return http_response(make_registered_config(repository, number), CONFIG, digest=digest)


def tag_list_response(repository: str, query: str) -> tuple[bytes, int]:
    number = int(repository.rpartition("-")[2])
    parameters = dict(pair.split("=", 1) for pair in query.split("&") if pair)
    start = int(parameters["last"].rpartition("-")[2]) + 1 if "last" in parameters else 0
    end = min(start + TAGS_PER_PAGE, number)
    tags = [f"tag-{each:05}" for each in range(start, end)]
    link = ""
    if end < number:
        link = (
            f'Link: </v2/{repository}/tags/list?last={tags[-1]}&n={TAGS_PER_PAGE}>; rel="next"\r\n'
        )
    return http_response(
        json.dumps({"name": repository, "tags": tags}).encode(), "application/json", link
    )


def http_response(
    body: bytes, content_type: str, extra_headers: str = "", *, digest: str = ""
) -> tuple[bytes, int]:
    if digest:
        extra_headers += f"Docker-Content-Digest: {digest}\r\n"
    head = (
        f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n"
        f"Docker-Distribution-Api-Version: registry/2.0\r\n{extra_headers}\r\n"
    ).encode()
    return head + body, len(head)


async def main(port: int) -> None:
    """Serve the stub until the process is stopped."""
    hosts = [f"127.0.0.{number}" for number in range(1, HOST_COUNT + 1)]
    server = await asyncio.get_running_loop().create_server(StubRegistry, hosts, port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
