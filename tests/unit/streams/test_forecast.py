"""What a reimport would take is counted by source and by right (`forecast.py`)."""

from models.resources.meta import ObjectMeta, ObjectReference
from models.resources.stream import ImageStream, ImageStreamSpec, TagReference
from models.streams.imports.import_outcome import Known
from models.streams.imports.import_plan import plan_import
from models.streams.imports.import_rules import ImportRules
from models.streams.imports.reimport_estimate import Forecast
from models.streams.imports.reimport_request import reimport_request
from models.streams.registries.registry_mirrors import MirrorRule, build_registries

HUB = "docker.io/library/nginx"


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


def forecast(*streams, known=None, children=None, right=lambda *_: "", rules=None):
    """The registries' numbers, as (requests, at most, tags, streams)."""
    rules = rules or ImportRules()
    found = Forecast(rules, right)
    for each in streams:
        place = (each.metadata.namespace, each.metadata.name)
        plan = plan_import(reimport_request(each), each, rules, max_tags=-1)
        found.add(place, plan, known or {}, children or {})
    return {
        each.registry: (each.requests, each.at_most, each.tags, each.streams)
        for each in found.requests()
    }


def test_the_same_source_is_asked_once_however_it_is_written():
    one, two = stream("one", ("x", "nginx:1")), stream("two", ("y", "docker.io/library/nginx:1"))
    assert forecast(one, two) == {"docker.io": (1, 6, 2, 2)}


def test_another_right_is_another_request():
    one = stream("one", ("x", "nginx:1"))
    two = stream("two", ("x", "nginx:1"), namespace="b")
    assert forecast(one, two, right=lambda namespace, *_: namespace) == {"docker.io": (2, 6, 2, 2)}
    assert forecast(one, two, right=lambda *_: "") == {"docker.io": (1, 6, 2, 2)}


def test_what_is_known_costs_as_much_as_it_did_last_time_if_it_moved():
    one = stream("one", ("x", "nginx:1"))
    key = f"{HUB} 1 Legacy //"
    plain, chosen = Known("sha256:a", "sha256:a"), Known("sha256:a", "sha256:b")
    assert forecast(one, known={key: plain}) == {"docker.io": (1, 3, 1, 1)}
    assert forecast(one, known={key: chosen}) == {"docker.io": (1, 4, 1, 1)}
    kept = forecast(one, known={key: plain}, children={"sha256:a": 5})
    assert kept == {"docker.io": (1, 12, 1, 1)}


def test_a_whole_repository_costs_its_list_and_the_tags_it_had():
    one = stream("one", repository="quay.io/team/app")
    known = {
        "quay.io/team/app 1 Legacy //": Known("sha256:a", "sha256:a"),
        "quay.io/team/other 1 Legacy //": Known("sha256:a", "sha256:a"),
    }
    assert forecast(one, known=known) == {"quay.io": (2, 4, 1, 1)}


def test_a_mirror_is_asked_instead_and_a_blocked_registry_not_at_all():
    one = stream("one", ("x", "nginx:1"), ("y", "quay.io/x/y:1"))
    mirror = MirrorRule("docker.io/library", ("mirror.example:5000/hub",), "tag")
    registries = build_registries(["quay.io"], [], [mirror])
    rules = ImportRules(registries=registries)
    assert forecast(one, rules=rules) == {"mirror.example:5000": (1, 3, 1, 1)}
