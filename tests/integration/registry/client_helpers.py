"""Secrets, request contexts, clients and checks for tests of the registry client."""

import base64
import json

from models.resources.meta import Secret
from tests import fixtures as fx
from worker.registry.auth.credentials import Keyring
from worker.registry.client_config import ClientConfig
from worker.registry.registry_client import RegistryClient
from worker.registry.registry_types import SourceRepository
from worker.registry.request_context import RequestContext
from worker.registry.transport.egress_policy import Allowance, EgressPolicy

CANARY = "canary-7f3a"
EMBEDDED_POLICY = EgressPolicy(embedded=True)


def auth_entry(user="u", password=CANARY):
    return {"username": user, "password": password}


def pull_secret(auths, *, uid="uid-1", version="1", **rest):
    content = json.dumps({"auths": auths, **rest}).encode()
    return Secret.model_validate(
        {
            "metadata": {"name": "pull", "uid": uid, "resourceVersion": version},
            "type": "kubernetes.io/dockerconfigjson",
            "data": {".dockerconfigjson": base64.b64encode(content).decode()},
        }
    )


def request_context(*auths, tenant="ns"):
    """Return a context with one pull secret for each of `auths` (key → entry).

    The version of each secret is derived from its content.
    """
    secrets = [
        pull_secret(each, uid=f"{tenant}-{number}", version=str(json.dumps(each).__hash__()))
        for number, each in enumerate(auths)
    ]
    return RequestContext(keyring=Keyring.from_secrets(secrets), tenant=tenant)


def login_context(host, user="u", password=CANARY, **options):
    """Return a context with the credential of one user at one registry."""
    return request_context({host: auth_entry(user, password)}, **options)


def make_client(policy=EMBEDDED_POLICY, *, lookup=None, **config):
    """Return a client that does not wait between its retries."""
    names = {} if lookup is None else {"lookup": lookup}
    settings = ClientConfig(policy=policy, retry_pause=(0.0, 0.0), **config)
    return RegistryClient(settings, **names)


def server_policy(*hosts):
    """Return a server's policy: of private hosts it admits these (name:port) alone."""
    allowances = []
    for host in hosts:
        name, _, port = host.rpartition(":")
        allowances.append(Allowance.parse(name, int(port)))
    return EgressPolicy(allowances=tuple(allowances))


async def resolve_to_loopback(_name, _port):
    """Resolve every name to loopback."""
    return ["127.0.0.1"]


def push(registry, repository="a/b", tag="t"):
    """Push S2 under a tag and return its repository."""
    registry.push(repository, tag=tag, manifest=fx.S2, media_type=fx.S2_TYPE, config=fx.CFG_A)
    return SourceRepository(registry.host, repository)


def manifest_requests(registry):
    return [request for request in registry.log if "/manifests/" in request.path]


def secrets_in(error):
    """Return the secrets that an exception or any of its causes shows."""
    seen, shown = set(), []
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        parts = f"{error} {error!r} {error.__dict__}"
        shown += [part for part in (CANARY, encoded("u")) if part in parts]
        error = error.__cause__ or error.__context__
    return shown


def encoded(user, password=CANARY):
    return base64.b64encode(f"{user}:{password}".encode()).decode()
