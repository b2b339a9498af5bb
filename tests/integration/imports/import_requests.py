"""Requests for imports as clients write them, and pull secrets."""

import base64
import json

from models.resources.imports import ImageStreamImport
from models.resources.meta import Secret


def img(name, *, to=None, kind="DockerImage", manifest=False, reference_policy=None, **policy):
    """Return an element of `spec.images` as clients write it."""
    return {
        "from": {"kind": kind, "name": name},
        **({"to": {"name": to}} if to is not None else {}),
        "importPolicy": policy,
        **({"referencePolicy": {"type": reference_policy}} if reference_policy else {}),
        **({"includeManifest": True} if manifest else {}),
    }


def isi(*images, repository=None, do=True, name="is", namespace="ns", **meta):
    """Return an ImageStreamImport; `repository` is a name or a whole `spec.repository`."""
    if isinstance(repository, str):
        repository = {"from": {"kind": "DockerImage", "name": repository}}
    return ImageStreamImport.model_validate(
        {
            "metadata": {"name": name, "namespace": namespace, **meta},
            "spec": {
                "import": do,
                **({"images": list(images)} if images else {}),
                **({"repository": repository} if repository else {}),
            },
        }
    )


def save_pull_secret(harness, auths, *, name="pull", namespace="ns", **annotations):
    """Save a pull secret with a user and a password for each key."""
    entries = {
        key: {"username": user, "password": password} for key, (user, password) in auths.items()
    }
    content = json.dumps({"auths": entries}).encode()
    harness.save_secret(
        Secret.model_validate(
            {
                "metadata": {
                    "name": name,
                    "namespace": namespace,
                    "annotations": {
                        f"openshift.io/image.{key}": value for key, value in annotations.items()
                    },
                },
                "type": "kubernetes.io/dockerconfigjson",
                "data": {".dockerconfigjson": base64.b64encode(content).decode()},
            }
        )
    )
