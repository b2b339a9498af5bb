"""Addresses to listen on, as operators write them."""

from __future__ import annotations


def parse_listen(text: str) -> tuple[str, int]:
    """`127.0.0.1:8443`, `[::1]:8443` or `:8443`. ValueError for anything else."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"{text!r} is not HOST:PORT")
    return host.strip("[]") or "0.0.0.0", int(port)  # noqa: S104 - `:8443` says all addresses
