"""The documents of the corpora, as large as ordinary ones: manifest 2.4 KB, config 8 KB."""

from __future__ import annotations

import hashlib
import json
from functools import cache

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
IN_TOTO = "application/vnd.in-toto+json"
LAYERS = 11
LAYER_NAMES = 40
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
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def pack(document: object) -> bytes:
    return json.dumps(document, indent=2).encode()


@cache
def layer(number: int) -> bytes:
    """A layer's content; what is in it matters to nobody."""
    return f"layer {number}".encode()


@cache
def _layer_descriptor(number: int) -> dict[str, object]:
    content = layer(number)
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
        "rootfs": {"type": "layers", "diff_ids": [digest_of(b"%d" % n) for n in range(LAYERS)]},
        "history": [
            {
                "created": "2026-01-01T00:00:00Z",
                "created_by": f"RUN /bin/sh -c build --step {each} --with 'what a step has to say'",
                "comment": "buildkit.dockerfile.v0",
            }
            for each in range(LAYERS + 8)
        ],
    }
    return json.dumps(document)


def make_config(architecture: str, build: str, variant: str = "") -> bytes:
    text = _config_text().replace("ARCHITECTURE", architecture).replace("BUILD", f"/{build}")
    if variant:
        text = text.replace('"os": "linux"', f'"os": "linux", "variant": "{variant}"')
    return text.encode()


def make_manifest(config: bytes, number: int) -> bytes:
    """An image's manifest: eleven of the forty layers there are."""
    layers = [_layer_descriptor((number + each) % LAYER_NAMES) for each in range(LAYERS)]
    return pack(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {"mediaType": CONFIG, "digest": digest_of(config), "size": len(config)},
            "layers": layers,
        }
    )


def make_attestation(config: bytes, number: int) -> bytes:
    content = _layer_descriptor(number % LAYER_NAMES)
    return pack(
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


def descriptor(content: bytes, platform: tuple[str, str]) -> dict[str, object]:
    architecture, variant = platform
    told = {"architecture": architecture, "os": "linux"} | ({"variant": variant} if variant else {})
    return {
        "mediaType": MANIFEST,
        "digest": digest_of(content),
        "size": len(content),
        "platform": told,
    }


def attestation_descriptor(content: bytes, subject: bytes) -> dict[str, object]:
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
