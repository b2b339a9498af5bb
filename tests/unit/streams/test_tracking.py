"""Tags that follow tags and images (`import.md` 6.5)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import InvalidObjectError
from models.resources.stream import NamedTagEventList, TagEvent
from models.streams.imports.import_rules import ImportRules
from models.streams.tags.tag_tracking import track_tags, verify_tags
from models.streams.writes.stream_update import apply_write
from tests.unit.streams.scenes import D1, D2, D3, NOON, event, history, items, stream_of, wish

RULES = ImportRules()
BEFORE = NOON.replace(hour=3)


def follow(name, target, **rest):
    return wish(name, target, kind="ImageStreamTag", **rest)


def image(name, target, **rest):
    return wish(name, target, kind="ImageStreamImage", **rest)


def write(old, new, *others, rules=RULES):
    """A user's write; `others` are the other streams there are."""
    known = {(each.metadata.namespace, each.metadata.name): each for each in others}
    return apply_write(old, new, now=NOON, rules=rules, lookup=lambda *place: known.get(place))


def refs(stream, tag):
    found = stream.status_tag(tag)
    return [] if found is None else [e.docker_image_reference for e in found.items]


def with_spec(stream, *wishes):
    return stream.replace(
        spec=stream_of([tag.wire() for tag in stream.spec.tags] + list(wishes)).spec
    )


@pytest.mark.case("import 6-4", "import 6-5")
def test_reference_tags_have_their_bare_reference_and_others_wait_for_their_import():
    text = "registry:5000/ns/stream:t1"
    stream = stream_of([wish("t1", text, reference=True), wish("t2", "a/b:1"), wish("t3")])
    made = write(None, stream)
    assert (refs(made, "t1"), items(made, "t1")) == ([text], [("", 1)])
    assert (refs(made, "t2"), refs(made, "t3")) == ([], [])


@pytest.mark.case("import 6-6", "import 6-9")
def test_another_streams_tag_is_copied_with_its_date():
    source = stream_of(
        status=[history("other", event("q.io/x@" + D1, D1, 9, at=BEFORE))], name="other"
    )
    made = write(None, stream_of([follow("t1", "other:other"), follow("t2", "t1")]), source)
    (copied,) = made.status_tag("t1").items
    assert (copied.image, copied.generation, copied.created) == (D1, 1, BEFORE)
    assert items(made, "t2") == [(D1, 1)]


E3, TWO93 = "sha256:" + "e3b0" * 16, "sha256:" + "293a" * 16


@pytest.mark.case("import 6-7")
def test_a_tag_that_now_names_an_older_image_moves_its_followers():
    other = history("other", event("o/o@" + TWO93, TWO93), event("e/e@" + E3, E3))
    stream = stream_of(
        [follow("t1", "stream:other"), follow("t2", "stream:t1")],
        [
            other,
            history("t1", event("o/o@" + TWO93, TWO93)),
            history("t2", event("o/o@" + TWO93, TWO93)),
        ],
        name="stream",
    )
    moved = with_spec(stream, image("t1", "stream@" + E3))
    made = write(stream, moved)
    for tag in ("t1", "t2"):
        assert [one for one, _ in items(made, tag)] == [E3, TWO93]
    assert items(made, "other") == [(TWO93, 1), (E3, 1)]


@pytest.mark.case("import 6-8")
def test_an_image_that_is_no_digest_is_found_by_its_beginning():
    stream = stream_of([], [history("other", event("r/r", "12345"))], name="stream")
    made = write(stream, with_spec(stream, image("t1", "stream@123")))
    assert items(made, "t1") == [("12345", 2)]


@pytest.mark.case("import 6-10")
def test_a_tag_that_becomes_a_reference_has_the_bare_text_on_top():
    stream = stream_of([wish("t3", "x/y:1")], [history("t3", event("x/y@" + E3, E3))])
    moved = with_spec(stream, wish("t3", "x/y@" + D1, reference=True))
    made = write(stream, moved)
    assert refs(made, "t3") == ["x/y@" + D1, "x/y@" + E3]
    assert items(made, "t3")[0] == ("", 2)


