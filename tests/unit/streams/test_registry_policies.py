"""What Registry objects say, over the settings; and what they may say."""

import pytest

from models.config.import_config import build_rules
from models.config.settings import Settings
from models.reference import Reference
from models.resources.registries import RegistrySpec
from models.streams.registries.registry_policies import Policies, RegistryPolicy
from models.streams.registries.registry_validation import name_for, validate_registry


def spec(host, **said):
    return RegistrySpec.model_validate({"host": host, **said})


def registries(*specs, **settings):
    return build_rules(Settings(**settings), Policies(specs)).registries


def places(found, text):
    return [str(each) for each in found.sources(Reference.parse(text))]


def blocked(found, text):
    return found.is_blocked(Reference.parse(text))


def test_without_objects_the_rules_are_those_of_the_settings():
    settings = Settings(
        blocked_registries=["bad.example"],
        insecure_registries=["*.lab.example"],
        mirrors=[{"source": "quay.io", "mirrors": ["m.example/q"], "kind": "tag"}],
    )
    assert build_rules(settings, Policies()) == build_rules(settings)
    assert build_rules(settings, Policies([spec("bad.example"), spec("quay.io")])) == build_rules(
        settings
    )


def test_an_object_blocks_and_opens_its_host_whatever_the_settings_say():
    found = registries(
        spec("quay.io", blocked=True),
        spec("bad.example", blocked=False),
        spec("good.evil.example", blocked=False),
        blocked_registries=["bad.example", "*.evil.example"],
    )
    assert blocked(found, "quay.io/a/b:1")
    assert not blocked(found, "bad.example/a/b:1")
    assert blocked(found, "worse.evil.example/a/b:1")
    assert not blocked(found, "good.evil.example/a/b:1")


@pytest.mark.parametrize(
    ("inner", "outer"), [("quay.io/team", "quay.io"), ("quay.io", "*.io"), ("*.b.io", "*.io")]
)
@pytest.mark.parametrize("said", [True, False])
def test_the_narrowest_scope_decides(inner, outer, said):
    found = registries(spec(outer, blocked=not said), spec(inner, blocked=said))
    name = {"*.b.io": "a.b.io/team/app", "quay.io": "quay.io/x/y"}.get(inner, "quay.io/team/app")
    assert blocked(found, name) is said
    if inner == "quay.io/team":
        assert blocked(found, "quay.io/other/app") is not said


def test_hub_is_one_registry_by_whatever_name():
    found = registries(spec("index.docker.io", blocked=True))
    assert blocked(found, "nginx")
    policies = Policies([spec("registry-1.docker.io", rate=2)])
    assert policies.policy("docker.io").rate == 2
    assert policies.policy("registry-1.docker.io").rate == 2


def test_an_object_says_which_endpoints_are_insecure():
    found = registries(
        spec("a.lab.example", insecure=False),
        spec("localhost:5000", insecure=True),
        insecure_registries=["*.lab.example"],
    )
    assert found.is_insecure("b.lab.example/x")
    assert not found.is_insecure("a.lab.example/x")
    assert found.is_insecure("localhost:5000/x")


def test_an_objects_mirrors_take_the_place_of_the_settings_for_its_scope():
    found = registries(
        spec(
            "quay.io",
            mirrors=[{"location": "m.example/q"}, {"location": "t.example", "kind": "tag"}],
        ),
        mirrors=[
            {"source": "quay.io", "mirrors": ["old.example"], "kind": "tag"},
            {"source": "r.example", "mirrors": ["kept.example"], "kind": "tag"},
        ],
    )
    digest = "sha256:" + "a" * 64
    assert places(found, "quay.io/a/b:1") == [
        "m.example/q/a/b:1",
        "t.example/a/b:1",
        "quay.io/a/b:1",
    ]
    assert places(found, f"quay.io/a/b@{digest}") == [
        f"m.example/q/a/b@{digest}",
        f"quay.io/a/b@{digest}",
    ]
    assert places(found, "r.example/a/b:1") == ["kept.example/a/b:1", "r.example/a/b:1"]


