"""The sample manifests and configs of rule imports-8.1, byte for byte; tests check their sha256."""

import base64
import hashlib
import json

S2_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
OCI_TYPE = "application/vnd.oci.image.manifest.v1+json"
LIST_TYPE = "application/vnd.docker.distribution.manifest.list.v2+json"
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
S1_SIGNED_TYPE = "application/vnd.docker.distribution.manifest.v1+prettyjws"

L1 = "sha256:" + "1" * 64
L2 = "sha256:" + "2" * 64


def digest_of(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()


def compact(value):
    return json.dumps(value, separators=(",", ":")).encode()


CFG_A = compact(
    {
        "architecture": "amd64",
        "config": {
            "Env": ["A=1"],
            "Cmd": ["sh"],
            "ExposedPorts": {"80/tcp": {}},
            "Labels": {"l": "v"},
            "Volumes": {"/data": {}},
            "WorkingDir": "/w",
            "User": "1001",
            "Entrypoint": ["/e"],
            "StopSignal": "SIGTERM",
            "Healthcheck": {"Test": ["NONE"]},
        },
        "created": "2016-06-23T23:23:37.198943461Z",
        "docker_version": "1.10.3",
        "author": "me",
        "os": "linux",
        "history": [{"created": "2016-06-23T23:23:36Z", "created_by": "x"}],
        "rootfs": {
            "type": "layers",
            "diff_ids": ["sha256:8ac8bfaff55af948c796026ee867448c5b5b5d9dd3549f4006d9759b25d4a893"],
        },
    }
)
CFG_ARM = b'{"architecture":"arm64","os":"linux","created":"2020-01-02T03:04:05Z"}'
CFG_ATT = (
    b'{"architecture":"unknown","os":"unknown","config":{},'
    b'"rootfs":{"type":"layers","diff_ids":["sha256:x"]}}'
)
_S2_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"


def _descriptor(media_type, size, digest):
    return {"mediaType": media_type, "size": size, "digest": digest}


S2 = compact(
    {
        "schemaVersion": 2,
        "mediaType": S2_TYPE,
        "config": _descriptor(
            "application/vnd.docker.container.image.v1+json", 7, digest_of(CFG_A)
        ),
        "layers": [
            _descriptor(_S2_LAYER, 100, L1),
            _descriptor(_S2_LAYER, 50, L2),
            _descriptor(_S2_LAYER, 100, L1),
        ],
    }
)


def oci_manifest(config, *, media_type=True):
    return compact(
        {
            "schemaVersion": 2,
            **({"mediaType": OCI_TYPE} if media_type else {}),
            "config": _descriptor("application/vnd.oci.image.config.v1+json", 7, digest_of(config)),
            "layers": [_descriptor("application/vnd.oci.image.layer.v1.tar+zstd", 100, L1)],
        }
    )


OCI = oci_manifest(CFG_A)
OCI_BARE = oci_manifest(CFG_A, media_type=False)
OCI_ARM = oci_manifest(CFG_ARM)
OCI_ATT = oci_manifest(CFG_ATT)


def _entry(manifest, size, platform):
    return {
        "mediaType": OCI_TYPE,
        "digest": digest_of(manifest),
        "size": size,
        "platform": platform,
    }


_ENTRIES = [
    _entry(OCI_ARM, 10, {"architecture": "arm64", "os": "linux", "variant": "v8"}),
    _entry(OCI_BARE, 11, {"architecture": "amd64", "os": "linux"}),
    _entry(OCI_ATT, 12, {"architecture": "unknown", "os": "unknown"}),
]
LIST = compact({"schemaVersion": 2, "mediaType": LIST_TYPE, "manifests": _ENTRIES})
INDEX = compact({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": _ENTRIES})
INDEX_BARE = compact({"schemaVersion": 2, "manifests": _ENTRIES[:2]})

_HEAD = (
    '{\n   "schemaVersion": 1,\n   "name": "a/s1",\n   "tag": "x",\n'
    '   "architecture": "amd64",\n'
    f'   "fsLayers": [{{"blobSum":"{L1}"}}],\n'
    '   "history": [{"v1Compatibility":"{\\"id\\":\\"top\\",'
    '\\"created\\":\\"2015-02-21T02:11:06Z\\",\\"Size\\":42}"}]'
)


def _b64url(content):
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def sign(head, *, length=None, tail=b"\n}"):
    """Return `head`, which has no closing line, as a pretty-signed schema 1 manifest."""
    protected = compact(
        {
            "formatLength": len(head) if length is None else length,
            "formatTail": _b64url(tail),
            "time": "2016-01-02T02:01:33Z",
        }
    )
    signature = (
        f',"signatures":[{{"header":{{"alg":"ES256"}},"signature":"AAAA",'
        f'"protected":"{_b64url(protected)}"}}]'
    )
    return head + signature.encode() + b"\n}"


SCHEMA1_HEAD = _HEAD.encode()
SCHEMA1_PAYLOAD = SCHEMA1_HEAD + b"\n}"
SCHEMA1_RAW = sign(SCHEMA1_HEAD)
