"""Discovery, version, health and the path index (api-1.2, api-14.1, api-14.7)."""

import json
import re

import pytest

from api.discovery import AGGREGATED_TYPE, build_aggregated, build_unaggregated, wants_aggregated
from api.served_resources import GROUPS
from api.serving.health_endpoints import build_health, build_path_index, build_version

KUBECTL = (
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,"
    "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json"
)
ALL = "create delete deletecollection get list patch update watch"
VIRTUAL = "create delete get list patch update"
IMAGE_RESOURCES = [
    ("images", "Image", False, "image", None, None, ALL),
    ("imagesignatures", "ImageSignature", False, "imagesignature", None, None, "create delete"),
    ("imagestreamimages", "ImageStreamImage", True, "imagestreamimage", ["isimage"], None, "get"),
    ("imagestreamimports", "ImageStreamImport", True, "imagestreamimport", None, None, "create"),
    ("imagestreammappings", "ImageStreamMapping", True, "imagestreammapping", None, None, "create"),
    ("imagestreams", "ImageStream", True, "imagestream", ["is"], ["all"], ALL),
    ("imagestreams/layers", "ImageStreamLayers", True, "", None, None, "get"),
    ("imagestreams/secrets", "SecretList", True, "", None, None, "get"),
    ("imagestreams/status", "ImageStream", True, "", None, None, "get patch update"),
    ("imagestreamtags", "ImageStreamTag", True, "imagestreamtag", ["istag"], None, VIRTUAL),
    ("imagetags", "ImageTag", True, "imagetag", ["itag"], None, VIRTUAL),
]


def aggregated(path):
    body, _ = build_aggregated(path)
    return json.loads(body)


@pytest.mark.case("api 1")
def test_discovery_lists_eleven_image_resources():
    listed = build_unaggregated(["apis", "image.openshift.io", "v1"])
    assert (listed["kind"], listed["groupVersion"]) == ("APIResourceList", "image.openshift.io/v1")
    rows = [
        (
            each["name"],
            each["kind"],
            each["namespaced"],
            each["singularName"],
            each.get("shortNames"),
            each.get("categories"),
            " ".join(each["verbs"]),
        )
        for each in listed["resources"]
    ]
    assert sorted(rows) == sorted(IMAGE_RESOURCES)


@pytest.mark.case("api 2")
def test_aggregated_discovery_contains_all_groups_and_subresources():
    assert wants_aggregated(KUBECTL)
    assert KUBECTL.startswith(f"{AGGREGATED_TYPE},")
    document = aggregated("/apis")
    assert (document["kind"], document["apiVersion"]) == (
        "APIGroupDiscoveryList",
        "apidiscovery.k8s.io/v2",
    )
    groups = {item["metadata"]["name"]: item["versions"] for item in document["items"]}
    assert list(groups) == [group for group in GROUPS if group]
    (version,) = groups["image.openshift.io"]
    assert (version["version"], version["freshness"]) == ("v1", "Current")
    resources = {each["resource"]: each for each in version["resources"]}
    assert list(resources) == sorted(resources)
    streams = resources["imagestreams"]
    assert [part["subresource"] for part in streams["subresources"]] == [
        "layers",
        "secrets",
        "status",
    ]
    assert (streams["scope"], streams["shortNames"], streams["categories"]) == (
        "Namespaced",
        ["is"],
        ["all"],
    )
    assert streams["responseKind"] == {
        "group": "image.openshift.io",
        "version": "v1",
        "kind": "ImageStream",
    }
    assert resources["images"]["scope"] == "Cluster"
    assert "subresources" not in resources["images"]


def test_aggregated_discovery_of_core_group_has_no_name():
    (core,) = aggregated("/api")["items"]
    assert core["metadata"] == {}
    assert [each["resource"] for each in core["versions"][0]["resources"]] == [
        "events",
        "namespaces",
        "secrets",
    ]


@pytest.mark.parametrize(
    "accept",
    [
        "",
        "application/json",
        "*/*",
        "application/json,application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
        "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList",
        "application/yaml;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
    ],
)
def test_aggregated_discovery_requires_v2_accept_header(accept):
    assert not wants_aggregated(accept)


def test_aggregated_discovery_hash_depends_on_document():
    assert build_aggregated("/apis") == build_aggregated("/apis")
    assert build_aggregated("/apis")[1] != build_aggregated("/api")[1]


@pytest.mark.case("api 3")
def test_group_list_prefers_v1_of_each_group():
    listed = build_unaggregated(["apis"])
    assert listed["kind"] == "APIGroupList"
    groups = {group["name"]: group for group in listed["groups"]}
    image = groups["image.openshift.io"]
    assert image["preferredVersion"] == {
        "groupVersion": "image.openshift.io/v1",
        "version": "v1",
    }
    assert image["versions"] == [image["preferredVersion"]]
    single = build_unaggregated(["apis", "image.openshift.io"])
    assert single == {"kind": "APIGroup", "apiVersion": "v1", **image}


def test_core_versions_name_address_used_by_client():
    assert build_unaggregated(["api"], host="tags.example.com:8443") == {
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [
            {"clientCIDR": "0.0.0.0/0", "serverAddress": "tags.example.com:8443"}
        ],
    }
    core = build_unaggregated(["api", "v1"])
    assert core["groupVersion"] == "v1"
    assert [each["name"] for each in core["resources"]] == ["events", "namespaces", "secrets"]


@pytest.mark.parametrize(
    "segments",
    [
        [],
        ["api", "v2"],
        ["apis", "image.openshift.io", "v2"],
        ["apis", "batch"],
        ["apis", "batch", "v1"],
        ["apis", ""],
        ["apis", "", "v1"],
        ["version"],
    ],
)
def test_discovery_of_unknown_path_is_none(segments):
    assert build_unaggregated(segments) is None


SEMVER = r"v(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?"


@pytest.mark.case("api 5")
def test_version_document_has_semantic_version():
    version = build_version()
    assert re.fullmatch(SEMVER, version["gitVersion"])
    assert version["gitVersion"].startswith(f"v{version['major']}.{version['minor']}.")
    assert {type(value) for value in version.values()} == {str}
    assert re.fullmatch(r"[a-z]+/[a-z0-9_]+", version["platform"])


@pytest.mark.case("api 6")
def test_health_response_names_failed_check():
    assert build_health("livez", {"ping": True}, verbose=False) == (200, "ok")
    assert build_health("readyz", {"ping": True, "database": True}, verbose=True) == (
        200,
        "[+]ping ok\n[+]database ok\nreadyz check passed\n",
    )
    assert build_health("readyz", {"ping": True, "database": False}, verbose=False) == (
        500,
        "[+]ping ok\n[-]database failed: reason withheld\nreadyz check failed\n",
    )


def test_path_index_lists_paths_of_every_group():
    paths = build_path_index()["paths"]
    assert paths == sorted(paths)
    assert {"/api/v1", "/apis/sync.tagstream.io/v1", "/openapi/v3/api/v1", "/version"} <= set(paths)
