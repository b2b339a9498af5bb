"""Write a store of the previous version, and the answers that its API gives for it.

The previous version is commit 6034a4f (schema 0004). This script runs against a checkout of it and
is never run by the suite; what it writes is committed beside it, and README.md tells how the files
are used. To write them again:

    git worktree add --detach PREVIOUS 6034a4f
    cd PREVIOUS && PYTHONPATH=PREVIOUS python TREE/tests/previous/generate.py

On SQLite and on PostgreSQL it fills one store with an object of every kind in every state, by
requests to that version's API server, by imports and checks that its worker carries out at fake
registries, and by its own functions where neither gets that far. Then it dumps the database, loads
the dump into an empty database, and asks a new API server that reads this one. Clock, uids, names,
ports and key are fixed, so both databases get the same content and give the same answers.
"""

# ids and clock are replaced before modules are imported that this version has under other names
# ruff: noqa: E402, I001

import base64
import contextlib
import hashlib
import importlib.util
import json
import logging
import random
import secrets
import sqlite3
import subprocess
import sys
import tempfile
import time
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlencode

import kombu.common
import kombu.utils.uuid  # noqa: F401 - with ids of its own, hence before the fixed ones
import psycopg
import structlog
import uvloop
from sqlalchemy import select

if Path(importlib.util.find_spec("models").origin).parents[1] != Path.cwd():
    sys.exit("run it in a checkout of the previous version, and name that in PYTHONPATH")

HERE = Path(__file__).parent
START = datetime(2026, 5, 4, 8, tzinfo=UTC)
ANSWERED = datetime(2026, 6, 1, 12, tzinfo=UTC)  # later than every time of this year in the store
FUTURE = datetime(2100, 1, 1, tzinfo=UTC)
KEY = base64.urlsafe_b64encode(hashlib.sha256(b"only for tests").digest()).decode()
PORTS = SimpleNamespace(main=45731, private=45732, flaky=45733)
MAIN, PRIVATE, FLAKY = (f"127.0.0.1:{port}" for port in vars(PORTS).values())

DICE = random.Random()
REAL_ID = uuid.uuid4
uuid.uuid4 = lambda: uuid.UUID(int=DICE.getrandbits(128), version=4)
secrets.token_urlsafe = lambda size: (
    base64.urlsafe_b64encode(DICE.randbytes(size)).rstrip(b"=").decode()
)
secrets.token_hex = lambda size: DICE.randbytes(size).hex()
secrets.choice = DICE.choice


class Clock:
    """What the time is, for everything that writes to the store or answers a request."""

    now = START

    @classmethod
    def advance(cls, **span):
        cls.now += timedelta(**span)
        return cls.now


class FixedDatetime(datetime):
    """Stands in for `datetime` in modules that read the time by themselves."""

    @classmethod
    def now(cls, tz=None):
        return Clock.now


structlog.configure(
    wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
    logger_factory=structlog.ReturnLoggerFactory(),  # or the audit would be printed all the same
)

import worker.queue

import models

worker.queue.utc_now = lambda: Clock.now.replace(microsecond=0)
worker.queue.moment = lambda: Clock.now

import api.app
import api.stored_form
import api.verbs.watching
import models.store.upgrade
import tests.apiserver
import tests.fakeregistry.server
import worker.heartbeat

worker.heartbeat.QUICKEST = 3600.0  # reports of progress are changes, and come when they come
api.app.uuid4 = REAL_ID  # only the ids of requests
for reader in (
    api.app,
    api.stored_form,
    api.verbs.watching,
    models.store.upgrade,
    tests.apiserver,
):
    reader.datetime = FixedDatetime

from api.verbs.reading import write_token
from models.access.roles import EVERYWHERE, GROUP_KIND, USER_KIND
from models.choices import build_cadence
from models.errors import RateLimitedError, TransientRegistryError, status_of
from models.jobs import Asker, JobRequest, JobResult, JobState, Lane, TargetResult
from models.store.access import bind, create_token
from models.store.changes import floor_version, forget_changes, load_changes
from models.store.jobs import (
    ask_cancel,
    claim_job,
    create_job,
    find_job,
    finish_job,
    list_jobs,
    mark_knocked,
    release_job,
    renew_job,
)
from models.store.registries import load_policies
from models.store.registry_status import publish_health
from models.store.reimports import list_children
from models.store.schedule import (
    Settled,
    claim_due,
    put_off_checks,
    settle_checks,
    take_checks,
)
from models.store.session import transaction
from models.store.tables.schedule import ScheduleRow
from models.streams.schedule import Decision
from scheduler.sweep import find_registries, mind_clock
from scheduler.tick import Rules, claim_round, pace_by
from tests.apiserver import IMAGE_API, ApiWorld
from tests.fakeregistry.content import error_reply
from tests.integration.imports import wares
from tests.integration.imports.conftest import img, isi
from tests.servers import Postgres, find_binary
from worker.checks import run_checks, wait_for
from worker.importer import run_import
from worker.queue import read_job
from worker.runtime import open_runtime

from tests import fixtures as fx

SYNC_API = "/apis/sync.tagstream.io/v1"
PROJECT_API = "/apis/project.openshift.io/v1"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
PARTIAL = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
PATCHES = {
    "merge": "application/merge-patch+json",
    "apply": "application/apply-patch+yaml",
}
INTERVAL, SUSPEND = "sync.tagstream.io/interval", "sync.tagstream.io/suspend"
LEASE = timedelta(seconds=60)


# -- the registries that imports and checks are carried out at --


class FakeRegistry(tests.fakeregistry.server.FakeRegistry):
    """A fake registry at a port of our choice, since references of images name it."""

    def __init__(self, port):
        super().__init__()
        self.wanted = port

    def _run(self):
        wanted = self.wanted

        class Loop(uvloop.Loop):
            async def create_server(self, protocol, host, _port, **more):
                return await super().create_server(protocol, host, wanted, **more)

        tests.fakeregistry.server.uvloop = SimpleNamespace(new_event_loop=Loop)
        super()._run()


def config_of(label, **more):
    """Return the config of an image that only `label` distinguishes."""
    return fx.compact(
        {
            "architecture": "amd64",
            "os": "linux",
            "created": "2026-04-01T02:03:04.5Z",
            "author": label,
            "config": {
                "Env": [f"NAME={label}"],
                "Labels": {"of": label},
                "ExposedPorts": {"80": {}},
            },
            "history": [{"created": "2026-04-01T02:03:04Z", "created_by": "RUN true"}],
            "rootfs": {"type": "layers", "diff_ids": [fx.L1]},
            **more,
        }
    )