def test_a_source_that_is_not_to_be_contacted_is_not():
    mirrors = [{"location": "m.example", "kind": "tag"}]
    found = registries(spec("quay.io", mirrors=mirrors, neverContactSource=True))
    assert places(found, "quay.io/a/b:1") == ["m.example/a/b:1"]
    assert places(found, "quay.io/a/b@sha256:" + "a" * 64) == []


def test_what_an_object_leaves_out_is_what_a_wider_one_says():
    policies = Policies(
        [
            spec("*.example", rate=5, suspended=True, interval="1h"),
            spec("*.b.example", rate=4),
            spec("a.b.example", suspended=False, concurrency=2),
            spec("a.b.example/part", blocked=True),
        ]
    )
    assert policies.policy("a.b.example") == RegistryPolicy(4, 2, suspended=False, interval=3600)
    assert policies.policy("x.b.example") == RegistryPolicy(4, None, suspended=True, interval=3600)
    assert policies.policy("y.example:5000") == RegistryPolicy()
    assert policies.policy("elsewhere.io") == RegistryPolicy()


@pytest.mark.parametrize(
    "host",
    ["quay.io", "localhost", "localhost:5000", "*.example.com", "quay.io/team/app", "REG.io:443"],
)
def test_hosts_and_scopes_are_taken(host):
    assert validate_registry(spec(host)) == []


@pytest.mark.parametrize(
    "host",
    [
        "",
        "nginx",
        "*",
        "*.",
        "*.*.io",
        "a b.io",
        "quay.io/",
        "quay.io/UP",
        "quay.io:tag/x",
        "https://q.io",
        "*.io/path",
        " quay.io",
        "quay.io:123456",
        "x" * 300 + ".io",
        "quay.io\n",
    ],
)
def test_what_is_no_registry_is_refused(host):
    assert [each.field for each in validate_registry(spec(host))] == ["spec.host"]


def test_numbers_and_durations_have_bounds():
    said = {"rate": float("nan"), "concurrency": 0, "interval": "-5m"}
    fields = [each.field for each in validate_registry(spec("quay.io", **said))]
    assert fields == ["spec.rate", "spec.concurrency", "spec.interval"]
    fine = {"rate": 0, "concurrency": 32, "interval": "90s"}
    assert validate_registry(spec("quay.io", **fine)) == []


def test_the_pace_is_a_whole_registrys():
    said = {"rate": 0, "concurrency": 1, "suspended": False, "interval": "1h", "blocked": True}
    found = validate_registry(spec("quay.io/team", **said))
    assert [each.field.removeprefix("spec.") for each in found] == [
        "rate",
        "concurrency",
        "suspended",
        "interval",
    ]


def test_mirrors_are_places():
    mirrors = [
        {"location": "m.example/x", "kind": "tag"},
        {"location": "*.example"},
        {"location": ""},
        {"location": "m.example", "kind": "both"},
        {"location": "M.example/x", "kind": "tag"},
    ]
    found = [each.field for each in validate_registry(spec("quay.io", mirrors=mirrors))]
    assert found == [
        "spec.mirrors[1].location",
        "spec.mirrors[2].location",
        "spec.mirrors[3].kind",
        "spec.mirrors[4].location",
    ]


def test_silence_and_no_are_different_words_on_the_wire():
    said = spec("quay.io", blocked=False, rate=0, suspended=False)
    assert said.wire() == {"host": "quay.io", "blocked": False, "rate": 0, "suspended": False}
    assert RegistrySpec.model_validate(said.wire()) == said
    assert spec("quay.io", rate=2.5).wire()["rate"] == 2.5


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("quay.io", "quay.io"),
        ("localhost:5000", "localhost-5000"),
        ("REG.Example:443", "reg.example-443"),
        ("a_b.example", "a-b.example"),
        ("*.example.com", "any.example.com"),
        ("quay.io/team/app", "quay.io-team-app"),
        ("x" * 300, f"{'x' * 244}-1b432d13"),
    ],
)
def test_names_are_subdomains(host, name):
    assert name_for(host) == name
