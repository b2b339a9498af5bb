"""Lists of tags that break off, lead in circles or shrink suddenly: nothing is moved by them."""

from datetime import timedelta

import pytest
from sqlalchemy import update

from models.job_types import Asker
from models.store.changes.change_log import latest_version
from models.store.database.session import transaction
from models.store.events.event_store import list_events
from models.store.streams.known_tag_lists import load_tag_lists
from models.store.tables.tag_lists import TagListRow
from tests import fixtures as fx
from tests.fakeregistry.content import error_reply
from tests.fakeregistry.wire import Reply
from tests.integration.imports.conftest import img, isi

LIST = "/v2/a/b/tags/list"
TAGS = [f"t{number:02}" for number in range(24)]


@pytest.fixture
def full(fake):
    """A registry whose `a/b` has many tags of one image."""
    digest = fake.push("a/b", manifest=fx.S2, media_type=fx.S2_TYPE, config=fx.CFG_A)
    for tag in TAGS:
        fake.tag("a/b", tag, digest)
    return fake


def take(house, fake, *, by=Asker.API, images=(), **job):
    """One import of the whole repository; its listing's failure, if it is one."""
    done = house.run(isi(*images, repository=f"{fake.host}/a/b"), asker=by, **job)
    return done.result.listing


def events(house):
    with transaction(house.engine, write=False) as session:
        found = list_events(session, namespace="ns", limit=100)
    return [(each["type"], each["reason"], each["count"]) for each in found]


def version(house):
    with transaction(house.engine, write=False) as session:
        return latest_version(session)


def known(house, fake):
    with transaction(house.engine, write=False) as session:
        [found] = load_tag_lists(session, [f"{fake.host}/a/b"]).values()
    return found


def tags(house):
    return {history.tag: history.items for history in house.stream().status.tags}


def shrink(fake, left):
    for tag in TAGS[left:]:
        fake.delete("a/b", tag)


def let_pass(house, **time):
    """Let the first doubt be that much older."""
    with transaction(house.engine) as session:
        then = TagListRow.shrunk_at
        [row] = session.query(TagListRow).all()
        session.execute(update(TagListRow).values({then: row.shrunk_at - timedelta(**time)}))


def test_a_list_that_shrank_suddenly_moves_nothing_until_somebody_asks_again(house, full):
    take(house, full)
    before = tags(house)
    shrink(full, 3)
    full.push("a/b", tag="t00", manifest=fx.OCI, media_type=fx.OCI_TYPE, config=fx.CFG_A)
    full.forget_requests()
    failed = take(house, full)
    assert "shrank suddenly, from 24 tags to 3" in failed["message"]
    assert "import again" in failed["message"]
    assert [line for line in full.requests if "manifests" in line] == []
    assert tags(house) == before
    assert events(house) == [("Warning", "TagListShrunk", 1)]
    assert take(house, full) is None
    assert tags(house)["t00"][0].image == fx.digest_of(fx.OCI)
    assert tags(house).keys() == before.keys()
    assert known(house, full).tags == 3


def test_the_clock_believes_a_short_list_when_it_stays_short(house, full):
    take(house, full, by=Asker.SCHEDULE)
    shrink(full, 3)
    assert take(house, full, by=Asker.SCHEDULE)
    let_pass(house, minutes=9)
    assert take(house, full, by=Asker.SCHEDULE)
    let_pass(house, minutes=1)
    assert take(house, full, by=Asker.SCHEDULE) is None
    assert events(house) == [("Warning", "TagListShrunk", 2)]


def test_a_list_that_came_back_is_doubted_anew_when_it_shrinks_again(house, full):
    take(house, full)
    rule = full.on(LIST, Reply(200, b'{"tags":["t00"]}', [("Content-Type", "application/json")]))
    assert take(house, full)
    full.drop(rule)
    assert take(house, full) is None
    assert known(house, full).shrunk is None
    full.on(LIST, Reply(200, b'{"tags":["t00"]}', [("Content-Type", "application/json")]))
    assert take(house, full)


def test_a_look_that_stores_nothing_shows_what_there_is(house, full):
    take(house, full)
    shrink(full, 3)
    assert house.run(isi(repository=f"{full.host}/a/b", do=False)).result.listing is None
    assert take(house, full, dry_run=True) is None
    assert known(house, full).tags == 24
    assert events(house) == []


def test_the_images_of_a_request_are_imported_beside_a_doubted_list(house, full):
    take(house, full)
    shrink(full, 3)
    full.push("a/b", tag="t01", manifest=fx.OCI, media_type=fx.OCI_TYPE, config=fx.CFG_A)
    assert take(house, full, images=[img(f"{full.host}/a/b:t01", to="t01")])
    assert tags(house)["t01"][0].image == fx.digest_of(fx.OCI)


@pytest.mark.case("registry 24", "registry 30")
@pytest.mark.parametrize("how", ["fails", "circles"])
def test_a_list_that_breaks_off_moves_nothing_and_is_told(house, full, how):
    take(house, full)
    before, stored = tags(house), house.stream()
    full.content.page_size = 10
    if how == "fails":
        page = error_reply(500, "UNKNOWN", "oops")
        full.on(LIST, lambda r: page if "last" in r.query else None)
    else:
        first = f'<{LIST}?n=1000>; rel="next"'
        full.header(LIST, "Link", first)
    for _ in range(2):
        failed = take(house, full)
        assert "the list of tags is incomplete" in failed["message"]
    assert tags(house) == before
    assert house.stream() == stored
    assert events(house) == [("Warning", "TagListIncomplete", 2)]
    assert known(house, full).tags == 24


def test_a_repository_that_is_as_it_was_is_imported_without_any_write(house, full):
    for _ in range(2):
        take(house, full)
    with transaction(house.engine, write=False) as session:
        row = [(each.tags, each.shrunk) for each in session.query(TagListRow).all()]
    stored = house.stream()
    take(house, full)
    assert (house.stream(), known(house, full).tags) == (stored, row[0][0])
    assert events(house) == []


def test_what_the_clock_finds_is_told(house, reg):
    images = [img(f"{reg.host}/a/b:{tag}", to=tag, scheduled=True) for tag in ("t", "u")]
    house.run(isi(*images))
    house.look()
    before = version(house)
    house.look()
    assert (events(house), version(house)) == ([], before)
    reg.tag("a/b", "t", fx.digest_of(fx.OCI))
    reg.delete("a/b", "u")
    house.look()
    house.look()
    assert sorted(events(house)) == [("Normal", "TagMoved", 1), ("Warning", "ImportFailed", 1)]
    reg.tag("a/b", "u", fx.digest_of(fx.S2))
    reg.push("a/b", tag="u", manifest=fx.S2, media_type=fx.S2_TYPE)
    house.look()
    assert ("Normal", "ImportRecovered", 1) in events(house)
