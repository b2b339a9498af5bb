"""The kubeconfig of a server that runs here: written for kubectl, oc and our own command."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import yaml

from models.atomic_file import write_whole

NAME = "tagstream"


def write_kubeconfig(path: Path, *, server: str, authority: Path, token: str) -> None:
    """All of it or nothing, readable by its owner alone."""
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "preferences": {},
        "clusters": [
            {
                "name": NAME,
                "cluster": {
                    "server": server,
                    "certificate-authority-data": base64.b64encode(authority.read_bytes()).decode(),
                },
            }
        ],
        "users": [{"name": NAME, "user": {"token": token}}],
        "contexts": [
            {"name": NAME, "context": {"cluster": NAME, "user": NAME, "namespace": "default"}}
        ],
        "current-context": NAME,
    }
    write_whole(path, yaml.safe_dump(content, sort_keys=False).encode())


def read_token(path: Path) -> str:
    """The token of a kubeconfig that we wrote; empty where there is none."""
    try:
        content: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
        token = content["users"][0]["user"]["token"]
    except (OSError, yaml.YAMLError, LookupError, TypeError, UnicodeDecodeError):
        return ""
    return token if isinstance(token, str) else ""
