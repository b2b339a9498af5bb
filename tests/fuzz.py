"""A fuzzer of the API server: it counts responses of 500, stuck processes and lost responses.

`make fuzz` runs it; FUZZ_EXAMPLES is the number of requests an operation (default 200).
schemathesis makes requests from our own OpenAPI documents. Beside them there are patches,
selectors, options and bodies that no schema allows, and bytes that are not HTTP.
"""

import json
import logging
import os
import socket
import ssl
import sys
import tempfile
from collections import Counter
from pathlib import Path
from urllib.parse import quote

import httpx
import schemathesis
import structlog
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from api.auth.audit_log import audit
from models.telemetry.log_setup import configure_logging
from tests.api_test_server import IMAGE_API, ApiTestServer

GROUPS = ("api/v1", "apis/image.openshift.io/v1", "apis/project.openshift.io/v1")
MORE_GROUPS = ("apis/sync.tagstream.io/v1", "apis/authorization.k8s.io/v1")
PATCHES = ("json-patch+json", "merge-patch+json", "strategic-merge-patch+json", "apply-patch+yaml")
HYPOTHESIS_OPTIONS = {
    "deadline": None,
    "database": None,
    "suppress_health_check": list(HealthCheck),
    "phases": [Phase.generate],
}
TEXT = st.text(max_size=30)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)
KEYS = st.sampled_from(
    [
        "metadata",
        "spec",
        "status",
        "tags",
        "name",
        "from",
        "kind",
        "annotations",
        "labels",
        "$patch",
        "$retainKeys",
        "finalizers",
        "$setElementOrder/tags",
        "items",
        "tag",
        "generation",
        "importPolicy",
        "managedFields",
        "conditions",
    ]
)
LIKE_OBJECTS = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT | st.sampled_from(["delete", "replace", "v1"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=25,
)
PARAMETERS = st.dictionaries(
    st.sampled_from(
        [
            "dryRun",
            "fieldValidation",
            "fieldManager",
            "force",
            "labelSelector",
            "fieldSelector",
            "limit",
            "continue",
            "resourceVersion",
            "resourceVersionMatch",
            "sendInitialEvents",
            "timeoutSeconds",
            "pretty",
            "includeObject",
            "allowWatchBookmarks",
            "propagationPolicy",
        ]
    ),
    TEXT | st.integers().map(str) | st.sampled_from(["All", "true", "a in (b", "x=y,!z", "Exact"]),
    max_size=4,
)
OPTIONAL_PARAMETERS = st.just({}) | PARAMETERS
GARBAGE = (
    b"",
    b"\x00" * 64,
    b"GET / HTTP/9.9\r\n\r\n",
    b"POST /apis HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    b"POST /apis HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"GET " + b"/a" * 40_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 20_000 + b"\r\n",
)


class Fuzzer:
    """Send requests; count responses by status and record the failures."""

    def __init__(self, server, examples):
        self.server = server
        self.client = server.client(server.token)
        self.examples = examples
        self.codes = Counter()
        self.failures = []

    def send(self, method, url, **options):
        try:
            response = self.client.request(method, url, timeout=20, **options)
        except (httpx.InvalidURL, httpx.LocalProtocolError, UnicodeEncodeError, ValueError):
            return  # no client could send that
        except httpx.TransportError as error:
            self.failures.append((method, url, repr(error)))
            return
        self.record(method, url, response.status_code, response.text)

    def record(self, method, url, code, text):
        self.codes[code] += 1
        if code >= 500 and code != 504:
            self.failures.append((method, url, f"{code} {text[:300]}"))

    def run_examples(self, strategy, step):
        @seed(20261124)
        @settings(max_examples=self.examples, **HYPOTHESIS_OPTIONS)
        @given(strategy)
        def run(value):
            step(value)

        run()

    def schemas(self):
        for group in (*GROUPS, *MORE_GROUPS):
            document = self.client.get(f"/openapi/v3/{group}").json()
            schema = schemathesis.openapi.from_dict(document)
            for found in schema.get_all_operations():
                operation = found.ok()
                if "watch" in operation.path:
                    continue
                self.run_examples(operation.as_strategy(), self.send_case)

    def send_case(self, case):
        found = case.as_transport_kwargs(base_url=self.server.url)
        query = dict(found.get("params") or {})
        query.pop("watch", None)
        body = {"json": found["json"]} if "json" in found else {"content": found.get("data")}
        headers = {k: v for k, v in (found.get("headers") or {}).items() if v is not None}
        headers.pop("Authorization", None)
        self.send(found["method"], found["url"], params=query, headers=headers, **body)

    def patches(self):
        base = f"{IMAGE_API}/namespaces/ns1"
        for path in ("imagestreams/app", "imagestreams/app/status", "imagestreamtags/app:v1"):
            for kind in PATCHES:
                headers = {"Content-Type": f"application/{kind}"}

                def send(value, path=path, headers=headers, kind=kind):
                    body, params = value
                    if kind.startswith("apply"):
                        named = {"kind": "ImageStream", "apiVersion": "image.openshift.io/v1"}
                        params = {"fieldManager": "fuzz", **params}
                        body = {**named, **body} if isinstance(body, dict) else body
                    content = json.dumps(body).encode()
                    self.send(
                        "PATCH", f"{base}/{path}", content=content, headers=headers, params=params
                    )

                self.run_examples(st.tuples(LIKE_OBJECTS | JSON, OPTIONAL_PARAMETERS), send)

    def bodies(self):
        base = f"{IMAGE_API}/namespaces/ns1"
        resources = ["imagestreams", "imagestreamtags", "imagetags", "imagestreamimports"]
        for resource in (*resources, "imagestreammappings"):

            def send(value, resource=resource):
                body, name, params = value
                if isinstance(body, dict):
                    body = {**body, "metadata": {"name": name}}
                self.send("POST", f"{base}/{resource}", json=_finite(body), params=params)

            names = st.sampled_from(["app", "app:v1", "app:v2", "new", "a:b:c", ""]) | TEXT
            self.run_examples(st.tuples(LIKE_OBJECTS, names, OPTIONAL_PARAMETERS), send)
        types = st.sampled_from(
            ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf", "x/y"]
        )

        def send_bytes(value):
            content, kind = value
            headers = {"Content-Type": kind}
            self.send("POST", "/api/v1/namespaces/ns1/secrets", content=content, headers=headers)

        raw = st.binary(max_size=200) | st.binary(max_size=200).map(lambda b: b"k8s\x00" + b)
        self.run_examples(st.tuples(raw, types), send_bytes)

    def lists(self):
        def send(params):
            self.send("GET", f"{IMAGE_API}/namespaces/ns1/imagestreams", params=params)
            self.send("GET", f"{IMAGE_API}/imagestreamtags", params=params)
            params = {**params, "watch": "1", "timeoutSeconds": "1"}
            if params.get("resourceVersion"):
                self.send("GET", f"{IMAGE_API}/imagestreams", params=params)

        self.run_examples(PARAMETERS, send)
        self.run_examples(
            TEXT, lambda name: self.send("GET", f"{IMAGE_API}/images/{quote(name, safe='')}")
        )
        self.run_examples(
            TEXT, lambda text: self.send("GET", "/apis", headers={"Accept": _ascii(text)})
        )

    def garbage(self):
        context = ssl.create_default_context(cafile=self.server.files.authority)
        for content in GARBAGE * 3:
            with socket.create_connection(("127.0.0.1", self.server.server.port), 5) as plain:
                try:
                    with context.wrap_socket(plain, server_hostname="localhost") as wrapped:
                        wrapped.sendall(content)
                        wrapped.settimeout(1)
                        wrapped.recv(1000)
                except OSError:
                    pass
            self.codes["garbage"] += 1
        self.send("GET", "/readyz")


def _finite(value):
    return json.loads(json.dumps(value), parse_constant=lambda _name: None)


def _ascii(text):
    return "".join(each for each in text if each.isascii() and each.isprintable())


def main():
    configure_logging("ERROR", "console", quiet=True)
    logging.getLogger("uvicorn").setLevel(logging.CRITICAL)
    audit._logger = structlog.PrintLogger(Path(os.devnull).open("w"))  # noqa: SIM115
    examples = int(os.environ.get("FUZZ_EXAMPLES", "200"))
    with tempfile.TemporaryDirectory() as home, ApiTestServer(Path(home), worker=True) as server:
        fuzzer = Fuzzer(server, examples)
        tag = {"name": "v1", "from": {"kind": "DockerImage", "name": "q/x:1"}, "reference": True}
        body = {"metadata": {"name": "app"}, "spec": {"tags": [tag]}}
        fuzzer.send("POST", f"{IMAGE_API}/namespaces/ns1/imagestreams", json=body)
        for part in (fuzzer.schemas, fuzzer.patches, fuzzer.bodies, fuzzer.lists, fuzzer.garbage):
            part()
            sent, failed = sum(fuzzer.codes.values()), len(fuzzer.failures)
            print(f"{part.__name__}: {sent} requests so far, {failed} failures")
        readiness = server.client().get("/readyz").text
    print(f"{sum(fuzzer.codes.values())} requests: {dict(sorted(fuzzer.codes.items(), key=str))}")
    for method, url, reason in fuzzer.failures[:20]:
        print(f"  {method} {url}: {reason}")
    print(f"failures: {len(fuzzer.failures)}; readiness of the server afterwards: {readiness}")
    return 1 if fuzzer.failures or readiness != "ok" else 0


if __name__ == "__main__":
    sys.exit(main())
