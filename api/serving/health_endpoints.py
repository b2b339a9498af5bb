"""Whether the server lives and may be asked, what version it is, which paths it has (C19)."""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import version
from typing import Any

import structlog

from api.api_context import House
from api.discovery import group_version
from api.response.http_response import Reply
from api.served_resources import GROUPS
from models.api_errors import NoSuchResourceError
from models.errors import TagstreamError
from models.store.changes.change_log import latest_version
from models.store.database.session import transaction

log = structlog.get_logger()

# The Kubernetes release whose API machinery we speak like. kubectl warns when it is more than one
# minor release away: from here, 1.32 to 1.34 are content.
_MAJOR, _MINOR, _PATCH = 1, 33, 0
_PATIENCE = 5.0
_CHECKS: dict[str, tuple[str, ...]] = {
    "livez": ("ping",),
    "healthz": ("ping",),
    "readyz": ("ping", "database"),
}


async def answer_health(
    house: House, segments: Sequence[str], query: Mapping[str, Sequence[str]]
) -> Reply:
    """`/healthz`, `/livez`, `/readyz`, or one check below them, as plain text.

    Only readiness asks the database: a server without one is alive, and restarting it helps nobody.
    """
    name, *rest = segments
    wanted = tuple(check for check in _CHECKS[name] if not rest or rest == [check])
    if not wanted:
        raise NoSuchResourceError
    checks = {check: check == "ping" or await _can_reach_database(house) for check in wanted}
    code, text = build_health("-".join(segments), checks, verbose="verbose" in query)
    return Reply(code, text.encode(), "text/plain; charset=utf-8")


def build_health(name: str, checks: Mapping[str, bool], *, verbose: bool) -> tuple[int, str]:
    """The code and the text of a health path; a failure always tells which check it was."""
    passed = all(checks.values())
    if passed and not verbose:
        return 200, "ok"
    lines = [
        f"[+]{check} ok" if ok else f"[-]{check} failed: reason withheld"
        for check, ok in checks.items()
    ]
    lines.append(f"{name} check {'passed' if passed else 'failed'}")
    return 200 if passed else 500, "\n".join(lines) + "\n"


async def _can_reach_database(house: House) -> bool:
    """Whether a read comes back soon."""

    def read() -> None:
        with transaction(house.engine, write=False) as session:
            latest_version(session)

    try:
        async with asyncio.timeout(_PATIENCE):
            await house.threads.run(read)
    except (TagstreamError, TimeoutError) as error:
        log.warning("api.not_ready", error=str(error))
        return False
    return True


@cache
def build_version() -> dict[str, str]:
    """`/version`: every value is text, and `gitVersion` is a semantic version."""
    own = version("tagstream")
    return {
        "major": str(_MAJOR),
        "minor": str(_MINOR),
        "gitVersion": f"v{_MAJOR}.{_MINOR}.{_PATCH}+tagstream-{own}",
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "none",
        "compiler": platform.python_implementation().lower(),
        "platform": f"{platform.system().lower()}/{_MACHINES.get(_MACHINE, _MACHINE)}",
        "tagstreamVersion": own,
    }


_MACHINE = platform.machine()
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


@cache
def build_index() -> dict[str, Any]:
    """`/`: every path that is no object."""
    groups = [group for group in GROUPS if group]
    places = ["api/v1", *(f"apis/{group_version(group)}" for group in groups)]
    paths = [
        *("/api", "/api/v1", "/apis"),
        *(f"/apis/{group}" for group in groups),
        *(f"/{place}" for place in places[1:]),
        *("/healthz", "/livez", "/livez/ping", "/metrics", "/openapi/v2", "/openapi/v3"),
        *(f"/openapi/v3/{place}" for place in places),
        *("/readyz", "/readyz/database", "/readyz/ping", "/version"),
    ]
    return {"paths": sorted(paths)}
