"""What imports do to streams besides the golden timeline (`import.md` 5.2 to 5.8, B23)."""

import copy
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import (
    ManifestUnknownError,
    RegistryBlockedError,
    TransientRegistryError,
)
from models.images.compressed_image import PackedImage
from models.resources.imports import RepositoryImportSpec
from models.resources.stream import TagReferencePolicy
from models.streams.imports.apply_import import apply_import
from models.streams.imports.import_outcome import Imported, Known, Outcomes, RepositoryOutcome
from models.streams.imports.import_plan import plan_import
from models.streams.imports.import_rules import ImportRules
from models.streams.registries.registry_mirrors import build_registries
from models.streams.writes.object_defaults import default_import
from tests.unit.streams.scenes import (
    CHECKED,
    D1,
    D2,
    D3,
    NOON,
    REG,
    Memory,
    World,
    event,
    failure,
    history,
    img,
    isi,
    items,
    stream_of,
    wish,
)

REPO = f"{REG}/a/b"
T, U = f"{REPO}:t", f"{REPO}:u"
DONE = {CHECKED: "2026-01-01T00:00:00Z"}


@pytest.fixture
def world():
    world = World()
    world.put(T, D1)
    world.put(U, D2)
    return world


def ref(digest):
    return f"{REPO}@{digest}"


@pytest.mark.case("import 5-3")
def test_another_reference_and_image_is_a_new_event(world):
    old = stream_of([wish("t", T)], [history("t", event("anotherref", D3, 1))], annotations=DONE)
    memory = Memory(world, old)
    memory.run(isi(img(T)))
    newest = memory.stream.status_tag("t").items[0]
    assert newest.wire() == {
        "created": "2026-01-02T12:01:00Z",
        "dockerImageReference": ref(D1),
        "image": D1,
        "generation": 2,
    }
    assert items(memory.stream, "t") == [(D1, 2), (D3, 1)]
    assert memory.stream.spec_tag("t").reference_policy.type == "Source"


@pytest.mark.case("import 5-4")
def test_a_missing_reference_policy_is_filled_from_the_import(world):
    old = stream_of([wish("t", T)], [history("t", event("other", "non-image", 1))])
    empty = TagReferencePolicy.model_construct(type="")
    old = old.with_spec_tag(old.spec_tag("t").replace(reference_policy=empty))
    memory = Memory(world, old)
    memory.run(isi(img(T, reference_policy="Local")))
    assert items(memory.stream, "t")[0] == (D1, 2)
    assert memory.stream.spec_tag("t").reference_policy.type == "Local"


@pytest.mark.case("import 5-5")
def test_a_tag_without_status_gets_its_first_event_and_keeps_its_reference_policy(world):
    memory = Memory(world, stream_of([wish("t", T)]))
    memory.run(isi(img(T, reference_policy="Local")))
    assert items(memory.stream, "t") == [(D1, 2)]
    assert memory.stream.spec_tag("t").reference_policy.type == "Source"


@pytest.mark.case("import 5-6")
def test_only_the_generation_moves_where_only_the_wish_is_newer(world):
    old = stream_of(
        [wish("t", T, generation=2, referencePolicy={"type": "Local"})],
        [history("t", event(ref(D1), D1, 1))],
    )
    memory = Memory(world, old)
    memory.run(isi(img(T)))
    (only,) = memory.stream.status_tag("t").items
    assert (only.generation, only.created) == (2, NOON)
    assert memory.stream.spec_tag("t").reference_policy.type == "Local"


@pytest.mark.case("import 5-18")
def test_a_reference_tag_stays_one_and_the_bare_reference_comes_on_top(world):
    old = stream_of(
        [wish("r", "somewhere/else:1", reference=True)],
        [history("r", event("somewhere/else:1", "", 1))],
        annotations=DONE,
    )
    memory = Memory(world, old)
    memory.run(isi(img(T, to="r")))
    assert memory.stream.spec_tag("r").reference is True
    top, below, *_ = memory.stream.status_tag("r").items
    assert (top.docker_image_reference, top.image, top.generation) == (T, "", 2)
    assert (below.docker_image_reference, below.image, below.generation) == (ref(D1), D1, 2)


