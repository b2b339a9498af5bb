"""Manifests, indexes and schema1 for the fake registry, and the requests for them."""

import json

from tests import fixtures as fx

CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"
AMD = {"architecture": "amd64", "os": "linux"}
ARM = {"architecture": "arm64", "os": "linux", "variant": "v8"}
UNKNOWN = {"architecture": "unknown", "os": "unknown"}


def layer(digest=fx.L1, size=100, media_type=LAYER_TYPE, **more):
    return {"mediaType": media_type, "size": size, "digest": digest, **more}


def oci(config, *layers, media_type=CONFIG_TYPE, config_fields=None, **more):
    """Return an OCI manifest for the bytes of a config."""
    descriptor = {"mediaType": media_type, "size": len(config), "digest": fx.digest_of(config)}
    return fx.compact(
        {
            "schemaVersion": 2,
            "mediaType": fx.OCI_TYPE,
            "config": {**descriptor, **(config_fields or {})},
            "layers": list(layers),
            **more,
        }
    )


def entry(manifest, platform=None, *, media_type=fx.OCI_TYPE, **more):
    """Return an index entry for the bytes of a manifest."""
    return {
        "mediaType": media_type,
        "digest": fx.digest_of(manifest),
        "size": len(manifest),
        **({"platform": platform} if platform else {}),
        **more,
    }


def index(*entries):
    return fx.compact({"schemaVersion": 2, "mediaType": fx.INDEX_TYPE, "manifests": list(entries)})


def schema1(layers, history, *, name="a/s1"):
    """Return a signed schema1 of digests and `v1Compatibility` objects, newest first."""
    content = json.dumps(
        {
            "schemaVersion": 1,
            "name": name,
            "tag": "x",
            "architecture": "amd64",
            "fsLayers": [{"blobSum": digest} for digest in layers],
            "history": [{"v1Compatibility": json.dumps(each)} for each in history],
        },
        indent=3,
    ).encode()
    return fx.sign(content.removesuffix(b"\n}"))


def push_index(fake, repository="a/b", *, tag="list", content=fx.LIST, media_type=fx.LIST_TYPE):
    """Push an index of `tests.fixtures` with everything that it points to."""
    for manifest, config in (
        (fx.OCI_ARM, fx.CFG_ARM),
        (fx.OCI_BARE, fx.CFG_A),
        (fx.OCI_ATT, fx.CFG_ATT),
    ):
        fake.push(repository, manifest=manifest, media_type=fx.OCI_TYPE, config=config)
    return fake.push(repository, tag=tag, manifest=content, media_type=media_type)


def requested_manifests(fake, repository="a/b"):
    """Return the tag or digest of each manifest request to the repository, in order."""
    lead = f"GET /v2/{repository}/manifests/"
    return [line.removeprefix(lead) for line in fake.requests if line.startswith(lead)]


def requested_blobs(fake, method="GET"):
    """Return the digests of the requested blobs, in order."""
    return [
        line.rsplit("/", 1)[-1]
        for line in fake.requests
        if line.startswith(f"{method} ") and "/blobs/" in line
    ]
