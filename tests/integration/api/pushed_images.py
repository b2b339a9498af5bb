"""Images as registries push them, each with content of its own, and requests that read them."""

import hashlib
import itertools
import json
from urllib.parse import quote

from tests.api_test_server import IMAGE_API

IMAGES = f"{IMAGE_API}/images"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
L1, L2 = "sha256:" + "1" * 64, "sha256:" + "2" * 64
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_numbers = itertools.count(1)


def digest_of(text):
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def pushed_image(**fields):
    """Return an image as a registry pushes it: layers of 100, 200 and 200 bytes, config of 262."""
    config = {
        "architecture": "amd64",
        "os": "linux",
        "created": "2024-05-06T07:08:09.987654321Z",
        "author": f"author {next(_numbers)}",
        "config": {"Env": ["A=b"], "Unknown": 1},
    }
    config["comment"] = "x" * (262 - len(json.dumps(config | {"comment": ""})))
    text = json.dumps(config)
    assert len(text) == 262
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": DOCKER_MANIFEST,
            "config": {"mediaType": DOCKER_CONFIG, "size": 262, "digest": digest_of(text)},
            "layers": [
                {"mediaType": DOCKER_LAYER, "size": size, "digest": digest}
                for digest, size in ((L1, 100), (L2, 200), (L2, 200))
            ],
        }
    )
    name = digest_of(manifest)
    return {
        "metadata": {"name": name},
        "dockerImageReference": f"quay.io/x/y@{name}",
        "dockerImageManifest": manifest,
        "dockerImageConfig": text,
    } | fields


def index_of(*children):
    """Return name and fields of an index as a registry pushes it."""
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
    return digest_of(text), {
        "dockerImageManifest": text,
        "dockerImageManifestMediaType": OCI_INDEX,
    }


def image_path(name):
    return f"{IMAGES}/{quote(name, safe='')}"


def read_image(tenant, name):
    response = tenant.admin.get(image_path(name))
    assert response.status_code == 200, response.text
    return response.json()
