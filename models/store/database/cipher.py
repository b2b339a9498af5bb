"""The cipher of stored secrets and its key.

A lost key loses the secrets: store it apart from the data.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from tempfile import NamedTemporaryFile

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from pydantic import SecretStr

from models.errors import StoreError, UsageError

EMBEDDED_KEY_FILE = "secrets.key"
_HOW_TO = (
    'make one with: python -c "from cryptography.fernet import Fernet; '
    'print(Fernet.generate_key().decode())"'
)


class Cipher:
    """Encrypts a secret's data for one context, so that it cannot be decrypted in another.

    The context is the secret's namespace, name and uid: a sealed value that is copied to another
    row does not open there. Of several keys the first encrypts and every one decrypts, which is how
    keys are rotated.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        try:
            self._fernet = MultiFernet([Fernet(key) for key in keys])
        except ValueError as error:
            raise UsageError(f"a key for secrets is not 32 bytes of base64; {_HOW_TO}") from error

    def seal(self, data: dict[str, str], *, context: str) -> bytes:
        """Return `data` encrypted and bound to `context`."""
        text = json.dumps({"place": context, "data": data}, separators=(",", ":"))
        return self._fernet.encrypt(text.encode())

    def unseal(self, sealed: bytes, *, context: str) -> dict[str, str]:
        """Return the data that `seal` was given.

        Raise StoreError when the key or the context is a different one.
        """
        try:
            content = json.loads(self._fernet.decrypt(sealed))
        except InvalidToken as error:
            raise StoreError(
                f"the secret {context} cannot be decrypted; start with the key that it was saved "
                "under (TAGSTREAM_KEY_FILE), or save it again with "
                "`tagstream secret create NAME --replace`"
            ) from error
        if content["place"] != context:
            raise StoreError(f"the secret {context} holds another secret's data; save it again")
        data: dict[str, str] = content["data"]
        return data


def open_cipher(
    *, key: SecretStr | None, key_file: Path | None, data_dir: Path, embedded: bool
) -> Cipher:
    """Return the cipher of the configured key; the embedded default creates its own key once.

    A key or a key file may hold several keys, one per line or separated by commas: the newest
    first. Raise UsageError when no key is configured and this is not the embedded mode, or when a
    key is unreadable or malformed.
    """
    if key is not None:
        return Cipher(_parse_keys(key.get_secret_value()))
    if key_file is not None:
        return Cipher(_parse_keys(_read_key_file(key_file)))
    if not embedded:
        raise UsageError(
            "secrets need a key that all processes share: set TAGSTREAM_KEY_FILE or "
            f"TAGSTREAM_KEY; {_HOW_TO}"
        )
    own_key_file = data_dir / EMBEDDED_KEY_FILE
    if not own_key_file.exists():
        _create_key_file(own_key_file)
    return Cipher(_parse_keys(_read_key_file(own_key_file)))


def _parse_keys(text: str) -> list[str]:
    keys = text.replace(",", " ").split()
    if not keys:
        raise UsageError(f"the key for secrets is empty; {_HOW_TO}")
    return keys


def _read_key_file(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"the key file {path} cannot be read; check its path and permissions"
        ) from error


def _create_key_file(path: Path) -> None:
    """Create a key file that only its owner may read; of several processes, the first wins."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with NamedTemporaryFile(dir=path.parent, prefix=".key-") as temporary:  # created with mode 0600
        temporary.write(Fernet.generate_key() + b"\n")
        temporary.flush()
        os.fsync(temporary.fileno())
        try:
            os.link(temporary.name, path)
        except FileExistsError:
            return
