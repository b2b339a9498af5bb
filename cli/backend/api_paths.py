"""The paths of a server's resources."""

from __future__ import annotations

from urllib.parse import quote


def path_of(group: str, resource: str, *, namespace: str = "", name: str = "") -> str:
    """`/apis/GROUP/v1/namespaces/NS/RESOURCE/NAME`, the names escaped."""
    root = f"/apis/{group}/v1" if group else "/api/v1"
    place = f"/namespaces/{quote(namespace, safe='')}" if namespace else ""
    return f"{root}{place}/{resource}" + (f"/{quote(name, safe='')}" if name else "")
