"""Opens the backend that a command's target names."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cli.backend.base_backend import Backend
    from cli.target import Target


@contextmanager
def open_backend(target: Target) -> Iterator[Backend]:
    """Open the backend of the target: a LocalBackend or a ServerBackend, closed when the block
    ends.
    """
    if target.server_context is None:
        from cli.backend.local_backend import LocalBackend
        from cli.bootstrap import open_database, read_settings

        settings = read_settings(target.data_dir)
        with open_database(settings) as engine, LocalBackend(settings, engine) as backend:
            yield backend
        return
    from cli.backend.rest_client import open_rest_client
    from cli.backend.server_backend import ServerBackend
    from cli.bootstrap import read_settings
    from cli.rendering.output import print_message

    def warn(text: str) -> None:
        print_message(f"warning: {text}", style="yellow")

    read_settings(None)  # configures logging only; the server has its own settings
    with open_rest_client(target.server_context, warn=warn) as rest:
        yield ServerBackend(rest, namespace=target.namespace)
