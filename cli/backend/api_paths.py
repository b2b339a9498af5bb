"""REST paths of the API's resources."""

from __future__ import annotations

from urllib.parse import quote


def resource_path(group: str, resource: str, *, namespace: str = "", name: str = "") -> str:
    """Build `/apis/GROUP/v1/namespaces/NS/RESOURCE/NAME` with the names percent-encoded.

    An empty group stands for the core group (`/api/v1`).
    """
    root = f"/apis/{group}/v1" if group else "/api/v1"
    namespace_path = f"/namespaces/{quote(namespace, safe='')}" if namespace else ""
    return f"{root}{namespace_path}/{resource}" + (f"/{quote(name, safe='')}" if name else "")