@pytest.mark.case("import 5-19")
def test_a_tag_known_from_history_alone_gets_its_wish_back(world):
    old = stream_of([], [history("t", event(ref(D1), D1, 1))], annotations=DONE)
    memory = Memory(world, old)
    memory.run(isi(img(T)))
    assert memory.stream.spec_tag("t").generation == 2
    assert items(memory.stream, "t") == [(D1, 2)]


def following(*names):
    """`src` = D1 and tags that follow it one after the other."""
    chain = ["src", *names]
    wishes = [
        wish(name, target, kind="ImageStreamTag")
        for target, name in zip(chain, names, strict=False)
    ]
    histories = [history(name, event(ref(D1), D1, 1)) for name in chain]
    return stream_of([wish("src", T), *wishes], histories, annotations=DONE)


@pytest.mark.case("import 5-20")
def test_the_same_image_onto_a_following_tag_writes_nothing(world):
    memory = Memory(world, following("al"))
    memory.run(isi(img(T, to="al")))
    assert memory.result.changed is False
    assert memory.stream.spec_tag("al").from_.kind == "ImageStreamTag"


@pytest.mark.case("import 5-20")
def test_another_image_onto_a_following_tag_ends_its_following_and_moves_its_followers(world):
    memory = Memory(world, following("al", "al2", "al3"))
    memory.run(isi(img(U, to="al")))
    assert memory.stream.spec_tag("al").from_.wire() == {"kind": "DockerImage", "name": U}
    for tag in ("al", "al2", "al3"):
        assert items(memory.stream, tag) == [(D2, 2), (D1, 1)]
    assert items(memory.stream, "src") == [(D1, 1)]
    assert memory.stream.spec_tag("al2").generation == 1


@pytest.mark.case("import 6-12")
def test_a_chain_of_followers_moves_in_one_write(world):
    world.put(T, D2)
    memory = Memory(world, following("al", "al2", "al3"))
    memory.run(isi(img(T, to="src")))
    for tag in ("src", "al", "al2", "al3"):
        assert items(memory.stream, tag)[0] == (D2, 2)
    assert {memory.stream.spec_tag(tag).generation for tag in ("al", "al2", "al3")} == {1}


def test_a_failure_onto_a_tag_that_follows_another_stream_does_not_fail_the_import(world):
    old = stream_of(
        [
            wish("x", "other:tag", kind="ImageStreamTag"),
            wish("i", f"is@{D3}", kind="ImageStreamImage"),
        ],
        [history("x", event(ref(D1), D1, 1)), history("i", event(ref(D3), D3, 1))],
        annotations=DONE,
    )
    memory = Memory(world, old)
    memory.run(isi(img(f"{REPO}:gone", to="x"), img(f"{REPO}:gone", to="i")))
    assert failure(memory.stream, "x")[0] == failure(memory.stream, "i")[0] == "NotFound"
    assert items(memory.stream, "x") == [(D1, 1)]


@pytest.mark.case("import 5-21")
def test_a_stream_without_the_annotation_gets_it_and_nothing_else(world):
    memory = Memory(world, stream_of([wish("t", T)], [history("t", event(ref(D1), D1, 1))]))
    memory.run(isi(img(f"{REPO}@{D1}")))
    assert memory.result.changed
    assert list(memory.stream.metadata.annotations) == [CHECKED]
    assert memory.stream.metadata.generation == 1


@pytest.mark.case("import 5-22", "import 5-23")
def test_another_import_mode_alone_leaves_the_wish_ahead_of_its_event_until_the_next(world):
    memory = Memory(world)
    memory.run(isi(img(T)))
    memory.run(isi(img(T, importMode="PreserveOriginal")))
    stream = memory.stream
    assert (stream.metadata.generation, stream.spec_tag("t").generation) == (2, 2)
    assert items(stream, "t") == [(D1, 1)]
    created = stream.status_tag("t").items[0].created
    memory.run(isi(img(T)))
    stream = memory.stream
    assert (stream.metadata.generation, stream.spec_tag("t").generation) == (3, 3)
    assert items(stream, "t") == [(D1, 3)]
    assert stream.status_tag("t").items[0].created == created


