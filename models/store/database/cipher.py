"""The key that secrets are encrypted with. Lost key, lost secrets: keep it apart from the data."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from tempfile import NamedTemporaryFile

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from pydantic import SecretStr

from models.errors import StoreError, UsageError

OWN_KEY_FILE = "secrets.key"
_HOW_TO = (
    'make one with: python -c "from cryptography.fernet import Fernet; '
    'print(Fernet.generate_key().decode())"'
)


class Cipher:
    """Seals a secret's data for its place, so that it opens nowhere else.

    Of several keys the first seals and every one opens, which is how keys are exchanged.
    """

    __slots__ = ("_fernet",)

    def __init__(self, keys: Sequence[str]) -> None:
        try:
            self._fernet = MultiFernet([Fernet(key) for key in keys])
        except ValueError as error:
            raise UsageError(f"a key for secrets is not 32 bytes of base64; {_HOW_TO}") from error

    def seal(self, data: dict[str, str], *, place: str) -> bytes:
        """`data`, encrypted and bound to `place`."""
        text = json.dumps({"place": place, "data": data}, separators=(",", ":"))
        return self._fernet.encrypt(text.encode())

    def unseal(self, sealed: bytes, *, place: str) -> dict[str, str]:
        """What `seal` was given. StoreError when the key is another one, or the place is."""
        try:
            content = json.loads(self._fernet.decrypt(sealed))
        except InvalidToken as error:
            raise StoreError(
                f"the secret {place} cannot be decrypted; start with the key that it was saved "
                "under (TAGSTREAM_KEY_FILE), or save the secret again"
            ) from error
        if content["place"] != place:
            raise StoreError(f"the secret {place} holds another secret's data; save it again")
        data: dict[str, str] = content["data"]
        return data


def open_cipher(
    *, key: SecretStr | None, key_file: Path | None, data_dir: Path, embedded: bool
) -> Cipher:
    """The cipher of the configured key; the embedded default makes a key of its own, once.

    A key, or a key file, may hold several keys, one a line or parted by commas: the newest first.
    """
    if key is not None:
        return Cipher(_split(key.get_secret_value()))
    if key_file is not None:
        return Cipher(_split(_read(key_file)))
    if not embedded:
        raise UsageError(
            "secrets need a key that all processes share: set TAGSTREAM_KEY_FILE or "
            f"TAGSTREAM_KEY; {_HOW_TO}"
        )
    own = data_dir / OWN_KEY_FILE
    if not own.exists():
        _make_key(own)
    return Cipher(_split(_read(own)))


def _split(text: str) -> list[str]:
    keys = text.replace(",", " ").split()
    if not keys:
        raise UsageError(f"the key for secrets is empty; {_HOW_TO}")
    return keys


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"the key file {path} cannot be read; check its path and permissions"
        ) from error


def _make_key(path: Path) -> None:
    """A new key file that only its owner may read; whoever comes first wins."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with NamedTemporaryFile(dir=path.parent, prefix=".key-") as draft:  # made with mode 0600
        draft.write(Fernet.generate_key() + b"\n")
        draft.flush()
        os.fsync(draft.fileno())
        try:
            os.link(draft.name, path)
        except FileExistsError:
            return
