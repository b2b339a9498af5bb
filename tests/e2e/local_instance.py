"""`tagstream up` as a single user runs it: one data directory, a kubeconfig, and kubectl."""

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
from tests.e2e.conftest import BIN, RoleProcess, until

KUBECTL = "kubectl"
START_TIMEOUT_SECONDS = 30


def need_kubectl():
    """Skip the test where kubectl is missing: no package archive that tests may use has it."""
    if shutil.which(KUBECTL) is None:
        pytest.skip("kubectl is not on this machine, and the tests cannot install it")


class LocalInstance:
    """A data directory below `home`, and the `tagstream up` processes that use it in sequence.

    `registry` is the only registry that it may reach; without it, it may reach none.
    """

    def __init__(self, home, registry=None, **variables):
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
            **variables,
        }
        if registry is not None:
            allowed = f'[{{"host": "127.0.0.1", "port": {registry.port}}}]'
            self.variables["TAGSTREAM_EGRESS_ALLOW"] = allowed
            self.variables["TAGSTREAM_INSECURE_REGISTRIES"] = f'["{registry.host}"]'

    def start(self, *options):
        """Start it on a free port; return when it has printed its address."""
        self.starts += 1
        command = [str(BIN / "tagstream"), "up", "--data", str(self.data)]
        listen = [] if options else ["--listen", "127.0.0.1:0"]
        output = self.home / f"up-{self.starts}.log"
        self.role = RoleProcess([*command, *listen, *options], output, self.variables)
        until(lambda: self._is_announced() or not self.role.runs, within=START_TIMEOUT_SECONDS)
        assert self.role.runs, self.role.output
        return self

    def _is_announced(self):
        return len(self.role.output.splitlines()) >= 3

    @property
    def url(self):
        """The URL on the first line of its output."""
        return re.search(r"https://\S+?(?=;)", self.role.output)[0]

    @property
    def config(self):
        """The parsed kubeconfig that it wrote."""
        return yaml.safe_load(self.kubeconfig.read_text())

    @property
    def token(self):
        return self.config["users"][0]["user"]["token"]

    @property
    def authority(self):
        """The certificate of the CA, as the kubeconfig has it."""
        [cluster] = self.config["clusters"]
        return base64.b64decode(cluster["cluster"]["certificate-authority-data"]).decode()

    def client(self, token=None):
        """Open an HTTP client with the authority and the token of the kubeconfig."""
        return httpx.Client(
            base_url=self.config["clusters"][0]["cluster"]["server"],
            verify=ssl.create_default_context(cadata=self.authority),
            headers={"Authorization": f"Bearer {token or self.token}"},
            timeout=30,
        )

    def run(self, *command, **options):
        """Run another command in the same environment to its end."""
        if command[0] == KUBECTL:
            need_kubectl()
        return subprocess.run(
            command,
            cwd=self.home,
            env=self.variables,
            capture_output=True,
            text=True,
            timeout=60,
            **options,
        )

    def kubectl(self, *arguments):
        return self.run(KUBECTL, "--kubeconfig", str(self.kubeconfig), *arguments)

    def begin(self, *command):
        """Start another command in the same environment; its output is a pipe."""
        if command[0] == KUBECTL:
            need_kubectl()
        return subprocess.Popen(
            command, cwd=self.home, env=self.variables, stdout=subprocess.PIPE, text=True
        )

    def stop(self, number):
        """Send it a signal; return the exit code and the seconds until it has exited."""
        started = time.monotonic()
        self.role.send(number)
        return self.role.wait(60), time.monotonic() - started

    def close(self):
        if self.role is not None and self.role.runs:
            self.role.kill()


def push_builds(registry, repository, *tags):
    """Push a small image for every tag, with all blobs; return their digests."""
    digests = []
    for tag in tags:
        layer = f"the content of {tag}".encode()
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
