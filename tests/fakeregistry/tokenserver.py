"""A token service that docker-registry believes: RS256 tokens under a certificate of its own."""

import base64
import itertools
import time
from datetime import UTC, datetime, timedelta

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from tests.fakeregistry.access import TokenAccess
from tests.fakeregistry.server import FakeRegistry


class TokenServer(FakeRegistry):
    """`/token` for a docker-registry with token authentication (`registry.md` 9.1).

    Nobody may pull anything until `allow`. `lifetime` may be negative: such tokens have expired
    when they are issued.
    """

    service = "svc"
    issuer = "iss"

    def __init__(self, **how):
        super().__init__(**how)
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._made = _self_signed(self._key)
        self._numbers = itertools.count(1)
        self.reset()

    def reset(self):
        """Forget users, rights and requests."""
        self.lifetime = 300
        self.desk = TokenAccess("", users={}, access={}, answer=self._sign)
        self.clear()
        self.on("/token", self._answer)

    @property
    def realm(self):
        return f"{self.url}/token"

    @property
    def certificate(self):
        """What docker-registry wants as `rootcertbundle`."""
        return self._made.public_bytes(serialization.Encoding.PEM)

    def allow(self, user, password, *repositories):
        """Let `user` pull repositories that fit the patterns. The user "" is anonymous."""
        if user:
            self.desk.users[user] = password
        self.desk.access.setdefault(user, set()).update(repositories)

    def mint(self, rights, *, user="", lifetime=None):
        """A token for `rights`: repository → actions."""
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "sub": user,
            "aud": self.service,
            "exp": now + (self.lifetime if lifetime is None else lifetime),
            "nbf": now - 600,
            "iat": now,
            "jti": str(next(self._numbers)),
            "access": [
                {"type": "repository", "name": name, "actions": list(actions)}
                for name, actions in rights.items()
            ],
        }
        der = self._made.public_bytes(serialization.Encoding.DER)
        chain = [base64.b64encode(der).decode()]
        return jwt.encode(claims, self._key, algorithm="RS256", headers={"x5c": chain})

    def _answer(self, request):
        return self.desk.issue(request)

    def _sign(self, said, _request):
        granted = self.desk.issued[said["token"]]
        names = (scope.split(":", 1)[1].rpartition(":")[0] for scope in granted.scopes)
        token = self.mint({name: ["pull"] for name in names}, user=granted.user)
        return {**said, "token": token, "access_token": token, "expires_in": max(self.lifetime, 60)}


def _self_signed(key):
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "token service of the tests")])
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=30))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