def oci_image(label):
    """Return an OCI manifest and its config."""
    config = config_of(label)
    return wares.oci(config, wares.layer(), wares.layer(fx.L2, 50)), config


def docker_image(label):
    """Return a docker schema2 manifest and its config."""
    config = config_of(label)
    kind = "application/vnd.docker.container.image.v1+json"
    layer = "application/vnd.docker.image.rootfs.diff.tar.gzip"
    manifest = {
        "schemaVersion": 2,
        "mediaType": fx.S2_TYPE,
        "config": {"mediaType": kind, "size": len(config), "digest": fx.digest_of(config)},
        "layers": [{"mediaType": layer, "size": 100, "digest": fx.L1}],
    }
    return fx.compact(manifest), config


def push(registry, repository, tag, label, *, make=oci_image):
    """Push an image of that label under a tag; return its digest."""
    manifest, config = make(label)
    return registry.push(repository, tag=tag, manifest=manifest, config=config)


def push_index(registry, repository, tag, *labels):
    """Push an index of one image for each label; return its digest."""
    entries = []
    for label, platform in zip(labels, (wares.AMD, wares.ARM), strict=True):
        manifest, config = oci_image(label)
        registry.push(repository, manifest=manifest, config=config)
        entries.append(wares.entry(manifest, platform))
    return registry.push(repository, tag=tag, manifest=wares.index(*entries))


@contextlib.contextmanager
def open_registries():
    """Start the fake registries and fill them with what the first imports want."""
    with (
        FakeRegistry(PORTS.main) as main,
        FakeRegistry(PORTS.private) as private,
        FakeRegistry(PORTS.flaky) as flaky,
    ):
        assert (main.host, private.host, flaky.host) == (MAIN, PRIVATE, FLAKY)
        push(main, "team/app", "v1", "app one")
        push(main, "team/app", "stable", "app one")
        push_index(main, "team/app", "latest", "app amd64", "app arm64")
        push(main, "team/docker", "v1", "docker one", make=docker_image)
        main.push("team/old", tag="v1", manifest=fx.SCHEMA1_RAW, media_type=fx.S1_SIGNED_TYPE)
        push(main, "quay/team/app", "v1", "mirrored")
        for number in range(12):
            push(main, "team/many", f"t{number:02}", "many")
        push(private, "team/secret", "v1", "secret")
        private.require_basic("robot", "pass word")
        push(flaky, "team/app", "v1", "flaky")
        push(flaky, "team/app", "v2", "flaky")
        yield SimpleNamespace(main=main, private=private, flaky=flaky)


# -- how the store is filled --


def source(name, kind="DockerImage", **more):
    return {"kind": kind, "name": name, **more}


def tag(name, written, kind="DockerImage", **more):
    """Return a spec tag; what is no part of `from` goes beside it."""
    elsewhere = {"namespace": more.pop("namespace")} if "namespace" in more else {}
    return {"name": name, "from": source(written, kind, **elsewhere), **more}


def scheduled(name, written, **more):
    policy = {"scheduled": True, **more.pop("importPolicy", {})}
    return tag(name, written, importPolicy=policy, **more)


class Store:
    """One store of the previous version, its API server, and a worker without a loop of its own."""

    def __init__(self, world, registries):
        self.world = world
        self.engine = world.engine
        self.registries = registries
        self.runtime = open_runtime(world.settings, engine=world.engine)
        self.runtime.cipher = world.cipher
        self.runtime.name = "worker-1:100"
        client = self.runtime.client
        client.config = replace(client.config, retry_pause=(0.0, 0.0))

    def call(self, function, *arguments, **more):
        """Call one of the store's functions in a transaction of its own."""
        with transaction(self.engine) as session:
            return function(session, *arguments, **more)

    # requests

    def send(self, method, path, body=None, *, headers=None, expect=(200, 201, 202), **query):
        """Send one request as the administrator, a second after the one before."""
        Clock.advance(seconds=1)
        sent = {"content": body} if isinstance(body, str) else {"json": body}
        more = {"headers": {"User-Agent": "generate/1", **(headers or {})}, "params": query}
        answer = self.world.admin.request(
            method, path, **(sent if body is not None else {}), **more
        )
        assert answer.status_code in expect, (method, path, answer.status_code, answer.text)
        return answer.json()

    def post(self, path, body, **query):
        return self.send("POST", path, body, **query)

    def patch(self, path, body, kind="merge", **query):
        return self.send("PATCH", path, body, headers={"Content-Type": PATCHES[kind]}, **query)

    def delete(self, path):
        return self.send("DELETE", path)

    def stream(self, namespace, name, *tags, spec=None, **metadata):
        body = {
            "metadata": {"name": name, **metadata},
            "spec": {**(spec or {}), "tags": list(tags)},
        }
        return self.post(streams(namespace), body)

    # the worker

    def refresh(self):
        """Let worker and API server read the Registry objects again."""
        self.runtime.refresh()
        time.sleep(1.1)

    def queued(self):
        """Return the ids of all queued jobs, the oldest first."""
        found = self.call(list_jobs, state=JobState.QUEUED, limit=500)
        return [job.id for job in reversed(found)]

    def carry(self, job_id):
        """Carry one job out."""
        Clock.advance(seconds=2)
        run_import(job_id, self.runtime)
        return read_job(self.engine, job_id)

    def carry_due(self):
        """Carry out what writes of streams have put into the queue."""
        return [self.carry(job_id) for job_id in self.queued()]

    def job(self, request, **more):
        """Put a job on record, and do nothing about it."""
        Clock.advance(seconds=1)
        return self.call(create_job, JobRequest(request, **more), now=Clock.now)

    def run(self, request, **more):
        return self.carry(self.job(request, **more).id)

    # the schedule

    def rules(self):
        settings = self.world.settings
        policies = self.call(load_policies)
        cadence = build_cadence(settings, policies)
        return Rules(cadence, settings.check_lease, pace_by(policies, settings))

    def claim(self):
        """Claim what is due, as a scheduler does: the claim, and the claimed ids by host."""
        batch, batches, _ = self.call(claim_round, self.rules(), now=Clock.now)
        wanted = [each for ids in batches for each in ids]
        rows = self.call(
            lambda session: session.execute(
                select(ScheduleRow.id, ScheduleRow.host).where(ScheduleRow.id.in_(wanted))
            ).all()
        )
        by_host = {}
        for row in rows:
            by_host.setdefault(row.host, []).append(row.id)
        return batch, by_host

    def check(self, *hosts, **span):
        """Let so much time pass, and check what is due at the fake registries."""
        Clock.advance(**span)
        batch, by_host = self.claim()
        for host in hosts:
            run_checks(batch, by_host.pop(host, []), self.runtime)
        return batch, by_host


