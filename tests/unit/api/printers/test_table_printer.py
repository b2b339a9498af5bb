"""Tables of `kubectl get` (api-13.1, api-13.3, api-13.9)."""

from datetime import UTC, datetime, timedelta

import pytest

from api.printers.table_printer import (
    build_partial,
    build_partial_list,
    build_table,
    format_tags,
    parse_include,
    single_metadata,
)
from models.api_errors import BadRequestError
from models.errors import status_of
from models.resources.wire import format_time

NOW = datetime(2026, 1, 10, 12, tzinfo=UTC)


def ago(**span):
    return format_time(NOW - timedelta(**span))


def table(kind, *objects, **options):
    given = {"list_metadata": {"resourceVersion": "7"}, "now": NOW} | options
    return build_table(kind, objects, **given)


def cells(kind, item):
    return table(kind, item)["rows"][0]["cells"]


def names(built):
    return [column["name"] for column in built["columnDefinitions"]]


def meta(name="x", **fields):
    return {"metadata": {"name": name, **fields}}


STREAM = meta("web", namespace="ns1", resourceVersion="5") | {
    "spec": {"lookupPolicy": {"local": False}, "dockerImageRepository": "quay.io/team/web"},
    "status": {
        "dockerImageRepository": "reg.local:5000/ns1/web",
        "tags": [
            {"tag": "old", "items": [{"created": ago(days=3), "image": "sha256:a"}]},
            {"tag": "new", "items": [{"created": ago(minutes=3), "image": "sha256:b"}]},
            {"tag": "none", "items": None},
        ],
    },
}


@pytest.mark.case("api 114")
def test_stream_row_shows_repository_tags_and_age():
    built = table("ImageStream", STREAM)
    assert names(built) == ["Name", "Image Repository", "Tags", "Updated"]
    assert [column["format"] for column in built["columnDefinitions"]] == ["name", "", "", ""]
    assert (built["kind"], built["apiVersion"]) == ("Table", "meta.k8s.io/v1")
    assert built["metadata"] == {"resourceVersion": "7"}
    (row,) = built["rows"]
    assert row["cells"] == ["web", "quay.io/team/web", "new,old,none", "3 minutes ago"]
    assert row["object"] == {
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": STREAM["metadata"],
    }


def test_stream_row_prefers_public_then_spec_repository():
    status = STREAM["status"] | {"publicDockerImageRepository": "reg.example.com/ns1/web"}
    assert cells("ImageStream", STREAM | {"status": status})[1] == "reg.example.com/ns1/web"
    assert cells("ImageStream", STREAM | {"spec": {}})[1] == "reg.local:5000/ns1/web"
    assert cells("ImageStream", meta("bare")) == ["bare", "", "", ""]


@pytest.mark.case("api 115")
def test_format_tags_counts_tags_that_do_not_fit():
    tags = ["weird/tag", "track", "t1", "noref", "mlist", "man", "m2", "m1", "dry"]
    histories = [{"tag": tag, "items": [{"created": ago(hours=1)}]} for tag in tags]
    assert format_tags(histories) == "dry,m1,m2,man,mlist,noref,t1,track + 1 more..."


def test_format_tags_shows_first_tag_and_limits_length():
    long = "a" * 50
    assert format_tags([{"tag": long}, {"tag": "b"}]) == f"{long} + 1 more..."
    # 27 of 40 characters leave 13: the next tag may exceed them by up to ten.
    first = {"tag": "a" * 26}
    assert format_tags([first, {"tag": "b" * 22}]) == f"{'a' * 26},{'b' * 22}"
    assert format_tags([first, {"tag": "b" * 23}]) == f"{'a' * 26} + 1 more..."
    assert format_tags([]) == ""


@pytest.mark.case("api 116")
def test_table_row_includes_requested_object():
    assert table("ImageStream", STREAM, include="None")["rows"][0]["object"] is None
    whole = table("ImageStream", STREAM, include="Object")["rows"][0]["object"]
    assert whole == {"kind": "ImageStream", "apiVersion": "image.openshift.io/v1", **STREAM}
    assert [parse_include(text) for text in ("", "Metadata", "Object", "None")] == [
        "Metadata",
        "Metadata",
        "Object",
        "None",
    ]
    with pytest.raises(BadRequestError) as refused:
        parse_include("Foo")
    assert status_of(refused.value)["message"] == (
        'Unable to convert to Table as requested: includeObject: Invalid value: "Foo": '
        "must be 'Metadata', 'Object', 'None', or empty"
    )