def repository_world(*tags):
    world = World()
    for tag in tags:
        world.put(f"{REPO}:{tag}", "sha256:" + tag.encode().hex().ljust(64, "0"))
    return world


SEVEN = ("latest", "3.1", "3", "abc", "other", "v1", "v2")


@pytest.mark.case("import 5-24", "import 2-44")
def test_a_repository_import_makes_the_first_tags_with_its_policies(world):
    memory = Memory(repository_world(*SEVEN), rules=ImportRules(max_tags=5))
    memory.run(
        isi(
            repository={
                "from": {"kind": "DockerImage", "name": REPO},
                "importPolicy": {"scheduled": True},
                "referencePolicy": {"type": "Local"},
            }
        )
    )
    five = ["3", "3.1", "abc", "latest", "other"]
    assert [tag.name for tag in memory.stream.spec.tags] == five
    for tag in memory.stream.spec.tags:
        assert tag.from_.name == f"{REPO}:{tag.name}"
        assert (tag.import_policy.scheduled, tag.reference_policy.type) == (True, "Local")
    assert memory.result.additional_tags == ("v1", "v2")
    assert memory.answer()["repository"]["additionalTags"] == ["v1", "v2"]
    assert [one["tag"] for one in memory.answer()["repository"]["images"]] == list(SEVEN[:5])


@pytest.mark.case("import 2-46")
def test_without_a_limit_every_tag_is_imported_and_none_is_left_over():
    memory = Memory(repository_world(*SEVEN), rules=ImportRules(max_tags=-1))
    memory.run(isi(repository=REPO))
    assert len(memory.stream.spec.tags) == 7
    assert "additionalTags" not in memory.answer()["repository"]


@pytest.mark.case("import 2-45")
def test_a_tag_beyond_the_limit_that_was_fetched_anyway_is_imported():
    memory = Memory(repository_world(*SEVEN), rules=ImportRules(max_tags=2))
    memory.run(isi(img(f"{REPO}:other"), repository=REPO))
    answer = memory.answer()["repository"]
    assert [one["tag"] for one in answer["images"]] == ["latest", "3.1", "other"]
    assert answer["additionalTags"] == ["3", "abc", "v1", "v2"]


@pytest.mark.case("import 5-25")
def test_one_failing_tag_of_a_repository_has_a_condition_but_no_wish():
    world = repository_world("latest", "3.1")
    error = TransientRegistryError("boom", code="http.500", reference=f"{REPO}:3.1")
    world.put(f"{REPO}:3.1", error)
    memory = Memory(world)
    memory.run(isi(repository=REPO))
    assert memory.answer()["repository"]["status"] == {
        "metadata": {},
        "status": "Failure",
        "message": "one of the images from this repository failed to import",
        "reason": "ImportFailed",
    }
    assert memory.stream.spec_tag("3.1") is None
    assert failure(memory.stream, "3.1")[0] == "InternalError"
    assert len(items(memory.stream, "latest")) == 1


@pytest.mark.case("import 5-26")
def test_a_failed_listing_leaves_the_annotation_and_no_condition(world):
    world.put(REPO, ManifestUnknownError(reference=REPO))
    memory = Memory(world)
    memory.run(isi(repository=REPO))
    assert memory.result.listing["reason"] == "NotFound"
    assert memory.answer()["repository"]["status"]["message"] == (
        f'dockerimage.image.openshift.io "{REPO}" not found'
    )
    assert list(memory.stream.metadata.annotations) == [CHECKED]
    assert (memory.stream.spec.tags, memory.stream.status.tags) == ([], [])


@pytest.mark.case("import 5-27")
def test_an_image_that_overrides_a_repository_tag_does_not_flip_its_history(world):
    memory = Memory(world)
    for _ in range(2):
        memory.run(isi(img(U, to="t"), repository=REPO))
    assert items(memory.stream, "t") == [(D2, 1)]
    assert memory.stream.spec_tag("t").from_.name == U
    assert memory.writes == 1