def streams(namespace, name="", resource="imagestreams"):
    return f"{IMAGE_API}/namespaces/{namespace}/{resource}" + (f"/{name}" if name else "")


def jobs(namespace, name=""):
    return f"{SYNC_API}/namespaces/{namespace}/importjobs" + (f"/{name}" if name else "")


def encoded(value):
    return base64.b64encode(json.dumps(value).encode()).decode()


# -- what is in the store --


def add_access(store):
    """Tokens of several users, and roles everywhere, in a namespace and for one stream."""
    now = Clock.now
    token = {"now": now, "groups": ["builders", "night-shift"]}
    store.call(create_token, name="ci", user="ci-bot", **token)
    store.call(create_token, name="until-2100", user="guest", now=now, expires=FUTURE)
    past = now - timedelta(days=3)
    store.call(create_token, name="expired", user="guest", now=past, expires=now)
    for kind, subject, role, namespace, stream in (
        (USER_KIND, "ci-bot", "edit", "team-a", ""),
        (GROUP_KIND, "builders", "view", "team-a", ""),
        (GROUP_KIND, "night-shift", "auditor", EVERYWHERE, ""),
        (USER_KIND, "guest", "puller", "team-a", "web"),
        (USER_KIND, "guest", "view", "ns1", ""),
        (USER_KIND, "notary", "signer", EVERYWHERE, ""),
        (USER_KIND, "root", "cluster-admin", EVERYWHERE, ""),
    ):
        store.call(bind, kind, subject, role, namespace, stream=stream, now=now)


def add_namespaces(store):
    """Namespaces that were made, changed, deleted, and one that waits for its finalizer."""
    path = "/api/v1/namespaces"
    labels, notes = {"team": "a", "tier": "one"}, {"openshift.io/display-name": "Team A"}
    body = {"metadata": {"name": "team-a", "labels": labels, "annotations": notes}}
    store.post(path, body)
    store.post(path, {"metadata": {"name": "team-b"}})
    store.patch(f"{path}/team-a", {"metadata": {"labels": {"tier": "two"}}}, fieldManager="ops")
    request = {"metadata": {"name": "shop"}, "displayName": "Shop", "description": "all of it"}
    store.post(f"{PROJECT_API}/projectrequests", request)
    store.patch(f"{PROJECT_API}/projects/shop", {"metadata": {"labels": {"team": "b"}}})
    store.post(path, {"metadata": {"name": "closing", "finalizers": ["example.com/keep"]}})
    store.delete(f"{path}/closing")
    store.post(path, {"metadata": {"name": "gone"}})
    store.stream("gone", "app", scheduled("v1", "quay.io/gone/app:v1"))
    data = {"stringData": {"password": "gone"}}
    store.post(f"{path}/gone/secrets", {"metadata": {"name": "gone"}, **data})
    store.delete(f"{path}/gone")


def add_secrets(store):
    """Secrets of several types; one is changed, one deleted, one excluded from pulls."""
    path = "/api/v1/namespaces/team-a/secrets"
    login = {"auths": {PRIVATE: {"username": "robot", "password": "pass word"}}}
    for name, kind, data, more in (
        ("pull", "kubernetes.io/dockerconfigjson", {".dockerconfigjson": encoded(login)}, {}),
        (
            "cfg",
            "kubernetes.io/dockercfg",
            {".dockercfg": encoded({"quay.io": {"auth": "YTpi"}})},
            {},
        ),
        ("mine", "Opaque", {"x": "eA=="}, {"immutable": True}),
        ("basic", "kubernetes.io/basic-auth", {"username": "bWU=", "password": "bWU="}, {}),
        ("short", "", {"y": "eQ=="}, {}),
    ):
        notes = {"openshift.io/image.excludeSecret": "true"} if name == "cfg" else {}
        metadata = {"name": name, "labels": {"for": "tests"}, "annotations": notes}
        store.post(path, {"metadata": metadata, "type": kind, "data": data, **more})
    change = {"stringData": {"more": "text"}, "metadata": {"labels": {"for": None}}}
    store.patch(f"{path}/basic", change, fieldManager="ops")
    store.delete(f"{path}/short")


def add_images(store):
    """Images that were pushed, of every form; with signatures, changed, and deleted."""
    path = f"{IMAGE_API}/images"
    made = {}
    for label, make in (("pushed oci", oci_image), ("pushed docker", docker_image)):
        manifest, config = make(label)
        name = made[label] = fx.digest_of(manifest)
        body = {"metadata": {"name": name}, "dockerImageReference": f"quay.io/x/y@{name}"}
        body |= {"dockerImageManifest": manifest.decode(), "dockerImageConfig": config.decode()}
        store.post(path, body)
    text = wares.index(wares.entry(oci_image("pushed oci")[0], wares.AMD))
    name = made["index"] = fx.digest_of(text)
    body = {
        "metadata": {"name": name, "labels": {"kind": "index"}},
        "dockerImageManifest": text.decode(),
    }
    body |= {
        "dockerImageReference": f"quay.io/x/y@{name}",
        "dockerImageManifestMediaType": fx.INDEX_TYPE,
    }
    store.post(path, body)
    spare = fx.digest_of(b"spare")
    body = {"metadata": {"name": spare}, "dockerImageReference": f"quay.io/x/y@{spare}"}
    store.post(path, body | {"dockerImageSignatures": ["c2lnbmVk"]})
    store.delete(f"{path}/{spare}")
    signed = made["pushed docker"]
    for number, content in (("one", "aGk="), ("two", "aG8=")):
        body = {
            "metadata": {"name": f"{signed}@{number}"},
            "type": "AtomicImageV1",
            "content": content,
        }
        store.post(f"{IMAGE_API}/imagesignatures", body)
    found = store.send("GET", f"{path}/{signed}")
    times = {"lastProbeTime": "2026-05-01T01:02:03Z", "lastTransitionTime": "2026-05-01T01:02:03Z"}
    found["signatures"][0] |= {
        "conditions": [
            {"type": kind, "status": "True", "reason": "Checked", "message": "fine", **times}
            for kind in ("Trusted", "ForImage")
        ],
        "imageIdentity": f"quay.io/x/y@{signed}",
        "signedClaims": {"critical": "yes"},
        "created": "2026-04-30T00:00:00Z",
        "issuedBy": {"organization": "o", "commonName": "c"},
        "issuedTo": {"organization": "p", "publicKeyID": "k"},
    }
    store.send("PUT", f"{path}/{signed}", found)
    store.patch(f"{path}/{made['pushed oci']}", {"metadata": {"labels": {"level": "gold"}}})
    return made


