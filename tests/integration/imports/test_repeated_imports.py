"""Repeated imports of known tags send one HEAD if nothing changed.

Rules: imports-3.9, scheduling-5.1, scheduling-5.4.
"""

import itertools

import pytest

from tests import fixtures as fx
from tests.fakeregistry.content import error_reply
from tests.fakeregistry.wire import Reply
from tests.integration.imports import image_content
from tests.integration.imports.import_requests import img, isi

S2_DIGEST, OCI_DIGEST = fx.digest_of(fx.S2), fx.digest_of(fx.OCI)
OTHER = f"sha256:{'e' * 64}"
CLAIM = "Docker-Content-Digest"


def scheduled_import(fake, tag="t"):
    return isi(img(f"{fake.host}/a/b:{tag}", to="x", scheduled=True))


def event(harness):
    (tag,) = harness.stream().status.tags
    return tag.items[0]


def condition(harness):
    (tag,) = harness.stream().status.tags
    (found,) = tag.conditions
    return found


@pytest.mark.case("import 9-1")
def test_unchanged_tag_import_sends_one_head_and_writes_nothing(harness, reg):
    harness.run(scheduled_import(reg))
    harness.run(scheduled_import(reg))  # the first repetition settles generations
    before = harness.stream()
    reg.forget_requests()
    done = harness.run(scheduled_import(reg))
    assert reg.requests == ["HEAD /v2/a/b/manifests/t"]
    assert (done.result.tags_imported, done.result.tags_changed) == (1, 0)
    after = harness.stream()
    assert [tag.items for tag in after.status.tags] == [tag.items for tag in before.status.tags]


@pytest.mark.case("import 9-2")
def test_unchanged_index_import_sends_one_head(harness, fake):
    digest = image_content.push_index(fake)
    harness.run(scheduled_import(fake, "list"))
    assert event(harness).image == fx.digest_of(fx.OCI_BARE) != digest
    fake.forget_requests()
    harness.run(scheduled_import(fake, "list"))
    assert fake.requests == ["HEAD /v2/a/b/manifests/list"]
    assert event(harness).image == fx.digest_of(fx.OCI_BARE)


@pytest.mark.case("import 9-3")
@pytest.mark.parametrize("without", ["method", "digest"])
def test_uninformative_head_leads_to_manifest_fetch(harness, reg, without):
    harness.run(scheduled_import(reg))
    if without == "method":
        reg.fail_next("/a/b/manifests/t", status=405, method="HEAD", times=9)
    else:
        reg.content.head_digest = False
    reg.forget_requests()
    done = harness.run(scheduled_import(reg))
    assert (done.result.tags_imported, done.result.tags_failed) == (1, 0)
    assert reg.requests == ["HEAD /v2/a/b/manifests/t", "GET /v2/a/b/manifests/t"]


@pytest.mark.case("registry 42")
def test_updated_tag_is_fetched_by_seen_digest(harness, reg):
    harness.run(scheduled_import(reg))
    reg.tag("a/b", "t", OCI_DIGEST)
    reg.forget_requests()
    done = harness.run(scheduled_import(reg))
    assert done.result.tags_changed == 1
    assert event(harness).image == OCI_DIGEST
    assert reg.requests[:2] == ["HEAD /v2/a/b/manifests/t", f"GET /v2/a/b/manifests/{OCI_DIGEST}"]


@pytest.mark.case("registry 54")
def test_wrong_head_digest_is_detected(harness, reg):
    harness.run(scheduled_import(reg))
    reg.tag("a/b", "t", OCI_DIGEST)
    reg.claim_digest("/a/b/manifests/t", fx.L1, method="HEAD")
    done = harness.run(scheduled_import(reg))
    assert (done.result.tags_imported, done.result.tags_changed) == (1, 1)
    assert event(harness).image == OCI_DIGEST


@pytest.mark.parametrize("served", ["nothing", "other bytes"])
def test_head_with_repeatedly_wrong_digest_is_no_longer_sent(harness, reg, served):
    """What the tag itself serves counts, whatever is served under the digest."""
    harness.run(scheduled_import(reg))
    harness.run(scheduled_import(reg))  # the first repetition settles generations
    before = harness.stream()
    reg.claim_digest("/a/b/manifests/t", OTHER, method="HEAD")
    if served == "other bytes":
        reg.on(f"/a/b/manifests/{OTHER}", Reply(200, fx.S2, [("Content-Type", fx.S2_TYPE)]))
    for _ in range(2):
        assert harness.run(scheduled_import(reg)).result.tags_imported == 1
    reg.forget_requests()
    assert harness.run(scheduled_import(reg)).result.tags_imported == 1
    assert reg.requests == ["GET /v2/a/b/manifests/t"]
    assert harness.stream() == before


def test_alternating_head_digests_are_each_imported(harness, reg):
    """Two servers behind one name: each response is verified and each change recorded."""
    harness.run(scheduled_import(reg))
    digests = itertools.cycle([OCI_DIGEST, S2_DIGEST])
    reg.change("/a/b/manifests/t", lambda r, _: r.with_header(CLAIM, next(digests)), method="HEAD")
    for _ in range(4):
        done = harness.run(scheduled_import(reg))
        assert (done.result.tags_imported, done.result.tags_failed) == (1, 0)
    (tag,) = harness.stream().status.tags
    assert [event.image for event in tag.items] == [
        S2_DIGEST,
        OCI_DIGEST,
        S2_DIGEST,
        OCI_DIGEST,
        S2_DIGEST,
    ]


@pytest.mark.case("import 9-10")
def test_failure_differing_only_in_ports_keeps_condition(harness, reg):
    ports = iter(range(41234, 41300))

    def refuse(_):
        text = f"read udp 10.0.0.5:{next(ports)}->10.0.0.1:53: i/o timeout"
        return error_reply(403, "DENIED", text)

    harness.run(scheduled_import(reg))
    reg.on("/a/b/manifests/.*", refuse)
    harness.run(scheduled_import(reg))
    first = condition(harness)
    harness.run(scheduled_import(reg))
    assert condition(harness) == first
    assert "i/o timeout" in first.message


def test_check_that_fetched_manifest_sends_no_further_request(harness, reg):
    """Without digests in HEADs: a conditional GET while nothing changes, one GET after a change."""
    reg.content.head_digest = False
    harness.run(scheduled_import(reg))
    harness.check_now()
    harness.check_now()
    reg.forget_requests()
    harness.check_now()
    assert reg.requests == ["GET /v2/a/b/manifests/t"]
    assert reg.log[-1].headers["if-none-match"] == f'"{S2_DIGEST}"'
    reg.tag("a/b", "t", OCI_DIGEST)
    reg.forget_requests()
    harness.check_now()
    assert event(harness).image == OCI_DIGEST
    assert [line for line in reg.requests if "manifests" in line] == ["GET /v2/a/b/manifests/t"]