def test_table_has_requested_version_and_optional_columns():
    built = table("Namespace", meta(), version="v1beta1", columns=False)
    assert built["apiVersion"] == "meta.k8s.io/v1beta1"
    assert built["rows"][0]["object"]["apiVersion"] == "meta.k8s.io/v1beta1"
    assert built["columnDefinitions"] is None
    assert single_metadata(STREAM) == {"resourceVersion": "5"}
    assert single_metadata(meta()) == {}


def image_tag(spec=None, items=None, conditions=None):
    status = {"tag": "0", "items": items, "conditions": conditions or []}
    return meta("foo:0") | {"spec": spec, "status": status, "image": None}


def spec_tag(kind, name, **others):
    namespace = others.pop("namespace", "")
    return {"from": {"kind": kind, "name": name, "namespace": namespace}, **others}


def event(generation, **span):
    reference = "quay.io/a/b@sha256:1"
    return {
        "created": ago(**span),
        "image": "sha256:1",
        "dockerImageReference": reference,
        "generation": generation,
    }


EVENT_1, EVENT_2 = event(1, days=2), event(2, days=2)
FAILED = {
    "type": "ImportSuccess",
    "status": "False",
    "reason": "AbjectFailure",
    "lastTransitionTime": ago(hours=2),
}


@pytest.mark.case("api 113")
@pytest.mark.parametrize(
    ("item", "row"),
    [
        (image_tag(), ["", "", None, ""]),
        (
            image_tag(spec_tag("DockerImage", "a/b:c", reference=True)),
            ["Ref", "a/b:c", None, ""],
        ),
        (image_tag(spec_tag("ImageStreamTag", "b:c")), ["Tag", "istag/b:c", None, ""]),
        (image_tag(spec_tag("ImageStreamImage", "b")), ["Tag", "InvalidRefName", None, ""]),
        (
            image_tag(
                spec_tag("ImageStreamTag", "b:c", namespace="a", importPolicy={"scheduled": True})
            ),
            ["Scheduled", "istag a/b:c", None, ""],
        ),
        (image_tag(spec_tag("ImageStreamImage", "a@X")), ["Tag", "image/X", None, ""]),
        (
            image_tag(spec_tag("DockerImage", "a/b:c"), conditions=[FAILED]),
            ["Tag", "ImportFailed (AbjectFailure)", None, "2 hours ago"],
        ),
        (
            image_tag(spec_tag("DockerImage", "a/b:c", generation=2), [EVENT_1]),
            ["Tag", "Importing", 1, "2 days ago"],
        ),
        (
            image_tag(spec_tag("DockerImage", "a/b:c", generation=2), [EVENT_2, EVENT_1]),
            ["Tag", "image/sha256:1", 2, "2 days ago"],
        ),
        (image_tag(None, [EVENT_1]), ["Push", "image/sha256:1", 1, "2 days ago"]),
        (
            image_tag(spec_tag("DockerImage", "a/b:c", generation=3), [event(4, days=2)]),
            ["Push", "image/sha256:1", 1, "2 days ago"],
        ),
        (image_tag(spec_tag("ImageStreamTag", "other")), ["Track", "istag/other", None, ""]),
        (
            image_tag(spec_tag("ImageStreamTag", "other", generation=1), [EVENT_2]),
            ["Track", "image/sha256:1", 1, "2 days ago"],
        ),
        (image_tag(spec_tag("", "a/b:c")), ["Tag", "InvalidRefKind", None, ""]),
        (
            image_tag(None, [EVENT_1 | {"image": ""}]),
            ["Push", "quay.io/a/b@sha256:1", 1, "2 days ago"],
        ),
        (
            image_tag(spec_tag("DockerImage", "a/b:c"), [EVENT_1], [FAILED]),
            ["Tag", "ImportFailed (AbjectFailure)", 1, "2 hours ago"],
        ),
    ],
)
def test_imagetag_row_shows_origin_and_state(item, row):
    assert cells("ImageTag", item) == ["foo:0", *row]


def test_imagetag_history_column_is_number():
    types = {c["name"]: c["type"] for c in table("ImageTag")["columnDefinitions"]}
    assert types["History"] == "number"
    assert set(types.values()) == {"string", "number"}


IMAGE = meta("sha256:a") | {"dockerImageReference": "quay.io/a/b@sha256:a"}