def add_registries(store):
    """Registry objects with every field; changed, applied by a manager, and deleted."""
    path = f"{SYNC_API}/registries"
    mirrors = [
        {"location": f"{MAIN}/quay"},
        {"location": "mirror.example/quay", "kind": "digest"},
        {"location": "mirror.example:5000/quay", "kind": "tag"},
    ]
    quay = {"host": "quay.io", "mirrors": mirrors, "neverContactSource": True, "insecure": False}
    quay |= {"rate": 12.5, "concurrency": 3, "interval": "2h"}
    for name, labels, spec in (
        ("quay.io", {}, quay),
        (
            "hub",
            {"team": "ops"},
            {"host": "docker.io", "rate": 0, "concurrency": 4, "interval": "1h30m"},
        ),
        ("slow.example", {}, {"rate": 0.5, "suspended": True}),
        ("paced.example", {}, {"rate": 0.25, "suspended": False, "blocked": False}),
        ("evil", {}, {"host": "bad.example/evil", "blocked": True}),
        ("any-test", {}, {"host": "*.test.example", "insecure": True, "interval": "30m"}),
        ("retired.example", {}, {"rate": 1, "interval": "1d"}),
    ):
        notes = {"note": "an operator's"} if labels else {}
        metadata = {"name": name, "labels": labels, "annotations": notes}
        store.post(path, {"metadata": metadata, "spec": spec}, fieldManager="ops")
    head = {"apiVersion": "sync.tagstream.io/v1", "kind": "Registry"}
    for spec in (
        {"rate": 3, "interval": "45m", "mirrors": mirrors[1:2], "neverContactSource": True},
        {"rate": 4, "mirrors": mirrors[1:2], "neverContactSource": True, "suspended": False},
    ):
        body = {**head, "metadata": {"name": "applied.example"}, "spec": spec}
        store.patch(f"{path}/applied.example", body, "apply", fieldManager="gitops")
    hub = store.send("GET", f"{path}/hub")
    hub["spec"] |= {"concurrency": 8, "suspended": False}
    store.send("PUT", f"{path}/hub", hub, fieldManager="ops")
    quay = {"spec": {"rate": 20, "interval": None}}
    store.patch(f"{path}/quay.io", quay, fieldManager="console")
    store.delete(f"{path}/retired.example")


def add_streams(store, images):
    """Streams whose tags are imported, copied, pushed and only referred to."""
    insecure = {"insecure": True}
    store.stream(
        *("team-a", "web"),
        scheduled(
            "latest", f"{MAIN}/team/app:latest", importPolicy={"importMode": "PreserveOriginal"}
        ),
        scheduled("stable", f"{MAIN}/team/app:stable", referencePolicy={"type": "Local"}),
        tag("v1", f"{MAIN}/team/app:v1", annotations={"description": "the first", INTERVAL: "5m"}),
        scheduled(
            "fast", f"{MAIN}/team/app:v1", annotations={INTERVAL: "90s"}, importPolicy=insecure
        ),
        tag("docker", f"{MAIN}/team/docker:v1", importPolicy=insecure),
        tag("legacy", f"{MAIN}/team/old:v1"),
        spec={"lookupPolicy": {"local": True}},
        labels={"app": "web"},
        annotations={INTERVAL: "1h30m", "note": "kept"},
    )
    store.carry_due()
    pinned = store.send("GET", streams("team-a", "web"))["status"]["tags"][0]["items"][0]["image"]
    store.stream(
        *("team-a", "followers"),
        tag("current", "web:stable", "ImageStreamTag"),
        tag("chain", "current", "ImageStreamTag"),
        tag("image", f"web@{pinned}", "ImageStreamImage"),
        tag("missing", "web:nothing", "ImageStreamTag"),
        tag("only", "quay.io/other/app:1", reference=True),
        annotations={"openshift.io/display-name": "Followers"},
    )
    store.stream("ns2", "copies", tag("v1", "web:v1", "ImageStreamTag", namespace="team-a"))
    store.stream("team-a", "pushed", spec={"dockerImageRepository": ""})
    for name, label in (("v1", "pushed oci"), ("v1", "pushed docker"), ("multi", "index")):
        digest = images[label]
        image = {"metadata": {"name": digest}, "dockerImageReference": f"quay.io/x/y@{digest}"}
        body = {"metadata": {"name": "pushed"}, "image": image, "tag": name}
        store.post(streams("team-a", resource="imagestreammappings"), body)
    status = store.send("GET", streams("team-a", "pushed"))
    status["status"]["tags"][0]["items"] = status["status"]["tags"][0]["items"][:1]
    store.send("PUT", streams("team-a", "pushed/status"), status)
    body = {"metadata": {"name": "pushed:alias"}, "tag": tag("alias", "v1", "ImageStreamTag")}
    store.post(streams("team-a", resource="imagestreamtags"), body)
    body = {
        "metadata": {"name": "pushed:spare"},
        "spec": tag("spare", "quay.io/a/b:1", reference=True),
    }
    store.post(streams("team-a", resource="imagetags"), body)
    store.patch(
        streams("team-a", "pushed:alias", "imagetags"), {"spec": {"annotations": {"a": "b"}}}
    )
    store.delete(streams("team-a", "pushed:spare", "imagestreamtags"))
    store.stream("team-a", "short-lived", tag("v1", "quay.io/a/b:1", reference=True))
    store.delete(streams("team-a", "short-lived"))


