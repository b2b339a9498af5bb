"""Atomic replacement of a file: a reader finds the complete old content or the complete new one."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import NamedTemporaryFile


def write_atomically(path: Path, content: bytes, *, mode: int = 0o600) -> None:
    """Replace `path` with `content`, also where the machine loses power meanwhile.

    The content is written to a temporary file with `mode`, so that no other user can read a draft.
    """
    with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}-", delete=False) as temporary:
        try:
            os.fchmod(temporary.fileno(), mode)
            temporary.write(content)
            temporary.flush()
            os.fsync(temporary.fileno())
            Path(temporary.name).replace(path)
        except BaseException:
            Path(temporary.name).unlink(missing_ok=True)
            raise