@pytest.mark.parametrize(
    ("kind", "item", "row"),
    [
        ("Image", IMAGE, ["sha256:a", "quay.io/a/b@sha256:a"]),
        (
            "ImageStreamTag",
            meta("web:v1", creationTimestamp=ago(minutes=1)) | {"image": IMAGE},
            ["web:v1", "quay.io/a/b@sha256:a", "About a minute ago", "sha256:a"],
        ),
        (
            "ImageStreamImage",
            meta("web@sha256:a", creationTimestamp=ago(days=3)) | {"image": IMAGE},
            ["web@sha256:a", "3 days ago", "quay.io/a/b@sha256:a", "sha256:a"],
        ),
        (
            "Namespace",
            meta("ns1", creationTimestamp=ago(minutes=5, seconds=3))
            | {"status": {"phase": "Active"}},
            ["ns1", "Active", "5m3s"],
        ),
        (
            "Secret",
            meta("pull", creationTimestamp=ago(days=8)) | {"type": "Opaque", "data": {"a": ""}},
            ["pull", "Opaque", 1, "8d"],
        ),
        (
            "Project",
            meta("ns1", annotations={"openshift.io/display-name": "One"})
            | {"status": {"phase": "Active"}},
            ["ns1", "One", "Active"],
        ),
        (
            "ImportJob",
            meta("j1", creationTimestamp=ago(minutes=2))
            | {
                "spec": {"stream": "web"},
                "status": {
                    "state": "Running",
                    "tagsCompleted": 12,
                    "tagsTotal": 40,
                    "tagsNew": 1,
                    "tagsUpdated": 4,
                    "tagsUnchanged": 5,
                    "tagsFailed": 2,
                    "startTime": ago(seconds=90),
                },
            },
            ["j1", "web", "Running", "30%", 10, 2, "90s", "2m ago", ""],
        ),
        (
            "ImportJob",
            meta("j2", creationTimestamp=ago(hours=3))
            | {
                "status": {
                    "state": "Failed",
                    "reason": "Timeout",
                    "jobsCompleted": 1,
                    "jobsTotal": 2,
                    "startTime": ago(hours=2),
                    "completionTime": ago(hours=1),
                }
            },
            ["j2", "<none>", "Failed", "50%", 0, 0, "60m", "3h ago", "Timeout"],
        ),
        ("ImportJob", meta("j3"), ["j3", "<none>", "", "", 0, 0, "", "<unknown>", ""]),
        (
            "ScheduledTag",
            meta("web:v1")
            | {
                "spec": {"registry": "quay.io", "interval": "15m0s"},
                "status": {
                    "lastCheckTime": ago(minutes=3),
                    "nextCheckTime": ago(minutes=-12),
                    "outcome": "unchanged",
                    "reason": "Unchanged",
                },
            },
            ["web:v1", "quay.io", "15m0s", "3m ago", "in 12m", "unchanged", "Unchanged", 0, ""],
        ),
        (
            "ScheduledTag",
            meta("web:v2")
            | {
                "spec": {"registry": "quay.io"},
                "status": {"reason": "RateLimited", "consecutiveFailures": 2},
            },
            ["web:v2", "quay.io", *["<none>", "<never>", "<none>", "<none>"], "RateLimited", 2, ""],
        ),
    ],
)
def test_table_row_of_each_kind_has_cell_for_every_column(kind, item, row):
    built = table(kind, item)
    assert built["rows"][0]["cells"] == row
    assert len(built["columnDefinitions"]) == len(row)


def test_table_of_kind_without_printer_shows_name_and_age():
    built = table("ImageSignature", meta("a@s", creationTimestamp=ago(hours=3)))
    assert names(built) == ["Name", "Age"]
    assert built["rows"][0]["cells"] == ["a@s", "3h"]


def test_istag_digest_column_is_shown_only_in_wide_output():
    (wide,) = [c for c in table("ImageStreamTag")["columnDefinitions"] if c["priority"]]
    assert wide["name"] == "Image Name"


@pytest.mark.case("api 121")
def test_partial_list_items_have_kind_and_metadata_only():
    built = build_partial_list([STREAM], {"resourceVersion": "9"})
    assert (built["kind"], built["apiVersion"]) == ("PartialObjectMetadataList", "meta.k8s.io/v1")
    assert built["metadata"] == {"resourceVersion": "9"}
    assert built["items"] == [build_partial(STREAM)]
    assert sorted(built["items"][0]) == ["apiVersion", "kind", "metadata"]
