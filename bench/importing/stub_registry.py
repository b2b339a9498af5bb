"""A registry that costs almost nothing: answers are ready bytes, and bodies are made from a tag's
number. It runs in a process of its own, so that only the client is measured.

    python -m bench.importing.stub_registry PORT

Any repository exists. One named `REPOSITORY-TAGS` lists that many tags, a thousand a page; every
tag is an image of its own. It is as many registries as it has addresses: 127.0.0.1 to 127.0.0.16.
"""

from __future__ import annotations

import asyncio
import json
import sys
from functools import lru_cache
from typing import cast

import uvloop

from bench.importing.corpus_documents import CONFIG, MANIFEST, digest_of, make_config, make_manifest

PAGE = 1000
HOSTS = 16


class Stub(asyncio.Protocol):
    """Answers as soon as a request's head is complete; requests have no bodies."""

    def __init__(self) -> None:
        self._pending = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        data = self._pending + data
        if not data[:1].isupper():  # a TLS greeting: answered as servers of plain http do
            self._transport.write(b"HTTP/1.0 400 Bad Request\r\n\r\n")
            self._transport.close()
            return
        while (end := data.find(b"\r\n\r\n")) >= 0:
            method, target, _ = data.split(b" ", 2)
            answer, head = answer_to(target)
            self._transport.write(answer[:head] if method == b"HEAD" else answer)
            data = data[end + 4 :]
        self._pending = data


@lru_cache(maxsize=100_000)
def answer_to(target: bytes) -> tuple[bytes, int]:
    """The bytes of an answer, and how many of them are its head."""
    path, _, query = target.decode().partition("?")
    if path == "/v2/":
        return reply(b"{}", "application/json")
    repository, kind, name = path.removeprefix("/v2/").rsplit("/", 2)
    if kind == "tags":
        return list_tags(repository, query)
    if kind == "blobs":
        return blob(name)
    number = int(name.rpartition("-")[2]) if name.startswith("tag-") else 0
    config = config_of(repository, number)
    body = make_manifest(config, number)
    return reply(body, MANIFEST, digest=digest_of(body))


CONFIGS: dict[str, tuple[str, int]] = {}


def config_of(repository: str, number: int) -> bytes:
    config = make_config("amd64", f"{repository} {number}")
    CONFIGS[digest_of(config)] = (repository, number)
    return config


def blob(digest: str) -> tuple[bytes, int]:
    repository, number = CONFIGS[digest]
    return reply(config_of(repository, number), CONFIG, digest=digest)


def list_tags(repository: str, query: str) -> tuple[bytes, int]:
    number = int(repository.rpartition("-")[2])
    wanted = dict(pair.split("=", 1) for pair in query.split("&") if pair)
    start = int(wanted["last"].rpartition("-")[2]) + 1 if "last" in wanted else 0
    end = min(start + PAGE, number)
    tags = [f"tag-{each:05}" for each in range(start, end)]
    link = ""
    if end < number:
        link = f'Link: </v2/{repository}/tags/list?last={tags[-1]}&n={PAGE}>; rel="next"\r\n'
    return reply(json.dumps({"name": repository, "tags": tags}).encode(), "application/json", link)


def reply(body: bytes, kind: str, more: str = "", *, digest: str = "") -> tuple[bytes, int]:
    if digest:
        more += f"Docker-Content-Digest: {digest}\r\n"
    head = (
        f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
        f"Docker-Distribution-Api-Version: registry/2.0\r\n{more}\r\n"
    ).encode()
    return head + body, len(head)


async def main(port: int) -> None:
    hosts = [f"127.0.0.{number}" for number in range(1, HOSTS + 1)]
    server = await asyncio.get_running_loop().create_server(Stub, hosts, port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
