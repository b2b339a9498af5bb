"""Who may read from the fake registry: Basic, or Bearer with a token endpoint of its own."""

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
    """The repository that a request is about, or nothing."""
    found = _REPOSITORY.fullmatch(request.plain_path)
    return found[1] if found else ""


def refusal(*challenges: str) -> Reply:
    """401 with one header line for each challenge."""
    reply = error_reply(401, "UNAUTHORIZED", "authentication required")
    return reply.with_header("WWW-Authenticate", challenges)


@dataclass
class BasicAccess:
    """One pair of user and password opens everything."""

    users: Mapping[str, str]
    realm: str = "fake"

    def refuse(self, request: Request) -> Reply | None:
        """The refusal that `request` earns, or None."""
        user, password = request.basic or ("", None)
        if password is not None and self.users.get(user) == password:
            return None
        return refusal(f'Basic realm="{self.realm}"')


@dataclass
class Token:
    """What one token opens, and until when."""

    user: str
    scopes: frozenset[str]
    expires_at: float


@dataclass
class TokenAccess:
    """Bearer tokens (`registry.md` 3.3). `access` maps users to the repositories they may pull.

    The user "" is anonymous. Patterns are those of `fnmatch`. A scope that is not granted is left
    out of the token without a word, as Docker's token service does it.
    """

    realm: str
    service: str = "fake"
    users: Mapping[str, str] = field(default_factory=dict)
    access: Mapping[str, Collection[str]] | None = None
    identity_tokens: Mapping[str, str] = field(default_factory=dict)
    expires_in: int | None = 300
    challenge: Callable[[Request, str], str | list[str]] | None = None
    answer: Callable[[dict, Request], object] | None = None
    takes_post: bool = True
    issued: dict[str, Token] = field(default_factory=dict)
    _numbers: itertools.count = field(default_factory=lambda: itertools.count(1))

    def refuse(self, request: Request) -> Reply | None:
        """The refusal that `request` earns, or None."""
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
            said = self.challenge(request, error)
            return refusal(*([said] if isinstance(said, str) else said))
        parts = [f'realm="{self.realm}"', f'service="{self.service}"']
        if repository:
            parts.append(f'scope="repository:{repository}:pull"')
        if error:
            parts.append(f'error="{error}"')
        return refusal("Bearer " + ",".join(parts))

    def expire(self):
        """Every token issued so far is out of date from now on."""
        self.issued.clear()

    def issue(self, request: Request) -> Reply:
        """The token endpoint: GET with Basic or nothing, POST with a refresh token or password."""
        if request.method == "POST" and not self.takes_post:
            return error_reply(404, "NOT_FOUND", "no such page")
        values = request.form if request.method == "POST" else request.query
        user = self._user_of(request)
        if user is None:
            body = json.dumps({"details": "incorrect username or password"}).encode()
            return Reply(401, body, [("Content-Type", "application/json")])
        asked = [scope for text in values.get("scope", []) for scope in text.split()]
        scopes = {grant for scope in asked for grant in self._grants(user, scope)}
        name = f"token-{next(self._numbers)}-{id(self):x}"
        lifetime = 300 if self.expires_in is None else self.expires_in
        self.issued[name] = Token(user, frozenset(scopes), time.monotonic() + lifetime)
        said = {"token": name, "access_token": name, "issued_at": _now()}
        if self.expires_in is not None:
            said["expires_in"] = self.expires_in
        answer = self.answer(said, request) if self.answer else said
        if isinstance(answer, Reply):
            return answer
        body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        return Reply(200, body, [("Content-Type", "application/json"), API_VERSION])

    def _user_of(self, request: Request) -> str | None:
        """Who asks: a user, nobody (""), or None for a credential that is wrong."""
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
