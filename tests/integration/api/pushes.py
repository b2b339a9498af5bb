"""Images as registries push them, each another one, and where they are read."""

import hashlib
import itertools
import json
from urllib.parse import quote

from tests.apiserver import IMAGE_API

IMAGES = f"{IMAGE_API}/images"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
L1, L2 = "sha256:" + "1" * 64, "sha256:" + "2" * 64
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_numbers = itertools.count(1)


def hashed(text):
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def pushed_image(**fields):
    """An image as a registry pushes it: layers of 100, 200 and again 200 bytes, 262 of config."""
    config = {
        "architecture": "amd64",
        "os": "linux",
        "created": "2024-05-06T07:08:09.987654321Z",
        "author": f"somebody {next(_numbers)}",
        "config": {"Env": ["A=b"], "Unknown": 1},
    }
    config["comment"] = "x" * (262 - len(json.dumps(config | {"comment": ""})))
    text = json.dumps(config)
    assert len(text) == 262
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": DOCKER_MANIFEST,
            "config": {"mediaType": DOCKER_CONFIG, "size": 262, "digest": hashed(text)},
            "layers": [
                {"mediaType": DOCKER_LAYER, "size": size, "digest": digest}
                for digest, size in ((L1, 100), (L2, 200), (L2, 200))
            ],
        }
    )
    name = hashed(manifest)
    return {
        "metadata": {"name": name},
        "dockerImageReference": f"quay.io/x/y@{name}",
        "dockerImageManifest": manifest,
        "dockerImageConfig": text,
    } | fields


def index_of(*children):
    """An index as a registry pushes it."""
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "annotations": {"number": str(next(_numbers))},
        "manifests": [
            {
                "mediaType": OCI_MANIFEST,
                "size": 500,
                "digest": child,
                "platform": {"architecture": "amd64", "os": "linux"},
            }
            for child in children
        ],
    }
    text = json.dumps(document)
    return hashed(text), {
        "dockerImageManifest": text,
        "dockerImageManifestMediaType": OCI_INDEX,
    }


def at(name):
    return f"{IMAGES}/{quote(name, safe='')}"


def read(room, name):
    answer = room.admin.get(at(name))
    assert answer.status_code == 200, answer.text
    return answer.json()
