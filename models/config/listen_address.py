"""Listen addresses of the form HOST:PORT."""

from __future__ import annotations


def parse_listen_address(text: str) -> tuple[str, int]:
    """Parse `127.0.0.1:8443`, `[::1]:8443` or `:8443` (all addresses).

    Raises ValueError for any other text.
    """
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"{text!r} is not HOST:PORT")
    return host.strip("[]") or "0.0.0.0", int(port)  # noqa: S104 - `:8443` says all addresses
