"""A secret that must not sing: put it where secrets go, then look for it where none belong."""

import base64
import secrets
import traceback
from pathlib import Path
from urllib.parse import quote

_OTHER_SHAPES = 3  # base64 has three, by where in the text the secret begins


class Canary:
    """`secret` is the text to hide; `check` takes anything in which it must not be found."""

    def __init__(self):
        self.secret = f"canary-{secrets.token_hex(12)}"
        self._shapes = [self.secret, quote(self.secret), *_encoded(self.secret)]

    def check(self, *things):
        """Fail if the secret is in texts, bytes, files, exceptions (with causes), or anything's
        repr.
        """
        for thing in things:
            for place, text in _texts(thing):
                assert not self.is_in(text), f"the secret leaked into {place}"

    def is_in(self, text):
        """Whether the secret stands in `text`, plain or as part of a base64 text."""
        return any(shape in text for shape in self._shapes)


def _encoded(secret):
    """The parts of base64 texts that do not depend on what stands around the secret."""
    for offset in range(_OTHER_SHAPES):
        encoded = base64.b64encode(b"x" * offset + secret.encode()).decode()
        yield encoded[4 if offset else 0 : -4]


def _texts(thing):
    """What can be read from `thing`, each with a name for its place."""
    if isinstance(thing, str):
        yield "a text", thing
    elif isinstance(thing, bytes):
        yield "bytes", thing.decode("latin-1")
    elif isinstance(thing, Path):
        files = [each for each in thing.rglob("*") if each.is_file()] if thing.is_dir() else [thing]
        for file in files:
            yield str(file), file.read_bytes().decode("latin-1")
    elif isinstance(thing, BaseException):
        yield from _chain(thing)
    else:
        yield f"a {type(thing).__name__}", repr(thing)


def _chain(error):
    """The exception as a traceback prints it, and every cause and argument on the way."""
    yield "a traceback", "".join(traceback.format_exception(error))
    seen = set()
    waiting = [error]
    while waiting:
        each = waiting.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        yield f"a {type(each).__name__}", f"{each!r} {each} {vars(each)!r}"
        waiting += [each.__cause__, each.__context__]
        waiting += getattr(each, "exceptions", ())