@pytest.mark.case("import 5-28")
def test_a_failure_without_words_gets_the_words_of_old(world):
    class MuteError(ManifestUnknownError):
        message = ""

    world.put(T, MuteError())
    memory = Memory(world)
    memory.run(isi(img(T)))
    assert failure(memory.stream, "t")[1] == "unknown error prevented import"
    assert memory.result.images == ()


@pytest.mark.case("import 5-29")
def test_children_are_stored_before_their_parent_and_each_image_once(world):
    parent, one, two = (PackedImage(digest, ref(digest), b"x") for digest in (D1, D2, D3))
    world.put(T, Imported(parent, (one, two), source_digest=D1))
    world.put(U, Imported(two, source_digest=D3))
    memory = Memory(world)
    memory.run(isi(img(T), img(U)))
    assert memory.result.images == (one, two, parent)
    assert failure(memory.stream, "t") is None


def test_an_image_that_the_store_holds_already_is_not_stored_again(world):
    world.put(T, Imported(PackedImage(D1, ref(D1)), source_digest=D2))
    memory = Memory(world)
    memory.run(isi(img(T)))
    assert memory.result.images == ()
    assert items(memory.stream, "t") == [(D1, 1)]


def test_what_was_seen_is_remembered_by_stream_tag_with_the_top_level_digest(world):
    world.put(T, Imported(PackedImage(D1, ref(D1), b"x"), source_digest=D2))
    memory = Memory(world)
    memory.run(isi(img(T, to="x"), img(f"{REPO}:gone"), img(f"{REPO}@{D3}")))
    (target, *_) = [planned.target for planned in memory.plan.images]
    assert memory.result.known == {"x": (target.key(), Known(source_digest=D2, image=D1))}


@pytest.mark.case("import 2-13", "import 2-20")
def test_a_dry_run_answers_and_changes_nothing(world):
    memory = Memory(world)
    result = memory.run(isi(img(T), img(f"{REPO}:gone"), do=False))
    assert (result.stream, result.changed, result.images, result.known) == (None, False, (), {})
    assert "import" not in memory.answer()
    assert [bool(target.image) for target in result.targets] == [True, False]


@pytest.mark.case("import 2-31", "import 2-29")
def test_a_blocked_registry_is_a_condition_like_any_failure(world):
    rules = ImportRules(registries=build_registries([REG], [], []))
    memory = Memory(world, rules=rules)
    memory.run(isi(img(T)))
    assert memory.stream.metadata.generation == 1
    message = f"forbidden: registry {REG} blocked"
    assert failure(memory.stream, "t") == ("Forbidden", message, 1)
    answer = memory.answer()["images"][0]
    assert "tag" not in answer
    assert answer["status"]["details"] == {}
    assert isinstance(memory.plan.images[0].error, RegistryBlockedError)


def test_an_image_whose_outcome_got_lost_is_a_failure_that_says_so(world):
    request = default_import(isi(img(T), img(f"{REPO}@{D1}", to="d")))
    plan = plan_import(request, None, ImportRules())
    result = apply_import(None, request, plan, Outcomes(), now=NOON, rules=ImportRules())
    texts = [target.message for target in result.targets]
    assert texts == [
        f'Internal error occurred: unknown error while importing {what} from repository "{REPO}" '
        'with import mode "Legacy", please try again.'
        for what in ('tag "t"', f'digest "{D1}"')
    ]


def test_every_element_is_told_with_its_target_tag_and_error_code(world):
    memory = Memory(world)
    result = memory.run(isi(img(T), img(f"{REPO}:gone", to="x")))
    good, bad = result.targets
    assert (good.source, good.tag, good.to, good.image, good.changed) == (T, "t", "t", D1, True)
    assert (bad.source, bad.tag, bad.to, bad.image) == (f"{REPO}:gone", "gone", "x", "")
    assert (bad.reason, bad.code, bad.changed) == ("NotFound", "notfound.tag", False)