def add_failures(store):
    """Streams whose imports fail, each for another reason, and others that rest."""
    store.stream(
        *("team-a", "broken"),
        scheduled("lost", f"{MAIN}/team/app:lost"),
        tag("unknown", f"{MAIN}/nothing/here:v1"),
        tag("evil", "bad.example/evil/app:v1"),
        tag("fine", f"{MAIN}/team/app:v1"),
    )
    store.carry_due()
    store.stream("team-a", "secret", scheduled("v1", f"{PRIVATE}/team/secret:v1"))
    refused = f"{PRIVATE}/team/secret:v1"
    store.stream("team-b", "refused", scheduled("v1", refused), tag("v2", refused))
    store.carry_due()
    store.registries.flaky.fail_next("/team/app/manifests/v2", status=503, times=6)
    tags = scheduled("v1", f"{FLAKY}/team/app:v1"), tag("v2", f"{FLAKY}/team/app:v2")
    store.stream("team-b", "flaky", *tags)
    store.carry_due()
    store.registries.flaky.clear()
    store.stream(
        *("team-b", "resting"),
        scheduled("v1", f"{MAIN}/team/app:v1", annotations={SUSPEND: "false", INTERVAL: "10m"}),
        scheduled("v2", f"{MAIN}/team/app:stable"),
        annotations={SUSPEND: "true", INTERVAL: "2h"},
    )
    store.carry_due()
    store.stream("team-b", "mirrored", scheduled("v1", "quay.io/team/app:v1"))
    store.carry_due()


def add_tag_lists(store):
    """Imports of whole repositories: accepted, cut off by the limit, shrunk and incomplete."""
    main = store.registries.main
    whole = isi(repository=f"{MAIN}/team/many", name="many", namespace="team-a")
    more = {"asker": Asker.API, "user": "guest", "labels": {"limited": "yes"}}
    store.run(whole, max_tags=2, name="first-two", wants_answer=True, **more)
    tags_before = dict(main.content.at("team/many").tags)
    for each in sorted(tags_before)[1:]:
        main.delete("team/many", each)
    for _ in range(2):
        store.run(whole, asker=Asker.SCHEDULE, lane=Lane.SCHEDULED, max_tags=2)
    main.content.at("team/many").tags.update(tags_before)
    main.content.page_size = 5
    failure = error_reply(500, "UNKNOWN", "no more")
    rule = main.on("/v2/team/many/tags/list", lambda r: failure if "last" in r.query else None)
    store.run(whole, asker=Asker.SCHEDULE, lane=Lane.SCHEDULED, max_tags=2)
    main.drop(rule)
    main.content.page_size = None
    body = {"dockerImageRepository": f"{MAIN}/team/docker"}
    store.stream("team-b", "repository", spec=body)
    store.carry_due()


def let_checks_find(store):
    """Checks by the clock: tags that are as before, that have moved, failed and recovered."""
    store.check(seconds=5)  # every row gets its first time
    store.check(MAIN, PRIVATE, FLAKY, hours=3)
    push(store.registries.main, "team/app", "stable", "app two")
    store.registries.flaky.delete("team/app", "v1")
    store.check(MAIN, PRIVATE, FLAKY, hours=3)
    find_registries(store.engine, now=Clock.now)
    found = store.send("GET", f"{SYNC_API}/registries/127.0.0.1-{PORTS.flaky}")
    found["spec"] |= {"rate": 7}
    store.send("PUT", f"{SYNC_API}/registries/127.0.0.1-{PORTS.flaky}", found, fieldManager="ops")


DECIDED = {
    "down.example": ("down",),
    "limited.example:5000": ("limited",),
    "budget.example": ("waited",),
    "failing.example": ("failed",),
    "fine.test.example": ("fine", "later"),
    "slow.example": ("suspended",),
    "taken.example": ("taken",),
    "sent.example": ("sent",),
    "paced.example": ("paced-1", "paced-2", "paced-3"),
}


def add_schedule(store):
    """Rows of the schedule in every state, at registries that nothing is asked of.

    The jobs that such streams make due stay in the queue.
    """
    tags = [
        scheduled(each, f"{host}/team/app:{each}")
        for host, names in DECIDED.items()
        for each in names
    ]
    more = {"labels": {"at": "examples"}, "annotations": {INTERVAL: "20m"}}
    store.stream("team-b", "decided", *tags, **more)
    store.check(seconds=5)
    push(store.registries.main, "team/app", "stable", "app three")
    batch, by_host = store.check(MAIN, hours=2)

    def take(host):
        ids, now = by_host.pop(host), Clock.now
        lease = now + timedelta(seconds=30)
        return store.call(take_checks, batch, ids, worker="worker-2:200", now=now, until=lease)

    put_off = [
        _put_off(check, error)
        for host, error in (
            ("down.example", _down()),
            ("limited.example:5000", _limited("ratelimit.quota")),
            ("budget.example", _limited("ratelimit.budget")),
        )
        for check in take(host)
    ]
    store.call(put_off_checks, batch, put_off)
    settled = [_failed(check) for check in take("failing.example")]
    settled += [_unchanged(check) for check in take("fine.test.example")]
    store.call(settle_checks, batch, settled)
    take("taken.example")  # and never give it back
    store.stream(
        "team-b", "new", scheduled("v1", "docker.io/library/nginx:1"), scheduled("v2", "nginx:2")
    )
    until = Clock.now + timedelta(days=1)
    store.call(claim_due, now=START, until=until, limit=10)  # nothing is due at that time
    mind_clock(store.engine, store.rules().cadence, now=Clock.now)


def _down():
    return TransientRegistryError("the registry does not answer", code="circuit.open")


def _limited(code):
    return RateLimitedError("too many requests", code=code, retry_after=120.0)


def _put_off(check, error):
    """As a worker does it, but not by a time that depends on the id of the row."""
    later = Clock.now + timedelta(seconds=90)
    return replace(wait_for(check, error, now=Clock.now), next_look=later)


def _failed(check):
    due, now = Clock.now + timedelta(minutes=8), Clock.now
    why = {"reason": "http.5xx", "message": "received unexpected HTTP status: 503"}
    more = {"checked": now, "failures": 3, "waited": 2, **why}
    return Settled(check.id, due, due, Decision.FAILED, now, **more)


def _unchanged(check):
    due = FUTURE if check.tag == "later" else Clock.now + timedelta(minutes=20)
    more = {"checked": Clock.now, "waited": 7, "etag": '"0123456789abcdef"'}
    return Settled(check.id, due, due, Decision.SAME, Clock.now, **more)


