"""Opens the desk of a place, for one command."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cli.backend.server_backend import Desk
    from cli.target import Place


@contextmanager
def open_desk(place: Place) -> Iterator[Desk]:
    """What the command asks, as long as the block lasts."""
    if place.access is None:
        from cli.backend.local_backend import HomeDesk
        from cli.bootstrap import open_store, read_settings

        settings = read_settings(place.data)
        with open_store(settings) as engine, HomeDesk(settings, engine) as home:
            yield home
        return
    from cli.backend.rest_client import open_rest
    from cli.backend.server_backend import ServerDesk
    from cli.bootstrap import read_settings
    from cli.rendering.output import say

    def warn(text: str) -> None:
        say(f"warning: {text}", style="yellow")

    read_settings(None)  # how to log, if at all; the server has settings of its own
    with open_rest(place.access, warn=warn) as rest:
        yield ServerDesk(rest, namespace=place.namespace)