@pytest.mark.case("import 6-11")
@pytest.mark.parametrize("target", ["2.0", "ruby:2.0"])
def test_followers_within_the_stream_move_and_nobody_else(target):
    spec = [
        follow("latest", target),
        follow("elsewhere", "other:2.0"),
        follow("foreign", target, namespace="another"),
        image("kind", "ruby@" + D1),
    ]
    stream = stream_of(spec, [history("2.0", event("r@" + D1, D1))], name="ruby")
    moved = stream.with_status_tag(
        NamedTagEventList.model_validate(
            history("2.0", event("r@" + D2, D2, 2), event("r@" + D1, D1))
        )
    )
    made, errors = track_tags(moved, (), old=stream, now=NOON, rules=RULES)
    assert errors == []
    assert items(made, "latest") == [(D2, 2)]
    assert [tag.tag for tag in made.status.tags] == ["2.0", "latest"]
    again, _ = track_tags(moved, (), old=moved, now=NOON, rules=RULES)
    assert again is moved


@pytest.mark.case("import 6-13")
def test_new_following_tags_get_their_events_and_their_sources_stay_as_they_are():
    hub = "0558a959992c"
    second = "sha256:" + hub.ljust(64, "0")
    a = stream_of(status=[history("t", event("q.io/a@" + D3, D3, 1, at=BEFORE))], name="a")
    old = stream_of(
        [wish("t", "q.io/b:t", generation=2)],
        [
            history("t", event("q.io/b@" + D2, D2, 2, at=BEFORE), event("q.io/b@" + D1, D1, 1)),
            history("u", event("q.io/b@" + second, second, 1)),
        ],
        name="c",
        generation=2,
    )
    new = with_spec(
        old,
        follow("late", "t"),
        image("byid", "c@" + D1),
        image("byid2", hub),
        follow("cross", "a:t"),
        follow("unknown", "a:nope"),
        follow("self", "self"),
        follow("cir1", "cir2"),
        follow("cir2", "cir1"),
    )
    made = write(old, new, a)
    assert items(made, "late") == [(D2, 3)]
    assert made.status_tag("late").items[0].created == BEFORE
    assert items(made, "byid") == [(D1, 3)]
    assert made.status_tag("byid").items[0].created == NOON
    assert items(made, "byid2") == [(second, 3)]
    (cross,) = made.status_tag("cross").items
    assert (cross.image, cross.generation, cross.created) == (D3, 3, BEFORE)
    for silent in ("unknown", "self", "cir1", "cir2"):
        assert made.status_tag(silent) is None
    assert items(made, "t") == [(D2, 2), (D1, 1)]


FORM = "must be of the form <tag>, <repo>:<tag>, <id>, or <repo>@<id>"
GENERATING = "error generating tag event: "


@pytest.mark.case("import 6-14")
@pytest.mark.parametrize(
    ("wanted", "reason", "message"),
    [
        (follow("x", "a:b:c"), "FieldValueInvalid", f'Invalid value: "a:b:c": {FORM}'),
        (follow("x", "nostream:t"), "FieldValueNotFound", 'Not found: "nostream:t"'),
        (
            follow("x", ":t"),
            "FieldValueInvalid",
            'Invalid value: ":t": unable to retrieve image stream: Name parameter required.',
        ),
        (
            image("x", "c@sha256:ffff"),
            "FieldValueInvalid",
            (
                f'Invalid value: "c@sha256:ffff": {GENERATING}imagestreamimage.image.openshift.io '
                '"sha256:ffff" not found'
            ),
        ),
        (
            image("x", "c@sha256:"),
            "FieldValueInvalid",
            (
                f'Invalid value: "c@sha256:": {GENERATING}Operation cannot be fulfilled on '
                'imagestreamimage.image.openshift.io "sha256:": multiple images match the prefix '
                f'"sha256:": {D1}, {D2}'
            ),
        ),
    ],
)
def test_tags_that_cannot_be_followed_are_refused_at_their_own_field(wanted, reason, message):
    old = stream_of([], [history("t", event("q/b@" + D2, D2), event("q/b@" + D1, D1))], name="c")
    with pytest.raises(InvalidObjectError) as caught:
        write(old, with_spec(old, wanted))
    (error,) = caught.value.errors
    assert (error.field, error.reason, error.message) == ("spec.tags[x].from.name", reason, message)


@pytest.mark.case("import 6-14")
@pytest.mark.parametrize("wanted", [wish("x", ""), wish("x", "a", kind="Strange")])
def test_a_form_error_comes_before_what_validation_says(wanted):
    with pytest.raises(InvalidObjectError) as caught:
        write(None, stream_of([wanted]))
    assert caught.value.errors[0].message.endswith(FORM)