def add_health(store):
    """What workers report of registries: most of it is dated so far ahead that it stays fresh."""
    window = 6 * 86400.0
    reports = {
        "worker-1:100": [
            {"host": MAIN, "in_flight": 2, "limit": 8, "breaker": "closed"},
            {
                "host": "docker.io",
                "in_flight": 1,
                "limit": 8,
                "waiting": 5,
                "breaker": "closed",
                "quotas": [("", 100, 40, window), ("robot@docker.io", 200, 3, window)],
            },
            {
                "host": "down.example",
                "breaker": "open",
                "rest": window,
                "limit": 1,
                "last_error": "received unexpected HTTP status: 503 Service Unavailable",
            },
            {
                "host": "limited.example:5000",
                "in_flight": 0,
                "limit": 2,
                "waiting": 9,
                "breaker": "closed",
                "gates": [("pull", window), ("all", 60.0)],
                "last_error": "too many requests",
            },
        ],
        "worker-2:200": [
            {"host": "docker.io", "in_flight": 3, "limit": 16, "breaker": "closed"},
            {"host": "paced.example", "breaker": "half-open", "rest": window, "limit": 1},
        ],
        "worker-3:300": [{"host": "slow.example", "breaker": "closed", "limit": 4}],
    }
    for name, documents in reports.items():
        store.call(publish_health, documents, worker=name, now=FUTURE)
    old = [
        {"host": PRIVATE, "breaker": "closed", "limit": 8, "last_error": "connection refused"},
        {"host": "docker.io", "breaker": "open", "rest": 30.0, "in_flight": 99},
    ]
    store.call(publish_health, old, worker="worker-0:1", now=Clock.now)


def add_jobs(store):
    """Jobs in every state, for everyone that can ask for them, with every choice."""
    one = img(f"{MAIN}/team/app:v1", to="v1")
    wanted = {
        name: isi(one, name=name, namespace="ns1")
        for name in (
            "queued",
            "running",
            "stopping",
            "given-up",
            "released",
            "called-off",
            "refused",
        )
    }
    choices = [(queue, who) for queue in Lane for who in (Asker.USER, Asker.API)]
    for number, (queue, who) in enumerate(choices):
        request = isi(img(f"{MAIN}/team/app:v{number}", to="v1"), name="queued", namespace="ns1")
        chosen = {"exempt": number == 1, "dry_run": number == 2, "due": number == 3}
        more = {"lane": queue, "asker": who, "user": f"user{number}", "coalesce": number % 2 == 0}
        job = store.job(request, **more, **chosen, wants_answer=number == 4, max_tags=number - 1)
        if number == 5:
            store.call(mark_knocked, job.id, now=Clock.advance(seconds=1))
    store.run(wanted["queued"], name="succeeded", annotations={"note": "done"}, exempt=True)
    store.run(isi(one, namespace="ns1"), name="dry", dry_run=True, asker=Asker.API)
    lost = img(f"{MAIN}/team/app:lost", to="lost")
    store.run(isi(one, lost, name="partly", namespace="ns1"), name="partly", user="guest")
    conflict = isi(one, name="queued", namespace="ns1", resourceVersion="1")
    store.run(conflict, name="conflict", asker=Asker.API)
    _add_running(store, wanted)
    body = {"stream": "queued", "images": [one], "lane": "interactive", "maxTags": 3}
    for name in ("by-api", "cancelled", "forgotten"):
        metadata = {"name": name, "labels": {"by": "api"}, "annotations": {"why": "a test"}}
        store.post(jobs("ns1"), {"metadata": metadata, "spec": body})
    store.delete(jobs("ns1", "cancelled"))
    store.delete(jobs("ns1", "forgotten"))
    store.delete(jobs("ns1", "forgotten"))


def _add_running(store, wanted):
    """Jobs in the hands of a worker, and what becomes of them."""

    def begin(name, **more):
        job = store.job(wanted[name], name=name, **more)
        return store.call(
            claim_job, job.id, worker="worker-2:200", now=Clock.advance(seconds=1), lease=LEASE
        )

    running = begin("running", asker=Asker.API, lane=Lane.BULK)
    now = Clock.advance(seconds=3)
    store.call(renew_job, running.id, running.attempt, done=3, total=9, now=now, lease=LEASE)
    stopping = begin("stopping", user="guest")
    store.call(ask_cancel, stopping.id, now=Clock.advance(seconds=1))
    released = begin("released", lane=Lane.SCHEDULED, asker=Asker.SCHEDULE)
    store.call(release_job, released, now=Clock.advance(seconds=1))
    off = store.job(wanted["called-off"], name="called-off", coalesce=True)
    store.call(ask_cancel, off.id, now=Clock.advance(seconds=1))
    for name, state, result in (
        ("given-up", JobState.FAILED, JobResult(error=status_of(_down()), warnings=("slow",))),
        (
            "refused",
            JobState.SUCCEEDED,
            JobResult(
                imported=1,
                failed=1,
                changed=1,
                targets=(
                    TargetResult("quay.io/a:1", "1", "1", fx.L1, changed=True),
                    TargetResult(
                        "quay.io/a:2", "2", reason="NotFound", message="no", code="notfound.tag"
                    ),
                ),
                additional_tags=("3", "4"),
                warnings=("schema1 is old",),
            ),
        ),
    ):
        end = {"state": state, "result": result, "with_errors": True, "answer": b"\0answer"}
        store.call(finish_job, begin(name), now=Clock.advance(seconds=1), **end)


def add_reimports(store):
    """Reimports by an administrator: under way, ended, called off, and estimates of one."""
    store.refresh()

    def begin(name, selector, namespace="team-a"):
        body = {
            "metadata": {"name": name, "labels": {"big": "yes"}},
            "spec": {"reimport": selector},
        }
        made = store.post(jobs(namespace), body)
        parent = read_job(store.engine, uuid.UUID(made["metadata"]["uid"]))
        return store.call(list_children, parent)

    for child in begin("ended", {"streams": ["web:v1", "broken:lost", "followers"]}):
        store.carry(child.id)
    begin("under-way", {"streams": ["secret", "many:t00", "web:v1"]})
    first, *_ = begin("called-off", {"streams": ["web:v1", "many:t00"]})
    store.carry(first.id)
    store.delete(jobs("team-a", "called-off"))
    begin("estimate", {"dryRun": True})
    chosen = {"dryRun": True, "allNamespaces": True, "onlyFailed": True, "registry": MAIN}
    begin("estimate-of-all", chosen, "ns1")


