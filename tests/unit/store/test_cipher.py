"""A key comes from the operator, or is made once and kept private."""

import stat
from concurrent.futures import ThreadPoolExecutor

import pytest
from cryptography.fernet import Fernet
from pydantic import SecretStr

from models.errors import StoreError, UsageError
from models.store.database.cipher import OWN_KEY_FILE, Cipher, open_cipher

KEY, OTHER = (Fernet.generate_key().decode() for _ in range(2))
DATA = {"a": "Yg=="}


def opened(tmp_path, *, key=None, key_file=None, embedded=True):
    secret = None if key is None else SecretStr(key)
    return open_cipher(key=secret, key_file=key_file, data_dir=tmp_path / "data", embedded=embedded)


def test_the_embedded_default_makes_its_own_key_once_and_for_itself_alone(tmp_path):
    sealed = opened(tmp_path).seal(DATA, place="ns/x")
    assert opened(tmp_path).unseal(sealed, place="ns/x") == DATA
    key_file = tmp_path / "data" / OWN_KEY_FILE
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    assert stat.S_IMODE(key_file.parent.stat().st_mode) == 0o700
    assert [each.name for each in key_file.parent.iterdir()] == [OWN_KEY_FILE]


def test_processes_that_start_at_once_agree_on_one_key(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        ciphers = list(pool.map(lambda _: opened(tmp_path), range(8)))
    sealed = ciphers[0].seal(DATA, place="ns/x")
    assert all(cipher.unseal(sealed, place="ns/x") == DATA for cipher in ciphers)


def test_a_server_without_a_key_is_told_how_to_make_one(tmp_path):
    with pytest.raises(UsageError, match=r"TAGSTREAM_KEY_FILE(.|\n)*Fernet.generate_key"):
        opened(tmp_path, embedded=False)
    assert not (tmp_path / "data").exists()


def test_a_key_of_the_settings_goes_before_a_file_of_our_own(tmp_path):
    sealed = opened(tmp_path, key=KEY).seal(DATA, place="p")
    assert Cipher([KEY]).unseal(sealed, place="p") == DATA
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("separator", ["\n", ",", ", "])
def test_of_several_keys_the_first_seals_and_every_one_opens(tmp_path, separator):
    file = tmp_path / "keys"
    file.write_text(f"{OTHER}{separator}{KEY}\n")
    cipher = opened(tmp_path, key_file=file, embedded=False)
    assert cipher.unseal(Cipher([KEY]).seal(DATA, place="p"), place="p") == DATA
    assert Cipher([OTHER]).unseal(cipher.seal(DATA, place="p"), place="p") == DATA


@pytest.mark.parametrize(
    "text",
    ["", " \n", "hunter2", KEY[:-3], "ü" * 44],
    ids=["empty", "blank", "word", "cut", "foreign"],
)
def test_what_is_no_key_is_refused_without_being_shown(tmp_path, text):
    with pytest.raises(UsageError) as refused:
        opened(tmp_path, key=text)
    assert not text.strip() or text not in str(refused.value)


def test_a_key_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"missing\.key"):
        opened(tmp_path, key_file=tmp_path / "missing.key")


def test_what_was_sealed_opens_in_its_place_alone():
    sealed = Cipher([KEY]).seal(DATA, place="ns/a")
    with pytest.raises(StoreError, match="ns/b"):
        Cipher([KEY]).unseal(sealed, place="ns/b")


def test_what_was_tampered_with_does_not_open():
    sealed = bytearray(Cipher([KEY]).seal(DATA, place="p"))
    sealed[20] ^= 1
    with pytest.raises(StoreError, match="cannot be decrypted"):
        Cipher([KEY]).unseal(bytes(sealed), place="p")
