"""Writing a file so that whoever reads it finds all of it or what was there before."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import NamedTemporaryFile


def write_whole(path: Path, content: bytes, *, mode: int = 0o600) -> None:
    """Replace `path`, also where the power goes meanwhile; nobody else may read a draft of it."""
    with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}-", delete=False) as draft:
        try:
            os.fchmod(draft.fileno(), mode)
            draft.write(content)
            draft.flush()
            os.fsync(draft.fileno())
            Path(draft.name).replace(path)
        except BaseException:
            Path(draft.name).unlink(missing_ok=True)
            raise
