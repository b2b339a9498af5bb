"""The content of the fake registry, and the correct response to every request for it."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import re
from dataclasses import dataclass, field

from tests.fakeregistry.wire import Reply, Request

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
API_VERSION = ("Docker-Distribution-Api-Version", "registry/2.0")
_ROUTE = re.compile(
    r"/v2/(?P<repository>.+)/(?P<kind>manifests|blobs|tags|referrers)/(?P<name>[^/]*)"
)
_UPLOAD = re.compile(r"/v2/(?P<repository>.+)/blobs/uploads/(?P<id>[^/]*)")
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


def compute_digest(content: bytes, algorithm: str = "sha256") -> str:
    return f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"


def manifest_digest(content: bytes) -> str:
    """Return the digest of a manifest; that of signed schema 1 is the digest of its payload."""
    try:
        signature = json.loads(content)["signatures"][0]
        protected = json.loads(_unpad(signature["protected"]))
        payload = content[: protected["formatLength"]] + _unpad(protected["formatTail"])
    except (ValueError, KeyError, TypeError, IndexError, RecursionError):
        return compute_digest(content)
    return compute_digest(payload)


def _unpad(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def guess_type(content: bytes) -> str:
    """Return the `mediaType` of a manifest, or the media type that its keys suggest."""
    try:
        document = json.loads(content)
        claimed = document.get("mediaType")
    except (ValueError, AttributeError, RecursionError):
        return OCI_MANIFEST
    return claimed or (OCI_INDEX if "manifests" in document else OCI_MANIFEST)


def error_reply(status: int, code: str, message: str, detail: object = None) -> Reply:
    """Return an error response in the form of docker-registry."""
    body = {"errors": [{"code": code, "message": message, "detail": detail}]}
    headers = [("Content-Type", "application/json; charset=utf-8"), API_VERSION]
    return Reply(status, json.dumps(body).encode() + b"\n", headers)


@dataclass
class Repository:
    """Manifests by digest, digests by tag, blobs by digest."""

    manifests: dict[str, tuple[bytes, str]] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)


@dataclass
class Content:
    """All repositories, and options for what the registry supports.

    `page_size` is the number of tags on a page of a tag list, each page with a Link to the next
    (None: all tags at once, whatever `n` says, as docker-registry 2.8 does). `send_digest` and
    `head_digest` say whether Docker-Content-Digest is sent at all, and on HEAD; `has_referrers`
    says whether there is a referrers API.
    """

    repositories: dict[str, Repository] = field(default_factory=dict)
    page_size: int | None = None
    send_digest: bool = True
    head_digest: bool = True
    has_referrers: bool = False
    _uploads: dict[str, bytearray] = field(default_factory=dict)
    _names: itertools.count = field(default_factory=itertools.count)

    def at(self, repository: str) -> Repository:
        return self.repositories.setdefault(repository, Repository())

    def answer(self, request: Request) -> Reply:
        """Return the correct response to `request`."""
        path = request.plain_path
        if path in {"/v2/", "/v2"}:
            return _json({}, API_VERSION)
        if upload := _UPLOAD.fullmatch(path):
            return self._upload(request, self.at(upload["repository"]), path, upload["id"])
        route = _ROUTE.fullmatch(path)
        if route is None:
            return Reply(404, b"404 page not found\n", [("Content-Type", "text/plain")])
        name = route["repository"]
        if request.method == "PUT" and route["kind"] == "manifests":
            return self._put_manifest(request, self.at(name), name, route["name"])
        if request.method not in {"GET", "HEAD"}:
            return error_reply(405, "UNSUPPORTED", "The operation is unsupported.")
        repository = self.repositories.get(name)
        match route["kind"]:
            case "manifests":
                return self._manifest(request, repository, route["name"])
            case "blobs":
                return self._blob(request, repository, route["name"])
            case "tags":
                return self._tags(request, repository, name)
            case _:
                return self._referrers(repository, route["name"])

    def _manifest(self, request: Request, repository: Repository | None, wanted: str) -> Reply:
        digest = repository.tags.get(wanted, wanted) if repository else wanted
        if repository is None or digest not in repository.manifests:
            detail = {"Tag": wanted} if ":" not in wanted else f"unknown manifest {wanted}"
            return error_reply(404, "MANIFEST_UNKNOWN", "manifest unknown", detail)
        content, media_type = repository.manifests[digest]
        if request.headers.get("if-none-match", "").strip('"') == digest:
            return Reply(304, headers=[API_VERSION])
        headers = [("Content-Type", media_type), API_VERSION, ("Etag", f'"{digest}"')]
        if self.send_digest and (self.head_digest or request.method != "HEAD"):
            headers.append(("Docker-Content-Digest", digest))
        return Reply(200, content, headers)

    def _blob(self, request: Request, repository: Repository | None, digest: str) -> Reply:
        content = repository.blobs.get(digest) if repository else None
        if content is None:
            return error_reply(404, "BLOB_UNKNOWN", "blob unknown to registry", {"Digest": digest})
        headers = [
            ("Content-Type", "application/octet-stream"),
            API_VERSION,
            ("Accept-Ranges", "bytes"),
        ]
        if self.send_digest:
            headers.append(("Docker-Content-Digest", digest))
        if wanted := _RANGE.fullmatch(request.headers.get("range", "")):
            first = int(wanted[1] or 0)
            last = min(int(wanted[2] or len(content)), len(content) - 1)
            headers.append(("Content-Range", f"bytes {first}-{last}/{len(content)}"))
            return Reply(206, content[first : last + 1], headers)
        return Reply(200, content, headers)

    def _tags(self, request: Request, repository: Repository | None, name: str) -> Reply:
        if repository is None:
            return error_reply(
                404, "NAME_UNKNOWN", "repository name not known to registry", {"name": name}
            )
        tags = sorted(repository.tags)
        headers = [API_VERSION]
        if self.page_size:
            size = min(self.page_size, int(request.query.get("n", ["1000"])[0]))
            after = request.query.get("last", [""])[0]
            rest = [tag for tag in tags if tag > after]
            tags = rest[:size]
            if len(rest) > size:
                target = f"/v2/{name}/tags/list?n={size}&last={tags[-1]}"
                headers.append(("Link", f'<{target}>; rel="next"'))
        return _json({"name": name, "tags": tags or None}, *headers)

    def _referrers(self, repository: Repository | None, digest: str) -> Reply:
        if not self.has_referrers:
            return Reply(404, b"404 page not found\n", [("Content-Type", "text/plain")])
        found = []
        for name, (content, media_type) in (repository.manifests if repository else {}).items():
            document = json.loads(content)
            if document.get("subject", {}).get("digest") != digest:
                continue
            kind = document.get("artifactType") or document.get("config", {}).get("mediaType", "")
            entry = {"mediaType": media_type, "digest": name, "size": len(content)}
            found.append({**entry, "artifactType": kind, **_annotations(document)})
        index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": found}
        return Reply(200, json.dumps(index).encode(), [("Content-Type", OCI_INDEX), API_VERSION])

    def _put_manifest(self, request: Request, to: Repository, name: str, wanted: str) -> Reply:
        digest = manifest_digest(request.body)
        if ":" in wanted and wanted != digest:
            return error_reply(400, "DIGEST_INVALID", "provided digest did not match", wanted)
        media_type = request.headers.get("content-type") or guess_type(request.body)
        to.manifests[digest] = (request.body, media_type)
        if ":" not in wanted:
            to.tags[wanted] = digest
        return _created(f"/v2/{name}/manifests/{digest}", digest)

    def _upload(self, request: Request, to: Repository, path: str, upload: str) -> Reply:
        """Handle the upload of a blob: in one POST, or by POST, PATCH and PUT."""
        digest = request.query.get("digest", [""])[0]
        if request.method == "POST" and not digest:
            upload = f"upload{next(self._names)}"
            self._uploads[upload] = bytearray()
            return _accepted(f"{path}{upload}", 0)
        if request.method == "POST":
            content = request.body
        elif upload not in self._uploads:
            return error_reply(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry")
        else:
            self._uploads[upload] += request.body
            content = bytes(self._uploads[upload])
            if request.method == "PATCH":
                return _accepted(path, len(content))
            del self._uploads[upload]
        if digest != compute_digest(content, digest.partition(":")[0] or "sha256"):
            return error_reply(400, "DIGEST_INVALID", "provided digest did not match", digest)
        to.blobs[digest] = content
        return _created(f"{path.partition('uploads/')[0]}{digest}", digest)


def _annotations(document: dict) -> dict:
    return {"annotations": document["annotations"]} if document.get("annotations") else {}


def _json(value: object, *headers: tuple[str, str]) -> Reply:
    pairs = [("Content-Type", "application/json; charset=utf-8"), *headers]
    return Reply(200, json.dumps(value).encode(), pairs)


def _accepted(location: str, size: int) -> Reply:
    headers = [("Location", location), ("Range", f"0-{max(size - 1, 0)}"), API_VERSION]
    return Reply(202, headers=headers)


def _created(location: str, digest: str) -> Reply:
    headers = [("Location", location), ("Docker-Content-Digest", digest), API_VERSION]
    return Reply(201, headers=headers)
