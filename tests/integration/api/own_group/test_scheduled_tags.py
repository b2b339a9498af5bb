"""ScheduledTags: the schedule as a read-only resource (scheduling-9.1)."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import update

from models.store.database.session import transaction
from models.store.tables.schedule import ScheduledTagRow
from tests.integration.api.tenant import tag_from

SYNC = "/apis/sync.tagstream.io/v1"


def path(tenant, name="", *, ns=None):
    return f"{SYNC}/namespaces/{ns or tenant.ns}/scheduledtags" + (f"/{name}" if name else "")


def scheduled(name, source):
    return tag_from(name, source, importPolicy={"scheduled": True})


def names(response):
    assert response.status_code == 200, response.text
    return [item["metadata"]["name"] for item in response.json()["items"]]


@pytest.fixture
def tenant_with_tags(tenant):
    """Create two streams with five scheduled tags of three registries, and one other tag."""
    body = {
        "metadata": {
            "name": "web",
            "labels": {"app": "web"},
            "annotations": {"sync.tagstream.io/interval": "1h30m"},
        },
        "spec": {"tags": [scheduled(f"v{each}", f"quay.io/x/y:{each}") for each in range(3)]},
    }
    body["spec"]["tags"].append(tag_from("once", "quay.io/x/y:once"))
    assert tenant.post("imagestreams", body).status_code == 201
    tenant.stream("api", scheduled("a", "nginx:1"), scheduled("b", "r.example:5000/x:1"))
    return tenant


def update_row(tenant, tag, **values):
    with transaction(tenant.api_server.engine) as session:
        this_tag = (ScheduledTagRow.namespace == tenant.ns, ScheduledTagRow.tag == tag)
        session.execute(update(ScheduledTagRow).where(*this_tag).values(**values))


def test_scheduled_tag_has_source_interval_and_reason(tenant_with_tags):
    found = tenant_with_tags.admin.get(path(tenant_with_tags, "web:v1")).json()
    assert (found["kind"], found["apiVersion"]) == ("ScheduledTag", "sync.tagstream.io/v1")
    assert found["spec"] == {
        "stream": "web",
        "tag": "v1",
        "registry": "quay.io",
        "source": "quay.io/x/y:1",
        "interval": "1h30m0s",
        "scheduled": True,
    }
    assert found["status"]["reason"] == "Pending"
    assert "outcome" not in found["status"]
    stream = tenant_with_tags.get("imagestreams", "web").json()["metadata"]
    metadata = found["metadata"]
    assert (metadata["uid"], metadata["labels"]) == (stream["uid"], {"app": "web"})


@pytest.mark.parametrize(
    ("selector", "remaining"),
    [
        ({}, ["api:a", "api:b", "web:v0", "web:v1", "web:v2"]),
        ({"fieldSelector": "spec.stream=api"}, ["api:a", "api:b"]),
        ({"fieldSelector": "spec.stream!=api,metadata.name!=web:v0"}, ["web:v1", "web:v2"]),
        ({"fieldSelector": "spec.registry=docker.io"}, ["api:a"]),
        ({"fieldSelector": "metadata.name=web:v2"}, ["web:v2"]),
        ({"fieldSelector": "status.outcome=failed"}, ["web:v1"]),
        ({"fieldSelector": "status.reason=NotFound"}, ["web:v1"]),
        ({"fieldSelector": "status.reason=Checking"}, []),
        ({"labelSelector": "app=web"}, ["web:v0", "web:v1", "web:v2"]),
    ],
)
def test_scheduled_tag_list_supports_field_and_label_selectors(
    tenant_with_tags, selector, remaining
):
    update_row(
        tenant_with_tags, "v1", last_outcome="failed", reason="NotFound", consecutive_failures=2
    )
    assert names(tenant_with_tags.admin.get(path(tenant_with_tags), params=selector)) == remaining


@pytest.mark.parametrize("selector", ["", "spec.stream!=nothing"])
def test_scheduled_tag_list_has_pages(tenant_with_tags, selector):
    seen, token, pages = [], "", 0
    while pages == 0 or token:
        query = {"limit": "2", "continue": token, "fieldSelector": selector}
        response = tenant_with_tags.admin.get(path(tenant_with_tags), params=query)
        seen += names(response)
        token = response.json()["metadata"].get("continue", "")
        pages += 1
    assert seen == ["api:a", "api:b", "web:v0", "web:v1", "web:v2"]
    assert pages == 3


def test_scheduled_tag_list_of_all_namespaces_continues_across_pages(tenant_with_tags):
    tenant_with_tags.stream("app", scheduled("x", "quay.io/x/y:1"), ns=tenant_with_tags.other)
    seen, token = [], ""
    while True:
        query = {"limit": "1", "continue": token, "fieldSelector": "status.reason=Pending"}
        page = tenant_with_tags.admin.get(f"{SYNC}/scheduledtags", params=query).json()
        seen += [(i["metadata"]["namespace"], i["metadata"]["name"]) for i in page["items"]]
        token = page["metadata"].get("continue", "")
        if not token:
            break
    assert seen == sorted(seen)
    assert (tenant_with_tags.other, "app:x") in seen
    assert (tenant_with_tags.ns, "web:v2") in seen


def test_scheduled_tag_table_has_columns(tenant_with_tags):
    failed = {"last_outcome": "failed", "reason": "InternalError", "message": "no such host"}
    update_row(tenant_with_tags, "v1", **failed, consecutive_failures=2)
    headers = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
    query = {"fieldSelector": "metadata.name=web:v1"}
    table = tenant_with_tags.admin.get(path(tenant_with_tags), headers=headers, params=query).json()
    names = [column["name"] for column in table["columnDefinitions"] if not column["priority"]]
    assert names == [
        *("Name", "Registry", "Interval", "Last Check", "Next Check", "Outcome", "Reason"),
        "Failures",
    ]
    [row] = table["rows"]
    assert row["cells"][:4] == ["web:v1", "quay.io", "1h30m0s", "<never>"]
    assert row["cells"][5:] == ["failed", "InternalError", 2, "no such host"]


def test_scheduled_tag_keeps_outcome_while_checks_are_deferred(tenant_with_tags):
    then, later = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), datetime(2126, 1, 1, tzinfo=UTC)
    update_row(
        tenant_with_tags,
        "v1",
        last_outcome="updated",
        reason="RateLimited",
        message="too many requests",
        due_at=later,
        next_check_at=later,
        last_check_at=then,
        last_transition_at=then,
        wait_seconds=90,
    )
    assert tenant_with_tags.admin.get(path(tenant_with_tags, "web:v1")).json()["status"] == {
        "outcome": "updated",
        "reason": "RateLimited",
        "message": "too many requests",
        "scheduledTime": "2126-01-01T00:00:00Z",
        "nextCheckTime": "2126-01-01T00:00:00Z",
        "lastCheckTime": "2026-01-02T03:04:05Z",
        "lastTransitionTime": "2026-01-02T03:04:05Z",
        "waitDuration": "1m30s",
    }


def test_scheduled_tags_are_readable_with_view_role(tenant_with_tags):
    viewer = tenant_with_tags.user(("view", tenant_with_tags.ns))
    assert len(names(viewer.get(path(tenant_with_tags)))) == 5
    assert viewer.get(path(tenant_with_tags, "web:v0")).status_code == 200
    assert viewer.get(path(tenant_with_tags, ns=tenant_with_tags.other)).status_code == 403
    puller = tenant_with_tags.user(
        ("puller", tenant_with_tags.ns), name=f"{tenant_with_tags.user_name}-p"
    )
    assert puller.get(path(tenant_with_tags)).status_code == 403


def test_scheduled_tags_are_read_only(tenant_with_tags):
    body = {"metadata": {"name": "web:v9"}, "spec": {}}
    assert tenant_with_tags.admin.post(path(tenant_with_tags), json=body).status_code == 405
    assert (
        tenant_with_tags.admin.request("DELETE", path(tenant_with_tags, "web:v0")).status_code
        == 405
    )


def test_scheduled_tag_of_unscheduled_tag_is_not_found(tenant_with_tags):
    response = tenant_with_tags.admin.get(path(tenant_with_tags, "web:once"))
    assert response.status_code == 404
    assert response.json()["message"] == ('scheduledtags.sync.tagstream.io "web:once" not found')
    assert tenant_with_tags.admin.get(path(tenant_with_tags, "web")).status_code == 400


def test_scheduled_tags_are_discovered_with_short_name(tenant_with_tags):
    found = tenant_with_tags.admin.get(SYNC).json()["resources"]
    [entry] = [each for each in found if each["name"] == "scheduledtags"]
    assert (entry["shortNames"], sorted(entry["verbs"])) == (["st"], ["get", "list"])