def add_last_changes(store):
    """Changes after everything else; and what was changed first is not on record any more."""
    parent = store.call(find_job, "team-a", "under-way")
    store.carry(store.call(list_children, parent)[0].id)
    store.patch(streams("team-a", "web"), {"metadata": {"annotations": {"note": "changed"}}})
    tags = [scheduled(each, f"{MAIN}/team/app:stable") for each in ("v2", "v3")]
    body = {"spec": {"tags": tags}}
    store.patch(streams("team-b", "resting"), body)
    events = store.send("GET", "/api/v1/namespaces/team-a/events")["items"]
    store.delete(f"/api/v1/namespaces/team-a/events/{events[0]['metadata']['name']}")
    name = fx.digest_of(oci_image("pushed oci")[0])
    store.patch(f"{IMAGE_API}/images/{name}", {"metadata": {"labels": {"level": "silver"}}})
    left = {"Image": 4, "ImportJob": 28, "ImageStream": 10, "Registry": 12}
    forgotten = {}
    for kind, count in left.items():
        found = store.call(load_changes, after=0, limit=1000, kind=kind)
        assert len(found) > count, (kind, len(found))
        forgotten[kind] = found[-count - 1].version
    store.call(forget_changes, forgotten)


def fill(store):
    add_access(store)
    add_namespaces(store)
    add_secrets(store)
    images = add_images(store)
    add_registries(store)
    store.refresh()
    add_streams(store, images)
    add_failures(store)
    add_tag_lists(store)
    let_checks_find(store)
    store.refresh()
    add_schedule(store)
    add_health(store)
    add_reimports(store)
    add_jobs(store)
    add_last_changes(store)


# -- what the API is asked --


