"""Tags that track tags and images (imports-6.6 to imports-6.10)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import InvalidObjectError
from models.resources.stream import NamedTagEventList, TagEvent
from models.streams.imports.import_rules import ImportRules
from models.streams.tags.tag_tracking import track_tags, verify_tags
from models.streams.writes.stream_update import apply_write
from tests.unit.streams.import_simulation import (
    DIGEST_1,
    DIGEST_2,
    DIGEST_3,
    NOON,
    event,
    history,
    items,
    spec_tag,
    stream_of,
)

RULES = ImportRules()
BEFORE = NOON.replace(hour=3)


def tracking_tag(name, target, **rest):
    return spec_tag(name, target, kind="ImageStreamTag", **rest)


def image_tag(name, target, **rest):
    return spec_tag(name, target, kind="ImageStreamImage", **rest)


def write(old, new, *others, rules=RULES):
    """Apply a write of a user; `others` are the other streams that exist."""
    known = {(each.metadata.namespace, each.metadata.name): each for each in others}
    return apply_write(old, new, now=NOON, rules=rules, lookup=lambda *key: known.get(key))


def references(stream, tag):
    found = stream.status_tag(tag)
    return [] if found is None else [e.docker_image_reference for e in found.items]


def with_spec(stream, *spec_tags):
    return stream.replace(
        spec=stream_of([tag.wire() for tag in stream.spec.tags] + list(spec_tags)).spec
    )


@pytest.mark.case("import 6-4", "import 6-5")
def test_write_records_event_of_reference_tag_at_once():
    text = "registry:5000/ns/stream:t1"
    stream = stream_of(
        [spec_tag("t1", text, reference=True), spec_tag("t2", "a/b:1"), spec_tag("t3")]
    )
    made = write(None, stream)
    assert (references(made, "t1"), items(made, "t1")) == ([text], [("", 1)])
    assert (references(made, "t2"), references(made, "t3")) == ([], [])


@pytest.mark.case("import 6-6", "import 6-9")
def test_write_copies_event_of_other_stream_with_created():
    source = stream_of(
        status=[history("other", event("q.io/x@" + DIGEST_1, DIGEST_1, 9, at=BEFORE))], name="other"
    )
    made = write(
        None, stream_of([tracking_tag("t1", "other:other"), tracking_tag("t2", "t1")]), source
    )
    (copied,) = made.status_tag("t1").items
    assert (copied.image, copied.generation, copied.created) == (DIGEST_1, 1, BEFORE)
    assert items(made, "t2") == [(DIGEST_1, 1)]


DIGEST_E3, DIGEST_293 = "sha256:" + "e3b0" * 16, "sha256:" + "293a" * 16


@pytest.mark.case("import 6-7")
def test_write_of_tag_to_older_image_updates_tracking_tags():
    other = history(
        "other", event("o/o@" + DIGEST_293, DIGEST_293), event("e/e@" + DIGEST_E3, DIGEST_E3)
    )
    stream = stream_of(
        [tracking_tag("t1", "stream:other"), tracking_tag("t2", "stream:t1")],
        [
            other,
            history("t1", event("o/o@" + DIGEST_293, DIGEST_293)),
            history("t2", event("o/o@" + DIGEST_293, DIGEST_293)),
        ],
        name="stream",
    )
    updated = with_spec(stream, image_tag("t1", "stream@" + DIGEST_E3))
    made = write(stream, updated)
    for tag in ("t1", "t2"):
        assert [one for one, _ in items(made, tag)] == [DIGEST_E3, DIGEST_293]
    assert items(made, "other") == [(DIGEST_293, 1), (DIGEST_E3, 1)]


@pytest.mark.case("import 6-8")
def test_write_resolves_image_tag_by_prefix_of_name():
    stream = stream_of([], [history("other", event("r/r", "12345"))], name="stream")
    made = write(stream, with_spec(stream, image_tag("t1", "stream@123")))
    assert items(made, "t1") == [("12345", 2)]


@pytest.mark.case("import 6-10")
def test_write_of_reference_tag_prepends_bare_reference():
    stream = stream_of(
        [spec_tag("t3", "x/y:1")], [history("t3", event("x/y@" + DIGEST_E3, DIGEST_E3))]
    )
    updated = with_spec(stream, spec_tag("t3", "x/y@" + DIGEST_1, reference=True))
    made = write(stream, updated)
    assert references(made, "t3") == ["x/y@" + DIGEST_1, "x/y@" + DIGEST_E3]
    assert items(made, "t3")[0] == ("", 2)


@pytest.mark.case("import 6-11")
@pytest.mark.parametrize("target", ["2.0", "ruby:2.0"])
def test_track_tags_updates_only_tags_of_stream(target):
    spec = [
        tracking_tag("latest", target),
        tracking_tag("elsewhere", "other:2.0"),
        tracking_tag("foreign", target, namespace="another"),
        image_tag("kind", "ruby@" + DIGEST_1),
    ]
    stream = stream_of(spec, [history("2.0", event("r@" + DIGEST_1, DIGEST_1))], name="ruby")
    updated = stream.with_status_tag(
        NamedTagEventList.model_validate(
            history("2.0", event("r@" + DIGEST_2, DIGEST_2, 2), event("r@" + DIGEST_1, DIGEST_1))
        )
    )
    made, errors = track_tags(updated, (), old=stream, now=NOON, rules=RULES)
    assert errors == []
    assert items(made, "latest") == [(DIGEST_2, 2)]
    assert [tag.tag for tag in made.status.tags] == ["2.0", "latest"]
    again, _ = track_tags(updated, (), old=updated, now=NOON, rules=RULES)
    assert again is updated


@pytest.mark.case("import 6-13")
def test_write_of_new_tracking_tags_records_events_and_keeps_sources():
    short_id = "0558a959992c"
    second = "sha256:" + short_id.ljust(64, "0")
    a = stream_of(
        status=[history("t", event("q.io/a@" + DIGEST_3, DIGEST_3, 1, at=BEFORE))], name="a"
    )
    old = stream_of(
        [spec_tag("t", "q.io/b:t", generation=2)],
        [
            history(
                "t",
                event("q.io/b@" + DIGEST_2, DIGEST_2, 2, at=BEFORE),
                event("q.io/b@" + DIGEST_1, DIGEST_1, 1),
            ),
            history("u", event("q.io/b@" + second, second, 1)),
        ],
        name="c",
        generation=2,
    )
    new = with_spec(
        old,
        tracking_tag("late", "t"),
        image_tag("byid", "c@" + DIGEST_1),
        image_tag("byid2", short_id),
        tracking_tag("cross", "a:t"),
        tracking_tag("unknown", "a:nope"),
        tracking_tag("self", "self"),
        tracking_tag("cir1", "cir2"),
        tracking_tag("cir2", "cir1"),
    )
    made = write(old, new, a)
    assert items(made, "late") == [(DIGEST_2, 3)]
    assert made.status_tag("late").items[0].created == BEFORE
    assert items(made, "byid") == [(DIGEST_1, 3)]
    assert made.status_tag("byid").items[0].created == NOON
    assert items(made, "byid2") == [(second, 3)]
    (cross,) = made.status_tag("cross").items
    assert (cross.image, cross.generation, cross.created) == (DIGEST_3, 3, BEFORE)
    for untracked in ("unknown", "self", "cir1", "cir2"):
        assert made.status_tag(untracked) is None
    assert items(made, "t") == [(DIGEST_2, 2), (DIGEST_1, 1)]


FORM = "must be of the form <tag>, <repo>:<tag>, <id>, or <repo>@<id>"
GENERATING = "error generating tag event: "


@pytest.mark.case("import 6-14")
@pytest.mark.parametrize(
    ("wanted", "reason", "message"),
    [
        (tracking_tag("x", "a:b:c"), "FieldValueInvalid", f'Invalid value: "a:b:c": {FORM}'),
        (tracking_tag("x", "nostream:t"), "FieldValueNotFound", 'Not found: "nostream:t"'),
        (
            tracking_tag("x", ":t"),
            "FieldValueInvalid",
            'Invalid value: ":t": unable to retrieve image stream: Name parameter required.',
        ),
        (
            image_tag("x", "c@sha256:ffff"),
            "FieldValueInvalid",
            (
                f'Invalid value: "c@sha256:ffff": {GENERATING}imagestreamimage.image.openshift.io '
                '"sha256:ffff" not found'
            ),
        ),
        (
            image_tag("x", "c@sha256:"),
            "FieldValueInvalid",
            (
                f'Invalid value: "c@sha256:": {GENERATING}Operation cannot be fulfilled on '
                'imagestreamimage.image.openshift.io "sha256:": multiple images match the prefix '
                f'"sha256:": {DIGEST_1}, {DIGEST_2}'
            ),
        ),
    ],
)
def test_write_rejects_tracking_tag_without_valid_source(wanted, reason, message):
    old = stream_of(
        [],
        [history("t", event("q/b@" + DIGEST_2, DIGEST_2), event("q/b@" + DIGEST_1, DIGEST_1))],
        name="c",
    )
    with pytest.raises(InvalidObjectError) as caught:
        write(old, with_spec(old, wanted))
    (error,) = caught.value.errors
    assert (error.field, error.reason, error.message) == ("spec.tags[x].from.name", reason, message)


@pytest.mark.case("import 6-14")
@pytest.mark.parametrize("wanted", [spec_tag("x", ""), spec_tag("x", "a", kind="Unknown")])
def test_write_reports_form_of_source_before_validation(wanted):
    with pytest.raises(InvalidObjectError) as caught:
        write(None, stream_of([wanted]))
    assert caught.value.errors[0].message.endswith(FORM)


@pytest.mark.case("import 6-15")
def test_write_replaces_local_registry_repository_of_source():
    rules = ImportRules(internal_hostname="internal:5000")
    push = stream_of(
        status=[history("v1", event("internal:5000/ns/push@" + DIGEST_1, DIGEST_1))], name="push"
    )
    made = write(
        None,
        stream_of(
            [
                tracking_tag("a", "push:v1"),
                tracking_tag("b", "push:v1", reference=True),
                image_tag("c", "push@" + DIGEST_1),
            ],
            name="dst",
        ),
        push,
        rules=rules,
    )
    assert references(made, "a") == references(made, "c") == ["internal:5000/ns/dst@" + DIGEST_1]
    assert references(made, "b") == ["internal:5000/ns/push@" + DIGEST_1]


@pytest.mark.case("import 6-40")
def test_write_of_circular_tracking_tags_terminates():
    old = stream_of([], [history("a", event("r@" + DIGEST_1, DIGEST_1))])
    made = write(old, with_spec(old, tracking_tag("a", "b"), tracking_tag("b", "a")))
    assert items(made, "a") == items(made, "b") == [(DIGEST_1, 2)]


def foreign(name, namespace, target, kind="ImageStreamTag"):
    return spec_tag(name, target, kind=kind, namespace=namespace)


@pytest.mark.case("import 6-16", "import 6-19")
def test_verify_tags_reviews_each_foreign_stream_once():
    stream = stream_of(
        [
            foreign("latest", "otherns", "otherstream:latest"),
            foreign("other", "otherns", "otherstream:other"),
            foreign("third", "secondns", "something:x"),
            foreign("fourth", "secondns", "something@" + DIGEST_1, kind="ImageStreamImage"),
        ]
    )
    reviewed = []

    def review(namespace, name):
        reviewed.append((namespace, name))
        return {"otherns": "foo", "secondns": "bar"}[namespace]

    errors = verify_tags(stream, {tag.name for tag in stream.spec.tags}, review)
    assert {str(error) for error in errors} == {
        'spec.tags[latest].from: Forbidden: otherns/otherstream: "" ""- foo',
        'spec.tags[other].from: Forbidden: otherns/otherstream: "" ""- foo',
        'spec.tags[third].from: Forbidden: secondns/something: "" ""- bar',
        'spec.tags[fourth].from: Forbidden: secondns/something: "" ""- bar',
    }
    assert sorted(reviewed) == [("otherns", "otherstream"), ("secondns", "something")]


@pytest.mark.case("import 6-17")
def test_verify_tags_denial_without_reason_has_none():
    stream = stream_of([foreign("latest", "otherns", "otherstream:latest")])
    (error,) = verify_tags(stream, {"latest"}, lambda *_: "")
    assert str(error) == 'spec.tags[latest].from: Forbidden: otherns/otherstream: "" ""'


@pytest.mark.case("import 6-18")
def test_verify_tags_skips_unchanged_own_and_docker_tags():
    stream = stream_of(
        [
            foreign("old", "otherns", "s:t"),
            tracking_tag("own", "s:t", namespace="ns"),
            spec_tag("d", "x:1"),
        ]
    )
    verify_tags(stream, {"own", "d"}, lambda *_: pytest.fail("no review is due"))


names = st.sampled_from("abcdef")


@given(st.dictionaries(names, names), names)
def test_track_tags_terminates_and_updates_all_downstream_tags(follows, updated):
    """For any circles and chains, and whichever tag is updated."""
    spec = [tracking_tag(name, target) for name, target in follows.items()]
    old = stream_of(spec, [history(name, event("r@" + DIGEST_1, DIGEST_1)) for name in "abcdef"])
    fresh = TagEvent.model_validate(event("r@" + DIGEST_2, DIGEST_2, 2))
    head = NamedTagEventList(tag=updated, items=[fresh, *old.status_tag(updated).items])
    made, errors = track_tags(old.with_status_tag(head), (), old=old, now=NOON, rules=RULES)
    assert errors == []

    def leads_to_updated(name):
        seen = set()
        while name in follows and name not in seen and name != updated:
            seen.add(name)
            name = follows[name]
        return name == updated

    for name in "abcdef":
        wanted = DIGEST_2 if leads_to_updated(name) else DIGEST_1
        assert items(made, name)[0][0] == wanted
        assert len(items(made, name)) <= 2


def test_track_tags_updates_long_chain_in_one_call():
    count = 3_000
    spec = [tracking_tag(f"t{number}", f"t{number - 1}") for number in range(1, count)]
    old = stream_of(spec, [history("t0", event("r@" + DIGEST_1, DIGEST_1))])
    head = stream_of(
        status=[
            history("t0", event("r@" + DIGEST_2, DIGEST_2, 2), event("r@" + DIGEST_1, DIGEST_1))
        ]
    )
    made, _ = track_tags(
        old.with_status_tag(head.status.tags[0]), (), old=old, now=NOON, rules=RULES
    )
    assert {items(made, f"t{number}")[0] for number in range(count)} == {(DIGEST_2, 2)}
