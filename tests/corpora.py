"""Sample repositories (corpora) for tests of imports, and functions that push them.

`single`: 200 tags, an image each. `multi`: 100 tags, an index each of 8 platforms and their 8
attestations. `unchanged`: 300 tags of images that were imported before. Every image has its own
config; all images share their layers. Equal arguments give equal bytes.
"""

import asyncio
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp
import oras.client

from tests.fakeregistry.content import OCI_INDEX, OCI_MANIFEST, compute_digest

CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"
STATEMENT_TYPE = "application/vnd.in-toto+json"
PLATFORMS = (
    ("linux", "amd64", ""),
    ("linux", "arm64", "v8"),
    ("linux", "arm", "v7"),
    ("linux", "arm", "v6"),
    ("linux", "386", ""),
    ("linux", "ppc64le", ""),
    ("linux", "s390x", ""),
    ("linux", "riscv64", ""),
)
_LAYERS = tuple(f"layer {number} of every image".encode() for number in range(6))
_STATEMENT = (
    b'{"_type":"https://in-toto.io/Statement/v0.1","predicateType":"https://spdx.dev/Document"}'
)


@dataclass(frozen=True, slots=True)
class Manifest:
    content: bytes
    media_type: str
    tag: str | None = None

    @property
    def digest(self):
        return compute_digest(self.content)


@dataclass(frozen=True, slots=True)
class Corpus:
    """Blobs and manifests of one repository, in an order in which they can be pushed.

    Manifests of one stage do not refer to each other.
    """

    name: str
    blobs: Mapping[str, bytes]
    stages: tuple[tuple[Manifest, ...], ...]

    @property
    def manifests(self):
        return tuple(manifest for stage in self.stages for manifest in stage)

    @property
    def tags(self):
        """The digest of each tag."""
        return {each.tag: each.digest for each in self.manifests if each.tag is not None}


def single(tags=200, *, generation=0):
    """Return a corpus of `tags` images. Another `generation` has equal tags and other images."""
    return _images("single", tags, generation)


def unchanged(tags=300, *, generation=0):
    """Return a corpus like `single`, for measurements of a second import."""
    return _images("unchanged", tags, generation)


def multi(tags=100, *, platforms=8, attestations=8, generation=0):
    """Return a corpus of `tags` indexes, each of `platforms` images and their `attestations`."""
    blobs = {compute_digest(blob): blob for blob in (*_LAYERS, _STATEMENT)}
    children, indexes = [], []
    for number in range(tags):
        about = f"multi {generation} {number}"
        entries = []
        for platform in PLATFORMS[:platforms]:
            child = _image(blobs, about, platform)
            children.append(child)
            entries.append(_entry(child, platform))
        for subject in entries[:attestations]:
            attestation = _attestation(blobs, about, subject["digest"])
            children.append(attestation)
            entries.append(_attestation_entry(attestation, subject["digest"]))
        indexes.append(_index(entries, tag=_version(number)))
    return Corpus("multi", blobs, (tuple(children), tuple(indexes)))


def load(fake, corpus, repository):
    """Store a corpus in a fake registry."""
    for blob in corpus.blobs.values():
        fake.push_blob(repository, blob)
    for each in corpus.manifests:
        fake.push(repository, tag=each.tag, manifest=each.content, media_type=each.media_type)


def push(url, corpus, repository, *, headers=None, concurrency=16):
    """Push a corpus to a real registry at `url` with concurrent requests."""
    asyncio.run(_push(url, corpus, repository, headers or {}, concurrency))


def push_with_oras(host, repository, tag, files):
    """Push an artifact of `files` (paths) with the `oras` client; return its manifest's digest.

    Works only with a registry over plain HTTP without authentication.
    """
    client = oras.client.OrasClient(hostname=host, insecure=True)
    response = client.push(
        target=f"{host}/{repository}:{tag}",
        files=[str(path) for path in files],
        disable_path_validation=True,
        manifest_annotations={"org.opencontainers.image.title": tag},
    )
    client.session.close()
    return response.headers["Docker-Content-Digest"]