class Questions:
    """Every request to one API server, with its answer."""

    def __init__(self, world, token):
        self.world = world
        self.client = world.client(token)
        self.found = []

    def get(self, path, accept="", **query):
        """Record one answer, and return it."""
        if query:
            path = f"{path}{'&' if '?' in path else '?'}{urlencode(query)}"
        answer = self.client.get(path, headers={"Accept": accept} if accept else {})
        recorded = {
            "path": path,
            **({"accept": accept} if accept else {}),
            "status": answer.status_code,
        }
        if "watch" in query:
            recorded["lines"] = [json.loads(each) for each in answer.text.splitlines()]
        else:
            recorded["body"] = answer.json()
        self.found.append(recorded)
        return recorded

    def all(self):
        """Ask everything there is to ask; return what was recorded.

        Of kinds that are none of ours and large, only a part.
        """
        self.lists("/api/v1/namespaces")
        self.past("/api/v1/namespaces", "Namespace")
        self.get(f"{PROJECT_API}/projects", TABLE, includeObject="None")
        self.get(f"{PROJECT_API}/projects/shop")
        self.lists("/api/v1/secrets")
        self.past("/api/v1/secrets", "Secret")
        self.lists("/api/v1/events", limit=2)
        self.past("/api/v1/events", "Event")
        self.images()
        for resource, kind in (("importjobs", "ImportJob"), ("registries", "Registry")):
            self.past(f"{SYNC_API}/{resource}", kind)
            self.far_past(f"{SYNC_API}/{resource}", kind)
        for resource in ("importjobs", "scheduledtags", "registries"):
            self.pages(f"{SYNC_API}/{resource}")
            self.get(f"{SYNC_API}/{resource}", TABLE, includeObject="None", limit=12)
            self.get(f"{SYNC_API}/{resource}", PARTIAL, limit=2)
        self.get(f"{SYNC_API}/registries")
        self.get(f"{SYNC_API}/scheduledtags")
        self.get(jobs("ns1"))
        for selector in ("spec.trigger=administrator", "spec.trigger=schedule"):
            self.get(f"{SYNC_API}/importjobs", fieldSelector=selector)
        self.single()
        self.chosen()
        self.watched()
        self.get("/apis/user.openshift.io/v1/users/~")
        self.get(f"{PROJECT_API}/projectrequests")
        return self.found

    def lists(self, path, **query):
        """All of a kind, as JSON and as a Table."""
        self.get(path, **query)
        self.get(path, TABLE, includeObject="None", **query)

    def pages(self, path):
        """The first two pages."""
        page = self.get(path, limit=1)["body"]["metadata"]
        self.get(path, **{"limit": 1, "continue": page["continue"]})

    def past(self, path, kind):
        """A kind as it was at an older version, and what has become of it since then."""
        changes = self.changes(kind)
        own = path.startswith(SYNC_API)
        older = changes[len(changes) // 2].version
        self.get(path, limit=3 if own else 1, resourceVersion=older, resourceVersionMatch="Exact")
        self.get(path, **{"limit": 1, "continue": write_token(older, None)})
        since = changes[0 if own else -min(len(changes), 4)].version
        self.get(path, watch="true", timeoutSeconds=1, resourceVersion=since)

    def far_past(self, path, kind):
        """The same as Tables; and versions that are so old that they are not on record."""
        late = self.changes(kind)[-8].version
        exact = {"resourceVersion": late, "resourceVersionMatch": "Exact"}
        self.get(path, TABLE, **exact, includeObject="None", limit=3)
        watch = {"watch": "true", "timeoutSeconds": 1}
        self.get(path, TABLE, **watch, resourceVersion=late, includeObject="None")
        self.get(path, **watch, resourceVersion=1)
        self.get(path, resourceVersion=1, resourceVersionMatch="Exact")

    def changes(self, kind):
        """What of a kind is on record."""
        with transaction(self.world.engine, write=False) as session:
            floor = floor_version(session, kind)
            return load_changes(session, after=floor, limit=1000, kind=kind)

    def images(self):
        """The image group."""
        self.lists(f"{IMAGE_API}/images", limit=2)
        since = self.changes("Image")[-3].version
        self.get(f"{IMAGE_API}/images", watch="true", timeoutSeconds=1, resourceVersion=since)
        signed = fx.digest_of(docker_image("pushed docker")[0])
        self.get(f"{IMAGE_API}/images/{signed}")
        self.past(f"{IMAGE_API}/imagestreams", "ImageStream")
        for name in ("web", "pushed/status", "pushed/layers", "pushed/secrets"):
            self.get(streams("team-a", name))
        self.get(streams("team-b", "refused"))
        for resource in ("imagestreams", "imagestreamtags", "imagetags"):
            self.get(streams("ns2", resource=resource))
            self.get(streams("ns2", resource=resource), TABLE, includeObject="None")
        self.get(streams("team-a", "web:stable", "imagestreamtags"))
        self.get(streams("team-a", "broken:lost", "imagetags"))
        web = self.client.get(streams("team-a", "web")).json()
        digest = web["status"]["tags"][0]["items"][-1]["image"]
        self.get(streams("team-a", f"web@{digest}", "imagestreamimages"))

    def single(self):
        """Single objects of our own kinds, and what is not there."""
        tag_names = ("decided:taken", "decided:suspended", "decided:later", "refused:v2")
        for paths in (
            [f"{SYNC_API}/registries/{each}" for each in ("hub", "applied.example")],
            [f"{SYNC_API}/namespaces/team-b/scheduledtags/{each}" for each in tag_names],
            [*(jobs("ns1", each) for each in ("running", "partly")), jobs("team-a", "ended")],
        ):
            for path in paths:
                self.get(path)
        self.get(f"{SYNC_API}/registries/hub", TABLE)
        self.get(jobs("ns1", "nothing"))
        self.get(f"{SYNC_API}/namespaces/ns1/scheduledtags/web:nothing")
        self.get(f"{SYNC_API}/registries/nothing")

    def chosen(self):
        """What fields and labels select."""
        parent = self.client.get(jobs("team-a", "ended")).json()["metadata"]["uid"]
        jobs_by = [f"status.state={each}" for each in ("Queued", "Running", "Failed", "Cancelled")]
        jobs_by += ["spec.trigger=user", "spec.stream=web", f"spec.parent={parent}"]
        tags_by = [f"status.decision={each.value}" for each in Decision]
        tags_by += ["status.decision=checking", "spec.registry=paced.example", "spec.stream=web"]
        health = [f"status.health={each}" for each in ("Healthy", "Limited", "Down", "Unknown")]
        for resource, selectors in (
            ("importjobs", jobs_by),
            ("scheduledtags", tags_by),
            ("registries", [*health, "spec.host=docker.io"]),
        ):
            for selector in selectors:
                self.get(f"{SYNC_API}/{resource}", PARTIAL, fieldSelector=selector, limit=1)
        by_label = {"labelSelector": "sync.tagstream.io/discovered", "limit": 2}
        self.get(f"{SYNC_API}/registries", PARTIAL, **by_label)
        self.get(jobs("ns1"), PARTIAL, labelSelector="by=api")
        by_label = {"labelSelector": "at=examples", "limit": 1}
        self.get(f"{SYNC_API}/namespaces/team-b/scheduledtags", **by_label)
        for reason in ("TagMoved", "ImportFailed", "ImportRecovered", "TagListShrunk"):
            self.get("/api/v1/events", PARTIAL, fieldSelector=f"reason={reason}", limit=1)

    def watched(self):
        """Watches that select: an object comes and goes as it begins and ends to match."""
        watch = {"watch": "true", "timeoutSeconds": 1}
        since = self.changes("ImportJob")[-14].version
        for selector in ("status.state=Succeeded", "status.state=Queued", "spec.stream=many"):
            query = {**watch, "resourceVersion": since, "fieldSelector": selector}
            self.get(f"{SYNC_API}/importjobs", PARTIAL.replace("List", ""), **query)
        self.get(f"{SYNC_API}/registries", **watch, fieldSelector="status.health=Down")


# -- the files --


def make_world(home, url):
    """An API server on a database, with the key that is written beside the dumps."""
    keys = home / "keys"
    keys.mkdir(parents=True)
    (keys / "secrets.key").write_text(f"{KEY}\n")
    return ApiWorld(home, url)


def dump_sqlite(url):
    """The statements that make this database anew."""
    with contextlib.closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
        return "".join(f"{each}\n" for each in connection.iterdump())


def load_sqlite(url, text):
    with contextlib.closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
        connection.executescript(text)


def dump_postgresql(url):
    """The same of pg_dump, without comments, commands of psql and the search path."""
    how = ["--no-owner", "--no-privileges", "--inserts", "--rows-per-insert=100"]
    text = subprocess.run(
        [find_binary("pg_dump"), *how, url], check=True, capture_output=True, text=True
    ).stdout
    left_out = ("--", "\\", "SELECT pg_catalog.set_config('search_path'")
    lines = [each for each in text.splitlines() if each and not each.startswith(left_out)]
    return "".join(f"{each}\n" for each in lines)


def load_postgresql(url, text):
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(text)


def write_store(home, url):
    """Fill an empty database; return the administrator's token."""
    DICE.seed("the previous version")
    Clock.now = START
    with make_world(home, url) as world, open_registries() as registries:
        store = Store(world, registries)
        try:
            fill(store)
        finally:
            store.runtime.close()
        return world.token


def read_answers(home, url, token):
    """Return what a new API server answers from a database."""
    DICE.seed("the previous version answers")
    Clock.now = ANSWERED
    with make_world(home, url) as world:
        return Questions(world, token).all()


def main():
    """Write the dumps, the key and the answers."""
    assert models.store.upgrade.HEAD == "0004"
    tokens, answers = {}, {}
    with tempfile.TemporaryDirectory() as text, Postgres() as postgres:
        home = Path(text)
        urls = (
            f"sqlite:///{home}/{{}}.db",
            lambda: postgres.url(postgres.create_database()),
        )
        for name, new_url, dump, load in (
            ("sqlite", lambda: urls[0].format(uuid.uuid4()), dump_sqlite, load_sqlite),
            ("postgresql", urls[1], dump_postgresql, load_postgresql),
        ):
            url = new_url()
            tokens[name] = write_store(home / name, url)
            dumped = dump(url)
            loaded = new_url()
            load(loaded, dumped)
            answers[name] = read_answers(home / f"{name}-loaded", loaded, tokens[name])
            (HERE / f"{name}.sql").write_text(dumped)
    write_answers(tokens, answers)
    (HERE / "key").write_text(f"{KEY}\n")


IGNORED = {
    "keys": ["latenessSeconds"],
    "columns": ["Age", "Updated", "Last Check", "Next", "Last Seen", "First Seen", "Duration"],
}


def write_answers(tokens, answers):
    """Write the requests, one a line, each with the answer that both databases give."""
    head = {
        "version": "6034a4f",
        "token": tokens["sqlite"],
        "now": ANSWERED.isoformat(),
        "ignore": IGNORED,
    }
    assert tokens["postgresql"] == tokens["sqlite"]
    for one, other in zip(*answers.values(), strict=True):
        assert one == other, one["path"]
    lines = [json.dumps(each, separators=(",", ":")) for each in answers["sqlite"]]
    text = json.dumps(head, indent=1).removesuffix("\n}") + ',\n "requests": [\n'
    (HERE / "answers.json").write_text(text + ",\n".join(lines) + "\n ]\n}\n")


if __name__ == "__main__":
    main()