def test_warnings_are_passed_on_once(world):
    warned = Imported(PackedImage(D1, ref(D1), b"x"), source_digest=D1, warnings=("old", "slow"))
    world.put(T, warned)
    world.put(U, warned)
    assert Memory(world).run(isi(img(T), img(U))).warnings == ("old", "slow")


@pytest.mark.case("import 5-36")
def test_the_same_outcomes_fit_a_newer_stream(world):
    memory = Memory(world)
    memory.run(isi(img(T)))
    request, plan, outcomes = memory.request, memory.plan, memory.outcomes
    moved = memory.stream.with_spec_tag(
        stream_of([wish("late", U, generation=4)]).spec.tags[0]
    ).with_status_tag(stream_of(status=[history("t", event(ref(D3), D3, 3))]).status.tags[0])
    moved = moved.replace(metadata=moved.metadata.replace(generation=4))
    result = apply_import(moved, request, plan, outcomes, now=NOON, rules=ImportRules())
    assert items(result.stream, "t") == [(D1, 5), (D3, 3)]
    assert result.stream.spec_tag("late").generation == 4
    assert result.stream.metadata.generation == 5


tag_names = st.sampled_from(["a", "b", "c"])
contents = st.sampled_from([D1, D2, None])
steps = st.lists(st.lists(st.tuples(tag_names, contents), min_size=1, max_size=3), max_size=5)


@given(steps)
def test_applying_twice_is_applying_once_and_nothing_given_is_changed(rounds):
    memory = Memory()
    for step in rounds:
        for tag, content in step:
            memory.world.put(f"{REPO}:{tag}", content)
        names = {tag for tag, _ in step}
        request = isi(*(img(f"{REPO}:{tag}") for tag in sorted(names)))
        before = copy.deepcopy(memory.stream)
        kept = memory.heads()
        memory.run(request)
        assert before is None or kept == memory_heads(before)
        writes = memory.writes
        memory.run(request)
        assert memory.writes == writes


def memory_heads(stream):
    return Memory(stream=stream).heads()


@given(steps)
def test_generations_never_fall_and_history_only_grows(rounds):
    memory = Memory()
    for step in rounds:
        for tag, content in step:
            memory.world.put(f"{REPO}:{tag}", content)
        old = memory.stream
        memory.run(isi(*(img(f"{REPO}:{tag}") for tag in sorted({tag for tag, _ in step}))))
        new = memory.stream
        if old is None:
            continue
        assert new.metadata.generation >= old.metadata.generation
        for tag in old.status.tags:
            grown = items(new, tag.tag)
            was = [(e.image) for e in tag.items or []]
            assert [image for image, _ in grown][len(grown) - len(was) :] == was
        for wanted in new.spec.tags:
            assert 1 <= wanted.generation <= new.metadata.generation


def test_of_ten_thousand_tags_only_what_moved_is_new():
    """Linear in tags, and unchanged tags are shared with the old stream."""
    names = [f"v1.{number}" for number in range(10_000)]
    request = isi(repository=REPO)
    assert isinstance(request.spec.repository, RepositoryImportSpec)
    plan = plan_import(request, None, ImportRules(), max_tags=-1)

    def fetched(*, odd):
        tags = []
        for number, name in enumerate(names):
            digest = f"sha256:{number + (odd if number == 77 else 0):064x}"
            image = PackedImage(digest, f"{REPO}@{digest}", b"x")
            tags.append((name, Imported(image, source_digest=digest)))
        return Outcomes(repository=RepositoryOutcome(tags=tuple(tags)))

    first = apply_import(None, request, plan, fetched(odd=0), now=NOON, rules=ImportRules())
    second_outcomes = fetched(odd=10**9)
    later = NOON + timedelta(hours=1)
    second = apply_import(
        first.stream, request, plan, second_outcomes, now=later, rules=ImportRules()
    )
    moved = [
        t.tag
        for t, old in zip(second.stream.status.tags, first.stream.status.tags, strict=True)
        if t is not old
    ]
    assert moved == ["v1.77"]
    assert len(second.targets) == 10_000
    assert [target.to for target in second.targets if target.changed] == ["v1.77"]
