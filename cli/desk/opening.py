"""Opens the desk of a place, for one command."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cli.desk.server import Desk
    from cli.place import Place


@contextmanager
def open_desk(place: Place) -> Iterator[Desk]:
    """What the command asks, as long as the block lasts."""
    if place.access is None:
        from cli.desk.home import HomeDesk
        from cli.house import open_store, read_settings

        settings = read_settings(place.data)
        with open_store(settings) as engine, HomeDesk(settings, engine) as home:
            yield home
        return
    from cli.desk.rest import open_rest
    from cli.desk.server import ServerDesk
    from cli.house import read_settings
    from cli.printing import say

    def warn(text: str) -> None:
        say(f"warning: {text}", style="yellow")

    read_settings(None)  # how to log, if at all; the server has settings of its own
    with open_rest(place.access, warn=warn) as rest:
        yield ServerDesk(rest, namespace=place.namespace)
