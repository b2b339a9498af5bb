"""A token service that docker-registry trusts: RS256 tokens signed under its own certificate."""

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
    """The endpoint `/token` for a docker-registry with token authentication (registry-10.1).

    No user may pull anything until `allow` is called. With a negative `lifetime`, tokens are
    expired when they are issued.
    """

    service = "svc"
    issuer = "iss"

    def __init__(self, **options):
        super().__init__(**options)
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._certificate = _self_signed(self._key)
        self._numbers = itertools.count(1)
        self.reset()

    def reset(self):
        """Remove users, grants and rules, and clear the log."""
        self.lifetime = 300
        self.token_access = TokenAccess("", users={}, access={}, answer=self._sign)
        self.clear()
        self.on("/token", self._answer)

    @property
    def realm(self):
        return f"{self.url}/token"

    @property
    def certificate(self):
        """The PEM certificate for docker-registry's `rootcertbundle`."""
        return self._certificate.public_bytes(serialization.Encoding.PEM)

    def allow(self, user, password, *repositories):
        """Allow `user` to pull the repositories that match the patterns. "" is anonymous."""
        if user:
            self.token_access.users[user] = password
        self.token_access.access.setdefault(user, set()).update(repositories)

    def mint(self, grants, *, user="", lifetime=None):
        """Return a signed token for `grants`, a mapping of repositories to actions."""
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
                for name, actions in grants.items()
            ],
        }
        der = self._certificate.public_bytes(serialization.Encoding.DER)
        chain = [base64.b64encode(der).decode()]
        return jwt.encode(claims, self._key, algorithm="RS256", headers={"x5c": chain})

    def _answer(self, request):
        return self.token_access.issue(request)

    def _sign(self, document, _request):
        granted = self.token_access.issued[document["token"]]
        names = (scope.split(":", 1)[1].rpartition(":")[0] for scope in granted.scopes)
        token = self.mint({name: ["pull"] for name in names}, user=granted.user)
        expires_in = max(self.lifetime, 60)
        return {**document, "token": token, "access_token": token, "expires_in": expires_in}


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
