"""Tag lists that are incomplete, loop or shrink suddenly change nothing."""

from datetime import timedelta

import pytest
from sqlalchemy import update

from models.job_types import JobTrigger
from models.store.changes.change_log import latest_version
from models.store.database.session import transaction
from models.store.events.event_store import list_events
from models.store.streams.known_tag_lists import load_tag_lists
from models.store.tables.tag_lists import TagListRow
from tests import fixtures as fx
from tests.fakeregistry.content import error_reply
from tests.fakeregistry.wire import Reply
from tests.integration.imports.import_requests import img, isi

LIST = "/v2/a/b/tags/list"
TAGS = [f"t{number:02}" for number in range(24)]


@pytest.fixture
def many_tags(fake):
    """A registry whose `a/b` has many tags of one image."""
    digest = fake.push("a/b", manifest=fx.S2, media_type=fx.S2_TYPE, config=fx.CFG_A)
    for tag in TAGS:
        fake.tag("a/b", tag, digest)
    return fake


def import_all(harness, fake, *, by=JobTrigger.API, images=(), **job):
    """Import the whole repository once; return the failure of its listing, or None."""
    done = harness.run(isi(*images, repository=f"{fake.host}/a/b"), trigger=by, **job)
    return done.result.listing


def events(harness):
    with transaction(harness.engine, write=False) as session:
        found = list_events(session, namespace="ns", limit=100)
    return [(each["type"], each["reason"], each["count"]) for each in found]


def version(harness):
    with transaction(harness.engine, write=False) as session:
        return latest_version(session)


def known(harness, fake):
    with transaction(harness.engine, write=False) as session:
        [found] = load_tag_lists(session, [f"{fake.host}/a/b"]).values()
    return found


def tags(harness):
    return {history.tag: history.items for history in harness.stream().status.tags}


def shrink(fake, left):
    for tag in TAGS[left:]:
        fake.delete("a/b", tag)


def age_first_doubt(harness, **time):
    """Make the first doubt about the list older by that time."""
    with transaction(harness.engine) as session:
        then = TagListRow.shrunk_at
        [row] = session.query(TagListRow).all()
        session.execute(update(TagListRow).values({then: row.shrunk_at - timedelta(**time)}))


def test_shrunken_tag_list_changes_nothing_until_second_import(harness, many_tags):
    import_all(harness, many_tags)
    before = tags(harness)
    shrink(many_tags, 3)
    many_tags.push("a/b", tag="t00", manifest=fx.OCI, media_type=fx.OCI_TYPE, config=fx.CFG_A)
    many_tags.forget_requests()
    failed = import_all(harness, many_tags)
    assert "shrank suddenly, from 24 tags to 3" in failed["message"]
    assert "import again" in failed["message"]
    assert [line for line in many_tags.requests if "manifests" in line] == []
    assert tags(harness) == before
    assert events(harness) == [("Warning", "TagListShrunk", 1)]
    assert import_all(harness, many_tags) is None
    assert tags(harness)["t00"][0].image == fx.digest_of(fx.OCI)
    assert tags(harness).keys() == before.keys()
    assert known(harness, many_tags).tags == 3


def test_scheduled_import_accepts_persistently_short_list(harness, many_tags):
    import_all(harness, many_tags, by=JobTrigger.SCHEDULE)
    shrink(many_tags, 3)
    assert import_all(harness, many_tags, by=JobTrigger.SCHEDULE)
    age_first_doubt(harness, minutes=9)
    assert import_all(harness, many_tags, by=JobTrigger.SCHEDULE)
    age_first_doubt(harness, minutes=1)
    assert import_all(harness, many_tags, by=JobTrigger.SCHEDULE) is None
    assert events(harness) == [("Warning", "TagListShrunk", 2)]


def test_recovered_tag_list_is_doubted_when_shrinking_again(harness, many_tags):
    import_all(harness, many_tags)
    rule = many_tags.on(
        LIST, Reply(200, b'{"tags":["t00"]}', [("Content-Type", "application/json")])
    )
    assert import_all(harness, many_tags)
    many_tags.drop(rule)
    assert import_all(harness, many_tags) is None
    assert known(harness, many_tags).shrunk is None
    many_tags.on(LIST, Reply(200, b'{"tags":["t00"]}', [("Content-Type", "application/json")]))
    assert import_all(harness, many_tags)


def test_dry_run_accepts_shrunken_list_and_stores_nothing(harness, many_tags):
    import_all(harness, many_tags)
    shrink(many_tags, 3)
    assert harness.run(isi(repository=f"{many_tags.host}/a/b", do=False)).result.listing is None
    assert import_all(harness, many_tags, dry_run=True) is None
    assert known(harness, many_tags).tags == 24
    assert events(harness) == []


def test_images_are_imported_beside_doubted_tag_list(harness, many_tags):
    import_all(harness, many_tags)
    shrink(many_tags, 3)
    many_tags.push("a/b", tag="t01", manifest=fx.OCI, media_type=fx.OCI_TYPE, config=fx.CFG_A)
    assert import_all(harness, many_tags, images=[img(f"{many_tags.host}/a/b:t01", to="t01")])
    assert tags(harness)["t01"][0].image == fx.digest_of(fx.OCI)


@pytest.mark.case("registry 24", "registry 30")
@pytest.mark.parametrize("fault", ["fails", "circles"])
def test_incomplete_tag_list_changes_nothing_and_is_reported(harness, many_tags, fault):
    import_all(harness, many_tags)
    before, stored = tags(harness), harness.stream()
    many_tags.content.page_size = 10
    if fault == "fails":
        page = error_reply(500, "UNKNOWN", "oops")
        many_tags.on(LIST, lambda r: page if "last" in r.query else None)
    else:
        first = f'<{LIST}?n=1000>; rel="next"'
        many_tags.header(LIST, "Link", first)
    for _ in range(2):
        failed = import_all(harness, many_tags)
        assert "the list of tags is incomplete" in failed["message"]
    assert tags(harness) == before
    assert harness.stream() == stored
    assert events(harness) == [("Warning", "TagListIncomplete", 2)]
    assert known(harness, many_tags).tags == 24


def test_unchanged_repository_import_writes_nothing(harness, many_tags):
    for _ in range(2):
        import_all(harness, many_tags)
    with transaction(harness.engine, write=False) as session:
        row = [(each.tag_count, each.shrunk_tag_count) for each in session.query(TagListRow).all()]
    stored = harness.stream()
    import_all(harness, many_tags)
    assert (harness.stream(), known(harness, many_tags).tags) == (stored, row[0][0])
    assert events(harness) == []


def test_scheduled_check_results_write_events(harness, reg):
    images = [img(f"{reg.host}/a/b:{tag}", to=tag, scheduled=True) for tag in ("t", "u")]
    harness.run(isi(*images))
    harness.check_now()
    before = version(harness)
    harness.check_now()
    assert (events(harness), version(harness)) == ([], before)
    reg.tag("a/b", "t", fx.digest_of(fx.OCI))
    reg.delete("a/b", "u")
    harness.check_now()
    harness.check_now()
    assert sorted(events(harness)) == [("Normal", "TagUpdated", 1), ("Warning", "ImportFailed", 1)]
    reg.tag("a/b", "u", fx.digest_of(fx.S2))
    reg.push("a/b", tag="u", manifest=fx.S2, media_type=fx.S2_TYPE)
    harness.check_now()
    assert ("Normal", "ImportRecovered", 1) in events(harness)