async def _push(url, corpus, repository, headers, concurrency):
    base = f"{url}/v2/{repository}"
    connector = aiohttp.TCPConnector(limit=concurrency)
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:

        async def push_blob(digest, content):
            async with session.post(f"{base}/blobs/uploads/") as response:
                _expect_status(response, 202)
                location = response.headers["Location"]
            location += f"{'&' if '?' in location else '?'}digest={digest}"
            # A Location may be absolute or relative (registry-2.7).
            target = location if "://" in location else url + location
            async with session.put(target, data=content) as response:
                _expect_status(response, 201)

        async def push_manifest(manifest):
            media_type = {"Content-Type": manifest.media_type}
            target = f"{base}/manifests/{manifest.tag or manifest.digest}"
            async with session.put(target, data=manifest.content, headers=media_type) as response:
                _expect_status(response, 201)

        await _run_concurrently(concurrency, [(push_blob, pair) for pair in corpus.blobs.items()])
        for stage in corpus.stages:
            await _run_concurrently(concurrency, [(push_manifest, (each,)) for each in stage])


async def _run_concurrently(concurrency, calls):
    pending = iter(calls)

    async def work():
        for function, arguments in pending:
            await function(*arguments)

    async with asyncio.TaskGroup() as group:
        for _ in range(concurrency):
            group.create_task(work())


def _expect_status(response, status):
    assert response.status == status, f"{response.method} {response.url}: {response.status}"


def _images(name, tags, generation):
    blobs = {compute_digest(blob): blob for blob in _LAYERS}
    images = tuple(
        _image(blobs, f"{name} {generation} {number}", PLATFORMS[0], tag=_version(number))
        for number in range(tags)
    )
    return Corpus(name, blobs, (images,))


def _version(number):
    return f"1.{number // 10}.{number % 10}"


def _image(blobs, about, platform, *, tag=None):
    """Return an image of all shared layers; add its config to `blobs`."""
    config = _compact(_config(about, platform))
    blobs[compute_digest(config)] = config
    layers = [_descriptor(LAYER_TYPE, layer) for layer in _LAYERS]
    return Manifest(_manifest(config, layers), OCI_MANIFEST, tag)


def _config(about, platform):
    system, architecture, variant = platform
    steps = [f"RUN step {number} of {about}" for number in range(len(_LAYERS))]
    return {
        "created": "2024-05-06T07:08:09Z",
        "architecture": architecture,
        **({"variant": variant} if variant else {}),
        "os": system,
        "config": {
            "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C"],
            "Entrypoint": ["/usr/bin/app"],
            "Cmd": ["serve", "--port", "8080"],
            "ExposedPorts": {"8080/tcp": {}},
            "WorkingDir": "/srv",
            "User": "1001",
            "Labels": {
                "org.opencontainers.image.title": about,
                "org.opencontainers.image.source": "https://git.example/app",
                "org.opencontainers.image.revision": hashlib.sha1(about.encode()).hexdigest(),
            },
        },
        "history": [{"created": "2024-05-06T07:08:09Z", "created_by": step} for step in steps],
        "rootfs": {"type": "layers", "diff_ids": [compute_digest(b"x" + each) for each in _LAYERS]},
    }


def _attestation(blobs, about, subject):
    diff = compute_digest(f"{about} {subject}".encode())
    config = _compact(
        {
            "architecture": "unknown",
            "os": "unknown",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [diff]},
        }
    )
    blobs[compute_digest(config)] = config
    layer = {
        **_descriptor(STATEMENT_TYPE, _STATEMENT),
        "annotations": {"in-toto.io/predicate-type": "https://spdx.dev/Document"},
    }
    return Manifest(_manifest(config, [layer]), OCI_MANIFEST)


def _manifest(config, layers):
    return _compact(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": _descriptor(CONFIG_TYPE, config),
            "layers": layers,
        }
    )


def _index(entries, *, tag):
    content = _compact({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries})
    return Manifest(content, OCI_INDEX, tag)


def _entry(child, platform):
    system, architecture, variant = platform
    described = {"architecture": architecture, "os": system}
    described.update({"variant": variant} if variant else {})
    return {**_descriptor(child.media_type, child.content), "platform": described}


def _attestation_entry(child, subject):
    return {
        **_descriptor(child.media_type, child.content),
        "platform": {"architecture": "unknown", "os": "unknown"},
        "annotations": {
            "vnd.docker.reference.digest": subject,
            "vnd.docker.reference.type": "attestation-manifest",
        },
    }


def _descriptor(media_type, content):
    return {"mediaType": media_type, "digest": compute_digest(content), "size": len(content)}


def _compact(value):
    return json.dumps(value, separators=(",", ":")).encode()
