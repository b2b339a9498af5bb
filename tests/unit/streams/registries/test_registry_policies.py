"""Policies of Registry objects over the settings, and their validation."""

import pytest

from models.config.import_config import build_import_rules
from models.config.settings import Settings
from models.reference import Reference
from models.resources.registries import RegistrySpec
from models.streams.registries.registry_policies import RegistryPolicies, RegistryPolicy
from models.streams.registries.registry_validation import registry_object_name, validate_registry


def spec(host, **values):
    return RegistrySpec.model_validate({"host": host, **values})


def registries(*specs, **settings):
    return build_import_rules(Settings(**settings), RegistryPolicies(specs)).registries


def manifest_sources(found, text):
    return [str(each) for each in found.manifest_sources(Reference.parse(text))]


def blocked(found, text):
    return found.is_blocked(Reference.parse(text))


def test_import_rules_without_registry_objects_are_those_of_settings():
    settings = Settings(
        blocked_registries=["bad.example"],
        insecure_registries=["*.lab.example"],
        mirrors=[{"source": "quay.io", "mirrors": ["m.example/q"], "kind": "tag"}],
    )
    assert build_import_rules(settings, RegistryPolicies()) == build_import_rules(settings)
    assert build_import_rules(
        settings, RegistryPolicies([spec("bad.example"), spec("quay.io")])
    ) == build_import_rules(settings)


def test_registry_object_overrides_blocked_setting():
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
@pytest.mark.parametrize("values", [True, False])
def test_narrowest_registry_scope_decides_blocked(inner, outer, values):
    found = registries(spec(outer, blocked=not values), spec(inner, blocked=values))
    name = {"*.b.io": "a.b.io/team/app", "quay.io": "quay.io/x/y"}.get(inner, "quay.io/team/app")
    assert blocked(found, name) is values
    if inner == "quay.io/team":
        assert blocked(found, "quay.io/other/app") is not values


def test_policy_of_docker_hub_applies_to_all_its_names():
    found = registries(spec("index.docker.io", blocked=True))
    assert blocked(found, "nginx")
    policies = RegistryPolicies([spec("registry-1.docker.io", rate=2)])
    assert policies.policy("docker.io").rate == 2
    assert policies.policy("registry-1.docker.io").rate == 2


def test_registry_object_overrides_insecure_setting():
    found = registries(
        spec("a.lab.example", insecure=False),
        spec("localhost:5000", insecure=True),
        insecure_registries=["*.lab.example"],
    )
    assert found.is_insecure("b.lab.example/x")
    assert not found.is_insecure("a.lab.example/x")
    assert found.is_insecure("localhost:5000/x")


def test_registry_object_mirrors_replace_mirrors_of_settings():
    found = registries(
        spec(
            "quay.io",
            mirrors=[{"location": "m.example/q"}, {"location": "t.example", "kind": "tag"}],
        ),
        mirrors=[
            {"source": "quay.io", "mirrors": ["old.example"], "kind": "tag"},
            {"source": "r.example", "mirrors": ["other-mirror.example"], "kind": "tag"},
        ],
    )
    digest = "sha256:" + "a" * 64
    assert manifest_sources(found, "quay.io/a/b:1") == [
        "m.example/q/a/b:1",
        "t.example/a/b:1",
        "quay.io/a/b:1",
    ]
    assert manifest_sources(found, f"quay.io/a/b@{digest}") == [
        f"m.example/q/a/b@{digest}",
        f"quay.io/a/b@{digest}",
    ]
    assert manifest_sources(found, "r.example/a/b:1") == [
        "other-mirror.example/a/b:1",
        "r.example/a/b:1",
    ]


def test_never_contact_source_excludes_source():
    mirrors = [{"location": "m.example", "kind": "tag"}]
    found = registries(spec("quay.io", mirrors=mirrors, mirrorSourcePolicy="NeverContactSource"))
    assert manifest_sources(found, "quay.io/a/b:1") == ["m.example/a/b:1"]
    assert manifest_sources(found, "quay.io/a/b@sha256:" + "a" * 64) == []


def test_registry_policy_inherits_omitted_fields_from_wider_scope():
    policies = RegistryPolicies(
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
def test_registry_validation_accepts_host_or_scope(host):
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
def test_registry_validation_rejects_invalid_host(host):
    assert [each.field for each in validate_registry(spec(host))] == ["spec.host"]


def test_registry_validation_rejects_numbers_out_of_range():
    values = {"rate": float("nan"), "concurrency": 0, "interval": "-5m"}
    fields = [each.field for each in validate_registry(spec("quay.io", **values))]
    assert fields == ["spec.rate", "spec.concurrency", "spec.interval"]
    valid = {"rate": 0, "concurrency": 32, "interval": "90s"}
    assert validate_registry(spec("quay.io", **valid)) == []


def test_registry_validation_forbids_limits_on_path_scope():
    values = {"rate": 0, "concurrency": 1, "suspended": False, "interval": "1h", "blocked": True}
    found = validate_registry(spec("quay.io/team", **values))
    assert [each.field.removeprefix("spec.") for each in found] == [
        "rate",
        "concurrency",
        "suspended",
        "interval",
    ]


def test_registry_validation_rejects_invalid_mirrors():
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


def test_registry_spec_wire_keeps_false_and_zero():
    values = spec("quay.io", blocked=False, rate=0, suspended=False)
    assert values.wire() == {"host": "quay.io", "blocked": False, "rate": 0, "suspended": False}
    assert RegistrySpec.model_validate(values.wire()) == values
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
def test_registry_object_name_is_dns_subdomain(host, name):
    assert registry_object_name(host) == name
