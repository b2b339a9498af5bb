"""What the clock does to scheduled tags: one HEAD where nothing changed, an import where it did."""

import pytest

from models.jobs import Asker
from models.store.jobs import list_jobs
from models.store.session import transaction
from tests import fixtures as fx
from tests.integration.imports.conftest import img, isi


def scheduled(house, reg, *tags, name="is", **policy):
    """A stream whose tags of `a/b` are scheduled and imported."""
    images = [img(f"{reg.host}/a/b:{tag}", to=tag, scheduled=True, **policy) for tag in tags]
    house.run(isi(*images, name=name))
    reg.forget_requests()


def heads(reg):
    return [line for line in reg.requests if line.startswith("HEAD")]


def jobs_of_the_clock(house):
    with transaction(house.engine, write=False) as session:
        return [job for job in list_jobs(session) if job.request.asker is Asker.SCHEDULE]


@pytest.mark.case("import 7-18")
def test_an_unchanged_tag_costs_one_head_and_only_its_row_moves(house, reg):
    scheduled(house, reg, "t")
    before = house.stream()
    house.look()
    after = house.calendar()["is:t"]
    assert reg.requests == ["HEAD /v2/a/b/manifests/t"]
    assert house.stream() == before
    assert (after.decision, after.failures, after.batch) == ("same", 0, None)
    assert (after.due - after.checked).total_seconds() >= 0.9 * 900
    assert jobs_of_the_clock(house) == []


@pytest.mark.case("import 7-19")
def test_a_moved_tag_is_imported_and_stays_scheduled(house, reg):
    scheduled(house, reg, "t")
    before = house.stream()
    digest = reg.push("a/b", tag="t", manifest=fx.OCI, media_type=fx.OCI_TYPE, config=fx.CFG_A)
    house.look()
    [history] = house.stream().status.tags
    [wish] = house.stream().spec.tags
    assert [event.image for event in history.items] == [
        digest,
        before.status.tags[0].items[0].image,
    ]
    assert history.items[0].generation == before.metadata.generation + 1
    assert wish.import_policy.scheduled
    [job] = jobs_of_the_clock(house)
    assert (job.state, job.result.changed) == ("succeeded", 1)
    assert house.calendar()["is:t"].decision == "moved"


def test_many_followers_of_one_source_share_one_head_and_one_fetch(house, reg):
    for number in range(5):
        scheduled(house, reg, "t", name=f"s{number}")
    house.look()
    assert reg.requests == ["HEAD /v2/a/b/manifests/t"]
    reg.forget_requests()
    digest = reg.push("a/b", tag="t", manifest=fx.OCI, media_type=fx.OCI_TYPE, config=fx.CFG_A)
    house.look()
    assert sorted(set(reg.requests)) == sorted(reg.requests)
    assert len(heads(reg)) == 1
    for number in range(5):
        assert house.stream(f"s{number}").status.tags[0].items[0].image == digest
