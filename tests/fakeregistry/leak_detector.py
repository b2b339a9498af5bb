"""A detector of leaked secrets: use its secret as a credential, then check outputs for it."""

import base64
import secrets
import traceback
from pathlib import Path
from urllib.parse import quote

_BASE64_OFFSETS = 3  # a secret has three base64 encodings, by its offset in the text modulo three


class LeakDetector:
    """A random `secret`, and `check`, which fails where the secret is found."""

    def __init__(self):
        self.secret = f"canary-{secrets.token_hex(12)}"
        self._encodings = [self.secret, quote(self.secret), *_encoded(self.secret)]

    def check(self, *values):
        """Fail if the secret is in a text, bytes, a file, an exception (with its causes), or the
        repr of any other value.
        """
        for value in values:
            for source, text in _texts(value):
                assert not self.is_in(text), f"the secret leaked into {source}"

    def is_in(self, text):
        """Return whether `text` contains the secret, plain or as part of a base64 text."""
        return any(encoding in text for encoding in self._encodings)


def _encoded(secret):
    """Yield the parts of base64 texts that do not depend on the text around the secret."""
    for offset in range(_BASE64_OFFSETS):
        encoded = base64.b64encode(b"x" * offset + secret.encode()).decode()
        yield encoded[4 if offset else 0 : -4]


def _texts(value):
    """Yield every text that can be read from `value`, with the name of its source."""
    if isinstance(value, str):
        yield "a text", value
    elif isinstance(value, bytes):
        yield "bytes", value.decode("latin-1")
    elif isinstance(value, Path):
        files = [each for each in value.rglob("*") if each.is_file()] if value.is_dir() else [value]
        for file in files:
            yield str(file), file.read_bytes().decode("latin-1")
    elif isinstance(value, BaseException):
        yield from _chain(value)
    else:
        yield f"a {type(value).__name__}", repr(value)


def _chain(error):
    """Yield the traceback of an exception, and the texts and attributes of every cause."""
    yield "a traceback", "".join(traceback.format_exception(error))
    seen = set()
    pending = [error]
    while pending:
        each = pending.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        yield f"a {type(each).__name__}", f"{each!r} {each} {vars(each)!r}"
        pending += [each.__cause__, each.__context__]
        pending += getattr(each, "exceptions", ())
