"""The documents of the corpora, of ordinary size: manifest 2.4 KB, config 8 KB."""

from __future__ import annotations

import hashlib
import json
from functools import cache

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
IN_TOTO = "application/vnd.in-toto+json"
LAYERS_PER_IMAGE = 11
DISTINCT_LAYERS = 40
PLATFORMS = (
    ("amd64", ""),
    ("arm64", "v8"),
    ("arm", "v7"),
    ("arm", "v6"),
    ("386", ""),
    ("ppc64le", ""),
    ("s390x", ""),
    ("riscv64", ""),
)


def digest_of(content: bytes) -> str:
    """Return the sha256 digest of the content."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def encode_document(document: object) -> bytes:
    """Encode a document as indented JSON."""
    return json.dumps(document, indent=2).encode()


@cache
def layer_content(number: int) -> bytes:
    """Return the content of a layer; it has no meaning, only a digest."""
    return f"layer {number}".encode()


@cache
def _layer_descriptor(number: int) -> dict[str, object]:
    content = layer_content(number)
    return {"mediaType": LAYER, "digest": digest_of(content), "size": len(content)}


@cache
def _config_text() -> str:
    document = {
        "created": "2026-01-01T00:00:00Z",
        "architecture": "ARCHITECTURE",
        "os": "linux",
        "config": {
            "Env": [f"VARIABLE_{each}=/opt/some/path/{each}/bin" for each in range(20)],
            "Entrypoint": ["/entrypoint"],
            "Labels": {f"org.example.label.{each}": f"value {each} " * 4 for each in range(30)},
            "WorkingDir": "BUILD",
        },
        "rootfs": {
            "type": "layers",
            "diff_ids": [digest_of(b"%d" % n) for n in range(LAYERS_PER_IMAGE)],
        },
        "history": [
            {
                "created": "2026-01-01T00:00:00Z",
                "created_by": f"RUN /bin/sh -c build --step {each} --with 'arguments of that step'",
                "comment": "buildkit.dockerfile.v0",
            }
            for each in range(LAYERS_PER_IMAGE + 8)
        ],
    }
    return json.dumps(document)


def make_config(architecture: str, build: str, variant: str = "") -> bytes:
    """Build the config of an image; `build` makes it unique."""
    text = _config_text().replace("ARCHITECTURE", architecture).replace("BUILD", f"/{build}")
    if variant:
        text = text.replace('"os": "linux"', f'"os": "linux", "variant": "{variant}"')
    return text.encode()


def make_manifest(config: bytes, number: int) -> bytes:
    """Build the manifest of an image with eleven of the forty layers."""
    layers = [
        _layer_descriptor((number + each) % DISTINCT_LAYERS) for each in range(LAYERS_PER_IMAGE)
    ]
    return encode_document(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {"mediaType": CONFIG, "digest": digest_of(config), "size": len(config)},
            "layers": layers,
        }
    )


def make_attestation(config: bytes, number: int) -> bytes:
    """Build the manifest of an attestation."""
    content = _layer_descriptor(number % DISTINCT_LAYERS)
    return encode_document(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {"mediaType": CONFIG, "digest": digest_of(config), "size": len(config)},
            "layers": [
                {
                    **content,
                    "mediaType": IN_TOTO,
                    "annotations": {"in-toto.io/predicate-type": "https://slsa.dev/provenance/v1"},
                }
            ],
        }
    )


def manifest_descriptor(content: bytes, platform: tuple[str, str]) -> dict[str, object]:
    """Build the descriptor of a manifest in an index."""
    architecture, variant = platform
    platform_entry = {"architecture": architecture, "os": "linux"} | (
        {"variant": variant} if variant else {}
    )
    return {
        "mediaType": MANIFEST,
        "digest": digest_of(content),
        "size": len(content),
        "platform": platform_entry,
    }


def attestation_descriptor(content: bytes, subject: bytes) -> dict[str, object]:
    """Build the descriptor of an attestation of `subject` in an index."""
    return {
        "mediaType": MANIFEST,
        "digest": digest_of(content),
        "size": len(content),
        "annotations": {
            "vnd.docker.reference.digest": digest_of(subject),
            "vnd.docker.reference.type": "attestation-manifest",
        },
        "platform": {"architecture": "unknown", "os": "unknown"},
    }
