"""The kubeconfig of a server that runs here: written for kubectl, oc and our own command."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any

import yaml

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
    temporary = path.with_name(f"{path.name}.new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        yaml.safe_dump(content, file, sort_keys=False)
    temporary.replace(path)


def read_token(path: Path) -> str:
    """The token of a kubeconfig that we wrote; empty where there is none."""
    try:
        content: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
        token = content["users"][0]["user"]["token"]
    except (OSError, yaml.YAMLError, LookupError, TypeError, UnicodeDecodeError):
        return ""
    return token if isinstance(token, str) else ""
