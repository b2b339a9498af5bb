"""Looking again at what is known: one HEAD where nothing changed (`import.md` B2)."""

import itertools

import pytest

from tests import fixtures as fx
from tests.fakeregistry.content import error_reply
from tests.fakeregistry.wire import Reply
from tests.integration.imports import wares
from tests.integration.imports.conftest import img, isi

D1, D2 = fx.digest_of(fx.S2), fx.digest_of(fx.OCI)
OTHER = f"sha256:{'e' * 64}"
CLAIM = "Docker-Content-Digest"


def scheduled(fake, tag="t"):
    return isi(img(f"{fake.host}/a/b:{tag}", to="x", scheduled=True))


def event(house):
    (tag,) = house.stream().status.tags
    return tag.items[0]


def condition(house):
    (tag,) = house.stream().status.tags
    (found,) = tag.conditions
    return found


@pytest.mark.case("import 9-1")
def test_a_tag_that_did_not_move_costs_one_head_and_writes_nothing(house, reg):
    house.run(scheduled(reg))
    house.run(scheduled(reg))  # the first repetition settles generations
    before = house.stream()
    reg.forget_requests()
    done = house.run(scheduled(reg))
    assert reg.requests == ["HEAD /v2/a/b/manifests/t"]
    assert (done.result.imported, done.result.changed) == (1, 0)
    after = house.stream()
    assert [tag.items for tag in after.status.tags] == [tag.items for tag in before.status.tags]


@pytest.mark.case("import 9-2")
def test_an_index_that_did_not_move_costs_one_head_though_its_child_is_what_is_stored(house, fake):
    digest = wares.push_index(fake)
    house.run(scheduled(fake, "list"))
    assert event(house).image == fx.digest_of(fx.OCI_BARE) != digest
    fake.forget_requests()
    house.run(scheduled(fake, "list"))
    assert fake.requests == ["HEAD /v2/a/b/manifests/list"]
    assert event(house).image == fx.digest_of(fx.OCI_BARE)


@pytest.mark.case("import 9-3")
@pytest.mark.parametrize("without", ["method", "digest"])
def test_where_a_head_tells_nothing_the_manifest_is_fetched(house, reg, without):
    house.run(scheduled(reg))
    if without == "method":
        reg.fail_next("/a/b/manifests/t", status=405, method="HEAD", times=9)
    else:
        reg.content.head_digest = False
    reg.forget_requests()
    done = house.run(scheduled(reg))
    assert (done.result.imported, done.result.failed) == (1, 0)
    assert reg.requests == ["HEAD /v2/a/b/manifests/t", "GET /v2/a/b/manifests/t"]


@pytest.mark.case("registry 42")
def test_a_tag_that_moved_is_fetched_by_the_digest_that_was_seen(house, reg):
    house.run(scheduled(reg))
    reg.tag("a/b", "t", D2)
    reg.forget_requests()
    done = house.run(scheduled(reg))
    assert done.result.changed == 1
    assert event(house).image == D2
    assert reg.requests[:2] == ["HEAD /v2/a/b/manifests/t", f"GET /v2/a/b/manifests/{D2}"]


@pytest.mark.case("registry 54")
def test_what_the_head_lied_about_is_found_out(house, reg):
    house.run(scheduled(reg))
    reg.tag("a/b", "t", D2)
    reg.claim_digest("/a/b/manifests/t", fx.L1, method="HEAD")
    done = house.run(scheduled(reg))
    assert (done.result.imported, done.result.changed) == (1, 1)
    assert event(house).image == D2


@pytest.mark.parametrize("served", ["nothing", "other bytes"])
def test_a_head_that_keeps_lying_is_not_asked_any_more(house, reg, served):
    """What the tag itself serves is what counts, however the digest is answered."""
    house.run(scheduled(reg))
    house.run(scheduled(reg))  # the first repetition settles generations
    before = house.stream()
    reg.claim_digest("/a/b/manifests/t", OTHER, method="HEAD")
    if served == "other bytes":
        reg.on(f"/a/b/manifests/{OTHER}", Reply(200, fx.S2, [("Content-Type", fx.S2_TYPE)]))
    for _ in range(2):
        assert house.run(scheduled(reg)).result.imported == 1
    reg.forget_requests()
    assert house.run(scheduled(reg)).result.imported == 1
    assert reg.requests == ["GET /v2/a/b/manifests/t"]
    assert house.stream() == before


def test_a_head_that_says_something_else_each_time_is_taken_at_its_digest(house, reg):
    """Two machines behind one name: each answer is verified, and each move is on record."""
    house.run(scheduled(reg))
    said = itertools.cycle([D2, D1])
    reg.change("/a/b/manifests/t", lambda r, _: r.with_header(CLAIM, next(said)), method="HEAD")
    for _ in range(4):
        done = house.run(scheduled(reg))
        assert (done.result.imported, done.result.failed) == (1, 0)
    (tag,) = house.stream().status.tags
    assert [event.image for event in tag.items] == [D1, D2, D1, D2, D1]


@pytest.mark.case("import 9-10")
def test_a_failure_that_differs_only_in_ports_is_the_same_failure(house, reg):
    ports = iter(range(41234, 41300))

    def refuse(_):
        text = f"read udp 10.0.0.5:{next(ports)}->10.0.0.1:53: i/o timeout"
        return error_reply(403, "DENIED", text)

    house.run(scheduled(reg))
    reg.on("/a/b/manifests/.*", refuse)
    house.run(scheduled(reg))
    first = condition(house)
    house.run(scheduled(reg))
    assert condition(house) == first
    assert "i/o timeout" in first.message


def test_a_check_that_had_to_fetch_the_manifest_is_all_that_is_asked(house, reg):
    """Without digests in HEADs: on a condition while nothing moves, once when something did."""
    reg.content.head_digest = False
    house.run(scheduled(reg))
    house.look()
    house.look()
    reg.forget_requests()
    house.look()
    assert reg.requests == ["GET /v2/a/b/manifests/t"]
    assert reg.log[-1].headers["if-none-match"] == f'"{D1}"'
    reg.tag("a/b", "t", D2)
    reg.forget_requests()
    house.look()
    assert event(house).image == D2
    assert [line for line in reg.requests if "manifests" in line] == ["GET /v2/a/b/manifests/t"]
