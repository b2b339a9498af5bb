"""Estimate of the requests of a reimport, by source and credential (scheduling-11.4)."""

from models.resources.meta import ObjectMeta, ObjectReference
from models.resources.stream import ImageStream, ImageStreamSpec, TagReference
from models.streams.imports.import_outcome import KnownImage
from models.streams.imports.import_plan import plan_import
from models.streams.imports.import_rules import ImportRules
from models.streams.imports.reimport_estimate import RequestEstimate
from models.streams.imports.reimport_request import build_reimport_request
from models.streams.registries.registry_mirrors import MirrorRule, build_registry_config

NGINX = "docker.io/library/nginx"


def stream(name, *tags, namespace="a", repository=""):
    return ImageStream(
        metadata=ObjectMeta(name=name, namespace=namespace),
        spec=ImageStreamSpec(
            docker_image_repository=repository,
            tags=[
                TagReference(name=tag, from_=ObjectReference(kind="DockerImage", name=source))
                for tag, source in tags
            ],
        ),
    )


def estimate(*streams, known=None, children=None, credential=lambda *_: "", rules=None):
    """Return registry -> (minimum of requests, maximum, tags, streams)."""
    rules = rules or ImportRules()
    found = RequestEstimate(rules, credential)
    for each in streams:
        stream_key = (each.metadata.namespace, each.metadata.name)
        plan = plan_import(build_reimport_request(each), each, rules, max_tags=-1)
        found.add(stream_key, plan, known or {}, children or {})
    return {
        each.registry: (each.min_requests, each.max_requests, each.tags, each.streams)
        for each in found.build_registry_requests()
    }


def test_estimate_counts_equal_sources_once():
    one, two = stream("one", ("x", "nginx:1")), stream("two", ("y", "docker.io/library/nginx:1"))
    assert estimate(one, two) == {"docker.io": (1, 6, 2, 2)}


def test_estimate_counts_requests_for_each_credential():
    one = stream("one", ("x", "nginx:1"))
    two = stream("two", ("x", "nginx:1"), namespace="b")
    assert estimate(one, two, credential=lambda namespace, *_: namespace) == {
        "docker.io": (2, 6, 2, 2)
    }
    assert estimate(one, two, credential=lambda *_: "") == {"docker.io": (1, 6, 2, 2)}


def test_estimate_of_known_image_counts_its_last_requests():
    one = stream("one", ("x", "nginx:1"))
    key = f"{NGINX} 1 Legacy //"
    plain, chosen = KnownImage("sha256:a", "sha256:a"), KnownImage("sha256:a", "sha256:b")
    assert estimate(one, known={key: plain}) == {"docker.io": (1, 3, 1, 1)}
    assert estimate(one, known={key: chosen}) == {"docker.io": (1, 4, 1, 1)}
    with_children = estimate(one, known={key: plain}, children={"sha256:a": 5})
    assert with_children == {"docker.io": (1, 12, 1, 1)}


def test_estimate_of_repository_counts_list_and_known_tags():
    one = stream("one", repository="quay.io/team/app")
    known = {
        "quay.io/team/app 1 Legacy //": KnownImage("sha256:a", "sha256:a"),
        "quay.io/team/other 1 Legacy //": KnownImage("sha256:a", "sha256:a"),
    }
    assert estimate(one, known=known) == {"quay.io": (2, 4, 1, 1)}


def test_estimate_counts_mirror_instead_and_no_blocked_registry():
    one = stream("one", ("x", "nginx:1"), ("y", "quay.io/x/y:1"))
    mirror = MirrorRule("docker.io/library", ("mirror.example:5000/hub",), "tag")
    registries = build_registry_config(["quay.io"], [], [mirror])
    rules = ImportRules(registries=registries)
    assert estimate(one, rules=rules) == {"mirror.example:5000": (1, 3, 1, 1)}
