"""The demo's remote registry: docker-registry on a loopback port, with images pushed by oras."""

from __future__ import annotations

import hashlib
import json
import random
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from oras.client import OrasClient
from oras.oci import NewLayer, NewManifest

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
PLATFORMS = (("amd64", ""), ("arm64", "v8"), ("s390x", ""))
REPOSITORY = "team/weather"
REGISTRY_TIMEOUT_SECONDS = 15.0


@contextmanager
def open_registry(directory: Path) -> Iterator[str]:
    """Run a docker-registry for the duration of the block and yield its host and port."""
    port = _free_port()
    host = f"localhost:{port}"
    config = directory / "registry.yml"
    config.write_text(
        "version: 0.1\n"
        "log: {level: error, accesslog: {disabled: true}}\n"
        f"storage: {{filesystem: {{rootdirectory: {directory / 'registry'}}}}}\n"
        f"http: {{addr: 'localhost:{port}'}}\n"
    )
    with (directory / "registry.log").open("wb") as log:
        process = subprocess.Popen(
            ["docker-registry", "serve", str(config)], stdout=log, stderr=subprocess.STDOUT
        )
        try:
            _wait_until_ready(host, process)
            yield host
        finally:
            process.terminate()
            process.wait(REGISTRY_TIMEOUT_SECONDS)


def _free_port() -> int:
    """Return port 5000, the usual one of registries, or any free port."""
    for wanted in (5000, 0):
        with socket.socket() as candidate:
            try:
                candidate.bind(("127.0.0.1", wanted))
            except OSError:
                continue
            port: int = candidate.getsockname()[1]
            return port
    raise SystemExit("demo: no free port on 127.0.0.1")


def _wait_until_ready(host: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + REGISTRY_TIMEOUT_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"http://{host}/v2/", timeout=1):
                return
        except OSError:
            time.sleep(0.05)
    raise SystemExit("demo: docker-registry did not start; its log is registry.log")


class DemoImagePublisher:
    """Builds images of one repository and pushes them with oras."""

    def __init__(self, host: str, directory: Path) -> None:
        self._target = f"{host}/{REPOSITORY}"
        self._files = directory / "files"
        self._files.mkdir()
        self._oras = OrasClient(hostname=host, insecure=True)
        self._random = random.Random(7)

    def push_image(self, version: str) -> None:
        """Push an image for one architecture under the tag `version`."""
        layers = [f"{path}:{LAYER}" for path in self._layers("amd64", version)]
        config = f"{self._config('amd64', '', version)}:{CONFIG}"
        self._oras.push(
            f"{self._target}:{version}",
            files=layers,
            manifest_config=config,
            disable_path_validation=True,
            quiet=True,
        )

    def push_index(self, *tags: str, build: str) -> None:
        """Push an index with an image for each platform, under all `tags`."""
        children = [
            {
                **self._push_child(architecture, variant, build),
                "platform": {"os": "linux", "architecture": architecture}
                | ({"variant": variant} if variant else {}),
            }
            for architecture, variant in PLATFORMS
        ]
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": children}
        for tag in tags:
            self._push_manifest(index, INDEX, tag)

    def _push_child(self, architecture: str, variant: str, build: str) -> dict[str, object]:
        container = self._oras.get_container(f"{self._target}:any")
        manifest = NewManifest()
        config = self._config(architecture, variant, build)
        manifest["config"] = NewLayer(str(config), media_type=CONFIG)
        self._oras.upload_blob(str(config), container, manifest["config"])
        for path in self._layers(architecture, build):
            layer = NewLayer(str(path), media_type=LAYER)
            self._oras.upload_blob(str(path), container, layer)
            manifest["layers"].append(layer)
        return self._push_manifest({**manifest, "mediaType": MANIFEST}, MANIFEST)

    def _push_manifest(
        self, document: dict[str, object], media_type: str, tag: str = ""
    ) -> dict[str, object]:
        """Push a manifest under `tag`, or under its digest, and return its descriptor."""
        content = json.dumps(document, indent=1).encode()
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        container = self._oras.get_container(f"{self._target}:any")
        url = f"{self._oras.prefix}://{container.manifest_url(tag or digest)}"
        response = self._oras.do_request(
            url, "PUT", data=content, headers={"Content-Type": media_type}
        )
        response.raise_for_status()
        return {"mediaType": media_type, "digest": digest, "size": len(content)}

    def _layers(self, architecture: str, build: str) -> list[Path]:
        """Create a base and a runtime layer that all builds share, and the layer of the
        application.
        """
        return [
            self._file(f"base-{architecture}", 2_700_000),
            self._file(f"runtime-{architecture}", 940_000),
            self._file(f"app-{architecture}-{build}", self._random.randrange(60_000, 160_000)),
        ]

    def _config(self, architecture: str, variant: str, build: str) -> Path:
        path = self._files / f"config-{architecture}-{build}"
        config = {
            "architecture": architecture,
            "os": "linux",
            **({"variant": variant} if variant else {}),
            "created": f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())}",
            "config": {"Cmd": ["/weather"], "Labels": {"build": build}},
            "rootfs": {"type": "layers", "diff_ids": []},
        }
        path.write_text(json.dumps(config))
        return path

    def _file(self, name: str, size: int) -> Path:
        path = self._files / name
        if not path.exists():
            path.write_bytes(self._random.randbytes(size))
        return path