@pytest.mark.case("import 6-15")
def test_the_local_registrys_place_of_the_source_becomes_this_streams():
    rules = ImportRules(internal_hostname="internal:5000")
    push = stream_of(status=[history("v1", event("internal:5000/ns/push@" + D1, D1))], name="push")
    made = write(
        None,
        stream_of(
            [
                follow("a", "push:v1"),
                follow("b", "push:v1", reference=True),
                image("c", "push@" + D1),
            ],
            name="dst",
        ),
        push,
        rules=rules,
    )
    assert refs(made, "a") == refs(made, "c") == ["internal:5000/ns/dst@" + D1]
    assert refs(made, "b") == ["internal:5000/ns/push@" + D1]


@pytest.mark.case("import 6-40")
def test_a_circle_ends():
    old = stream_of([], [history("a", event("r@" + D1, D1))])
    made = write(old, with_spec(old, follow("a", "b"), follow("b", "a")))
    assert items(made, "a") == items(made, "b") == [(D1, 2)]


def foreign(name, namespace, target, kind="ImageStreamTag"):
    return wish(name, target, kind=kind, namespace=namespace)


@pytest.mark.case("import 6-16", "import 6-19")
def test_one_review_for_each_foreign_stream_and_an_error_for_each_tag():
    stream = stream_of(
        [
            foreign("latest", "otherns", "otherstream:latest"),
            foreign("other", "otherns", "otherstream:other"),
            foreign("third", "secondns", "something:x"),
            foreign("fourth", "secondns", "something@" + D1, kind="ImageStreamImage"),
        ]
    )
    asked = []

    def review(namespace, name):
        asked.append((namespace, name))
        return {"otherns": "foo", "secondns": "bar"}[namespace]

    errors = verify_tags(stream, {tag.name for tag in stream.spec.tags}, review)
    assert {str(error) for error in errors} == {
        'spec.tags[latest].from: Forbidden: otherns/otherstream: "" ""- foo',
        'spec.tags[other].from: Forbidden: otherns/otherstream: "" ""- foo',
        'spec.tags[third].from: Forbidden: secondns/something: "" ""- bar',
        'spec.tags[fourth].from: Forbidden: secondns/something: "" ""- bar',
    }
    assert sorted(asked) == [("otherns", "otherstream"), ("secondns", "something")]


@pytest.mark.case("import 6-17")
def test_a_plain_denial_has_no_reason():
    stream = stream_of([foreign("latest", "otherns", "otherstream:latest")])
    (error,) = verify_tags(stream, {"latest"}, lambda *_: "")
    assert str(error) == 'spec.tags[latest].from: Forbidden: otherns/otherstream: "" ""'


@pytest.mark.case("import 6-18")
def test_unchanged_own_and_docker_tags_are_not_reviewed():
    stream = stream_of(
        [foreign("old", "otherns", "s:t"), follow("own", "s:t", namespace="ns"), wish("d", "x:1")]
    )
    verify_tags(stream, {"own", "d"}, lambda *_: pytest.fail("no review is due"))


names = st.sampled_from("abcdef")


@given(st.dictionaries(names, names), names)
def test_following_ends_and_everybody_downstream_means_the_same_image(follows, moved):
    """Whatever circles and chains there are, and whoever moves."""
    spec = [follow(name, target) for name, target in follows.items()]
    old = stream_of(spec, [history(name, event("r@" + D1, D1)) for name in "abcdef"])
    fresh = TagEvent.model_validate(event("r@" + D2, D2, 2))
    head = NamedTagEventList(tag=moved, items=[fresh, *old.status_tag(moved).items])
    made, errors = track_tags(old.with_status_tag(head), (), old=old, now=NOON, rules=RULES)
    assert errors == []

    def leads_to_moved(name):
        seen = set()
        while name in follows and name not in seen and name != moved:
            seen.add(name)
            name = follows[name]
        return name == moved

    for name in "abcdef":
        wanted = D2 if leads_to_moved(name) else D1
        assert items(made, name)[0][0] == wanted
        assert len(items(made, name)) <= 2


def test_a_long_chain_is_followed_in_one_write():
    count = 3_000
    spec = [follow(f"t{number}", f"t{number - 1}") for number in range(1, count)]
    old = stream_of(spec, [history("t0", event("r@" + D1, D1))])
    head = stream_of(status=[history("t0", event("r@" + D2, D2, 2), event("r@" + D1, D1))])
    made, _ = track_tags(
        old.with_status_tag(head.status.tags[0]), (), old=old, now=NOON, rules=RULES
    )
    assert {items(made, f"t{number}")[0] for number in range(count)} == {(D2, 2)}
