"""`tagstream up` as one person runs it: a directory of its own, a kubeconfig, kubectl beside it."""

import base64
import json
import os
import re
import shutil
import ssl
import subprocess
import time

import httpx
import pytest
import yaml

from tests import fixtures as fx
from tests.e2e.conftest import BIN, Role, until

KUBECTL = "kubectl"
PATIENCE = 30


def need_kubectl():
    """Skip where there is none: it is nobody's server, and no archive of ours has it."""
    if shutil.which(KUBECTL) is None:
        pytest.skip("kubectl is not on this machine, and nothing here installs it")


class Alone:
    """A data directory below `home`, and the processes that run on it, one after the other.

    `registry` is the outside world; without one the whole world is out of bounds.
    """

    def __init__(self, home, registry=None, **more):
        self.home = home
        self.data = home / "data"
        self.kubeconfig = self.data / "kubeconfig"
        self.starts = 0
        self.role = None
        self.variables = {
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "HOME": str(home),
            "KUBECONFIG": str(self.kubeconfig),
            "TAGSTREAM_MAX_TAGS_PER_REPOSITORY": "5",
            **more,
        }
        if registry is not None:
            allowed = f'[{{"host": "127.0.0.1", "port": {registry.port}}}]'
            self.variables["TAGSTREAM_EGRESS_ALLOW"] = allowed
            self.variables["TAGSTREAM_INSECURE_REGISTRIES"] = f'["{registry.host}"]'

    def start(self, *more):
        """Start it on a free port; returns when it has told where it serves."""
        self.starts += 1
        command = [str(BIN / "tagstream"), "up", "--data", str(self.data)]
        listen = [] if more else ["--listen", "127.0.0.1:0"]
        output = self.home / f"up-{self.starts}.log"
        self.role = Role([*command, *listen, *more], output, self.variables)
        until(lambda: self._told() or not self.role.runs, within=PATIENCE)
        assert self.role.runs, self.role.output
        return self

    def _told(self):
        return len(self.role.output.splitlines()) >= 3

    @property
    def url(self):
        """What the first line says."""
        return re.search(r"https://\S+?(?=;)", self.role.output)[0]

    @property
    def config(self):
        """The kubeconfig that it wrote."""
        return yaml.safe_load(self.kubeconfig.read_text())

    @property
    def token(self):
        return self.config["users"][0]["user"]["token"]

    @property
    def authority(self):
        """The certificate of the CA, as clients get it."""
        [cluster] = self.config["clusters"]
        return base64.b64decode(cluster["cluster"]["certificate-authority-data"]).decode()

    def client(self, token=None):
        """An HTTP client that trusts what the kubeconfig says, and brings its token."""
        return httpx.Client(
            base_url=self.config["clusters"][0]["cluster"]["server"],
            verify=ssl.create_default_context(cadata=self.authority),
            headers={"Authorization": f"Bearer {token or self.token}"},
            timeout=30,
        )

    def run(self, *words, **how):
        """A command beside it, to its end."""
        if words[0] == KUBECTL:
            need_kubectl()
        return subprocess.run(
            words,
            cwd=self.home,
            env=self.variables,
            capture_output=True,
            text=True,
            timeout=60,
            **how,
        )

    def kubectl(self, *words):
        return self.run(KUBECTL, "--kubeconfig", str(self.kubeconfig), *words)

    def begin(self, *words):
        """A command that goes on; its output is piped."""
        if words[0] == KUBECTL:
            need_kubectl()
        return subprocess.Popen(
            words, cwd=self.home, env=self.variables, stdout=subprocess.PIPE, text=True
        )

    def stop(self, number):
        """Send it a signal; the exit code and how long it took."""
        began = time.monotonic()
        self.role.send(number)
        return self.role.wait(60), time.monotonic() - began

    def close(self):
        if self.role is not None and self.role.runs:
            self.role.kill()


def push_builds(registry, repository, *tags):
    """A small image of its own for every tag, all blobs included; their digests."""
    digests = []
    for tag in tags:
        layer = f"what is in {tag}".encode()
        config = json.dumps(
            {
                "architecture": "amd64",
                "os": "linux",
                "created": "2026-01-02T03:04:05Z",
                "config": {"Cmd": ["/weather"], "Labels": {"build": tag}},
                "rootfs": {"type": "layers", "diff_ids": [fx.digest_of(layer)]},
            }
        ).encode()
        manifest = {
            "schemaVersion": 2,
            "mediaType": fx.OCI_TYPE,
            "config": _descriptor("application/vnd.oci.image.config.v1+json", config),
            "layers": [_descriptor("application/vnd.oci.image.layer.v1.tar", layer)],
        }
        content = json.dumps(manifest).encode()
        digests.append(
            registry.push(repository, tag=tag, manifest=content, config=config, blobs=[layer])
        )
    return digests


def _descriptor(media_type, content):
    return {"mediaType": media_type, "size": len(content), "digest": fx.digest_of(content)}
