"""Keyrings, clients and checks for tests of who may read what."""

import base64
import json

from models.resources.meta import Secret
from tests import fixtures as fx
from worker.registry.auth.credentials import Keyring
from worker.registry.client_config import ClientConfig
from worker.registry.registry_client import RegistryClient
from worker.registry.registry_types import Place
from worker.registry.request_context import Access
from worker.registry.transport.egress_policy import Allowance, EgressPolicy

CANARY = "canary-7f3a"
OWN_MACHINE = EgressPolicy(embedded=True)


def entry(user="u", password=CANARY):
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


def access(*auths, tenant="ns"):
    """Rights from one pull secret for each of `auths` (key → entry), its version its content."""
    secrets = [
        pull_secret(each, uid=f"{tenant}-{number}", version=str(json.dumps(each).__hash__()))
        for number, each in enumerate(auths)
    ]
    return Access(keyring=Keyring.from_secrets(secrets), tenant=tenant)


def login(host, user="u", password=CANARY, **how):
    """Rights of one user at one registry."""
    return access({host: entry(user, password)}, **how)


def open_client(policy=OWN_MACHINE, *, lookup=None, **config):
    """A client that does not wait between its retries."""
    names = {} if lookup is None else {"lookup": lookup}
    settings = ClientConfig(policy=policy, retry_pause=(0.0, 0.0), **config)
    return RegistryClient(settings, **names)


def server_policy(*hosts):
    """A server's policy that admits these hosts (name:port), and nothing else that is private."""
    allowances = []
    for host in hosts:
        name, _, port = host.rpartition(":")
        allowances.append(Allowance.parse(name, int(port)))
    return EgressPolicy(allowances=tuple(allowances))


async def everything_is_here(_name, _port):
    """Every name means this machine."""
    return ["127.0.0.1"]


def push(registry, repository="a/b", tag="t"):
    """S2 under a tag, and where it is."""
    registry.push(repository, tag=tag, manifest=fx.S2, media_type=fx.S2_TYPE, config=fx.CFG_A)
    return Place(registry.host, repository)


def manifests(registry):
    return [request for request in registry.log if "/manifests/" in request.path]


def secrets_in(error):
    """What of the canary shows in an exception and in all that led to it."""
    seen, shown = set(), []
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        parts = f"{error} {error!r} {error.__dict__}"
        shown += [part for part in (CANARY, encoded("u")) if part in parts]
        error = error.__cause__ or error.__context__
    return shown


def encoded(user, password=CANARY):
    return base64.b64encode(f"{user}:{password}".encode()).decode()
