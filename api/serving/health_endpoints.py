"""Health checks, the version and the index of paths (api-14.7, api-14.8)."""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import version
from typing import Any

import structlog

from api.api_context import ApiContext
from api.discovery import group_version
from api.response.http_response import HttpResponse
from api.served_resources import GROUPS
from models.api_errors import NoSuchResourceError
from models.errors import TagstreamError
from models.store.changes.change_log import latest_version
from models.store.database.session import transaction

log = structlog.get_logger()

# The Kubernetes release whose API machinery we implement. kubectl warns if it differs by more than
# one minor version, so 1.32 to 1.34 do not warn (clients-2.1).
_MAJOR, _MINOR, _PATCH = 1, 33, 0
_DATABASE_TIMEOUT_SECONDS = 5.0
_HEALTH_CHECKS: dict[str, tuple[str, ...]] = {
    "livez": ("ping",),
    "healthz": ("ping",),
    "readyz": ("ping", "database"),
}


async def handle_health(
    context: ApiContext, segments: Sequence[str], query: Mapping[str, Sequence[str]]
) -> HttpResponse:
    """Return `/healthz`, `/livez`, `/readyz`, or one check below them, as plain text.

    Only readiness queries the database: without a database the server is still alive, and
    restarting it would not help.
    """
    name, *rest = segments
    requested = tuple(check for check in _HEALTH_CHECKS[name] if not rest or rest == [check])
    if not requested:
        raise NoSuchResourceError
    checks = {check: check == "ping" or await _can_reach_database(context) for check in requested}
    code, text = build_health("-".join(segments), checks, verbose="verbose" in query)
    return HttpResponse(code, text.encode(), "text/plain; charset=utf-8")


def build_health(name: str, checks: Mapping[str, bool], *, verbose: bool) -> tuple[int, str]:
    """Return the code and the text of a health path; a failure always names the failed check."""
    passed = all(checks.values())
    if passed and not verbose:
        return 200, "ok"
    lines = [
        f"[+]{check} ok" if ok else f"[-]{check} failed: reason withheld"
        for check, ok in checks.items()
    ]
    lines.append(f"{name} check {'passed' if passed else 'failed'}")
    return 200 if passed else 500, "\n".join(lines) + "\n"


async def _can_reach_database(context: ApiContext) -> bool:
    """Return whether a read succeeds within 5 seconds."""

    def read_latest_version() -> None:
        with transaction(context.engine, write=False) as session:
            latest_version(session)

    try:
        async with asyncio.timeout(_DATABASE_TIMEOUT_SECONDS):
            await context.executor.run(read_latest_version)
    except (TagstreamError, TimeoutError) as error:
        log.warning("api.not_ready", error=str(error))
        return False
    return True


@cache
def build_version() -> dict[str, str]:
    """Return the body of `/version`: all values are strings, `gitVersion` a semantic version."""
    tagstream_version = version("tagstream")
    return {
        "major": str(_MAJOR),
        "minor": str(_MINOR),
        "gitVersion": f"v{_MAJOR}.{_MINOR}.{_PATCH}+tagstream-{tagstream_version}",
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "none",
        "compiler": platform.python_implementation().lower(),
        "platform": f"{platform.system().lower()}/{_MACHINES.get(_MACHINE, _MACHINE)}",
        "tagstreamVersion": tagstream_version,
    }


_MACHINE = platform.machine()
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


@cache
def build_path_index() -> dict[str, Any]:
    """Return the body of `/`: every path that is not an object."""
    groups = [group for group in GROUPS if group]
    group_paths = ["api/v1", *(f"apis/{group_version(group)}" for group in groups)]
    paths = [
        *("/api", "/api/v1", "/apis"),
        *(f"/apis/{group}" for group in groups),
        *(f"/{group_path}" for group_path in group_paths[1:]),
        *("/healthz", "/livez", "/livez/ping", "/metrics", "/openapi/v2", "/openapi/v3"),
        *(f"/openapi/v3/{group_path}" for group_path in group_paths),
        *("/readyz", "/readyz/database", "/readyz/ping", "/version"),
    ]
    return {"paths": sorted(paths)}
