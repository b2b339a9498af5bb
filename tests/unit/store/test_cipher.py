"""Tests of the cipher: where its key comes from, and what it seals and unseals."""

import stat
from concurrent.futures import ThreadPoolExecutor

import pytest
from cryptography.fernet import Fernet
from pydantic import SecretStr

from models.errors import StoreError, UsageError
from models.store.database.cipher import EMBEDDED_KEY_FILE, Cipher, open_cipher

KEY, OTHER = (Fernet.generate_key().decode() for _ in range(2))
DATA = {"a": "Yg=="}


def opened(tmp_path, *, key=None, key_file=None, embedded=True):
    secret = None if key is None else SecretStr(key)
    return open_cipher(key=secret, key_file=key_file, data_dir=tmp_path / "data", embedded=embedded)


def test_embedded_cipher_creates_private_key_file_once(tmp_path):
    sealed = opened(tmp_path).seal(DATA, context="ns/x")
    assert opened(tmp_path).unseal(sealed, context="ns/x") == DATA
    key_file = tmp_path / "data" / EMBEDDED_KEY_FILE
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    assert stat.S_IMODE(key_file.parent.stat().st_mode) == 0o700
    assert [each.name for each in key_file.parent.iterdir()] == [EMBEDDED_KEY_FILE]


def test_concurrent_open_cipher_creates_one_key(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        ciphers = list(pool.map(lambda _: opened(tmp_path), range(8)))
    sealed = ciphers[0].seal(DATA, context="ns/x")
    assert all(cipher.unseal(sealed, context="ns/x") == DATA for cipher in ciphers)


def test_open_cipher_without_key_explains_how_to_make_one(tmp_path):
    with pytest.raises(UsageError, match=r"TAGSTREAM_KEY_FILE(.|\n)*Fernet.generate_key"):
        opened(tmp_path, embedded=False)
    assert not (tmp_path / "data").exists()


def test_open_cipher_prefers_key_of_settings_to_key_file(tmp_path):
    sealed = opened(tmp_path, key=KEY).seal(DATA, context="p")
    assert Cipher([KEY]).unseal(sealed, context="p") == DATA
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("separator", ["\n", ",", ", "])
def test_cipher_seals_with_first_key_and_unseals_with_every_key(tmp_path, separator):
    file = tmp_path / "keys"
    file.write_text(f"{OTHER}{separator}{KEY}\n")
    cipher = opened(tmp_path, key_file=file, embedded=False)
    assert cipher.unseal(Cipher([KEY]).seal(DATA, context="p"), context="p") == DATA
    assert Cipher([OTHER]).unseal(cipher.seal(DATA, context="p"), context="p") == DATA


@pytest.mark.parametrize(
    "text",
    ["", " \n", "hunter2", KEY[:-3], "ü" * 44],
    ids=["empty", "blank", "word", "cut", "foreign"],
)
def test_open_cipher_refuses_invalid_key_without_showing_it(tmp_path, text):
    with pytest.raises(UsageError) as refused:
        opened(tmp_path, key=text)
    assert not text.strip() or text not in str(refused.value)


def test_open_cipher_names_unreadable_key_file(tmp_path):
    with pytest.raises(UsageError, match=r"missing\.key"):
        opened(tmp_path, key_file=tmp_path / "missing.key")


def test_unseal_refuses_other_context():
    sealed = Cipher([KEY]).seal(DATA, context="ns/a")
    with pytest.raises(StoreError, match="ns/b"):
        Cipher([KEY]).unseal(sealed, context="ns/b")


def test_unseal_refuses_modified_data():
    sealed = bytearray(Cipher([KEY]).seal(DATA, context="p"))
    sealed[20] ^= 1
    with pytest.raises(StoreError, match="cannot be decrypted"):
        Cipher([KEY]).unseal(bytes(sealed), context="p")
