"""Access control of the fake registry: Basic, or Bearer with its own token endpoint."""

from __future__ import annotations

import fnmatch
import itertools
import json
import re
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from tests.fakeregistry.content import API_VERSION, error_reply
from tests.fakeregistry.wire import Reply, Request

ANONYMOUS = ""
_REPOSITORY = re.compile(r"/v2/(.+)/(?:manifests|blobs|tags|referrers)/.*")


def repository_of(request: Request) -> str:
    """Return the repository that a request concerns, or an empty text."""
    found = _REPOSITORY.fullmatch(request.plain_path)
    return found[1] if found else ""


def refusal(*challenges: str) -> Reply:
    """Return a 401 with one header line for each challenge."""
    reply = error_reply(401, "UNAUTHORIZED", "authentication required")
    return reply.with_header("WWW-Authenticate", challenges)


@dataclass
class BasicAccess:
    """Basic authentication: every user may read everything."""

    users: Mapping[str, str]
    realm: str = "fake"

    def refuse(self, request: Request) -> Reply | None:
        """Return the refusal of `request`, or None if it is allowed."""
        user, password = request.basic or ("", None)
        if password is not None and self.users.get(user) == password:
            return None
        return refusal(f'Basic realm="{self.realm}"')


@dataclass
class Token:
    """The user, scopes and expiry of a token."""

    user: str
    scopes: frozenset[str]
    expires_at: float


@dataclass
class TokenAccess:
    """Bearer authentication (registry-10.1). `access` maps users to the repositories they may pull.

    The user "" is anonymous. Patterns are those of `fnmatch`. A scope that is not granted is
    silently left out of the token, as Docker's token service does it.
    """

    realm: str
    service: str = "fake"
    users: Mapping[str, str] = field(default_factory=dict)
    access: Mapping[str, Collection[str]] | None = None
    identity_tokens: Mapping[str, str] = field(default_factory=dict)
    expires_in: int | None = 300
    challenge: Callable[[Request, str], str | list[str]] | None = None
    answer: Callable[[dict, Request], object] | None = None
    accepts_post: bool = True
    issued: dict[str, Token] = field(default_factory=dict)
    _numbers: itertools.count = field(default_factory=lambda: itertools.count(1))

    def refuse(self, request: Request) -> Reply | None:
        """Return the refusal of `request`, or None if it is allowed."""
        repository = repository_of(request)
        if request.bearer is None:
            return self._challenge(request, repository, "")
        token = self.issued.get(request.bearer)
        if token is None or token.expires_at <= time.monotonic():
            return self._challenge(request, repository, "invalid_token")
        if repository and f"repository:{repository}:pull" not in token.scopes:
            return self._challenge(request, repository, "insufficient_scope")
        return None

    def _challenge(self, request: Request, repository: str, error: str) -> Reply:
        if self.challenge is not None:
            challenges = self.challenge(request, error)
            return refusal(*([challenges] if isinstance(challenges, str) else challenges))
        parts = [f'realm="{self.realm}"', f'service="{self.service}"']
        if repository:
            parts.append(f'scope="repository:{repository}:pull"')
        if error:
            parts.append(f'error="{error}"')
        return refusal("Bearer " + ",".join(parts))

    def expire(self):
        """Expire every token that was issued so far."""
        self.issued.clear()

    def issue(self, request: Request) -> Reply:
        """Answer the token endpoint: GET anonymously or with Basic, POST with a refresh token or
        a password.
        """
        if request.method == "POST" and not self.accepts_post:
            return error_reply(404, "NOT_FOUND", "no such page")
        values = request.form if request.method == "POST" else request.query
        user = self._user_of(request)
        if user is None:
            body = json.dumps({"details": "incorrect username or password"}).encode()
            return Reply(401, body, [("Content-Type", "application/json")])
        requested = [scope for text in values.get("scope", []) for scope in text.split()]
        scopes = {grant for scope in requested for grant in self._grants(user, scope)}
        name = f"token-{next(self._numbers)}-{id(self):x}"
        lifetime = 300 if self.expires_in is None else self.expires_in
        self.issued[name] = Token(user, frozenset(scopes), time.monotonic() + lifetime)
        document = {"token": name, "access_token": name, "issued_at": _now()}
        if self.expires_in is not None:
            document["expires_in"] = self.expires_in
        answer = self.answer(document, request) if self.answer else document
        if isinstance(answer, Reply):
            return answer
        body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        return Reply(200, body, [("Content-Type", "application/json"), API_VERSION])

    def _user_of(self, request: Request) -> str | None:
        """Return the user of a request, "" for anonymous, or None for a wrong credential."""
        if request.method == "POST":
            form = request.form
            if "refresh_token" in form:
                return self.identity_tokens.get(form["refresh_token"][0])
            pair = form.get("username", [""])[0], form.get("password", [""])[0]
            return pair[0] if self.users.get(pair[0]) == pair[1] else None
        if not request.authorization:
            return ANONYMOUS
        user, password = request.basic or ("", None)
        return user if password is not None and self.users.get(user) == password else None

    def _grants(self, user: str, scope: str) -> list[str]:
        kind, _, rest = scope.partition(":")
        repository, _, actions = rest.rpartition(":")
        if kind != "repository" or "pull" not in actions.split(","):
            return []
        if self.access is None:
            allowed = ["*"] if user or not (self.users or self.identity_tokens) else []
        else:
            allowed = self.access.get(user, ())
        if any(fnmatch.fnmatchcase(repository, pattern) for pattern in allowed):
            return [f"repository:{repository}:pull"]
        return []


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
