"""Effects of imports on streams (imports-5.2, imports-5.3, imports-5.6, imports-7.2)."""

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
from models.streams.imports.import_outcome import (
    Imported,
    ImportOutcomes,
    KnownImage,
    RepositoryOutcome,
)
from models.streams.imports.import_plan import plan_import
from models.streams.imports.import_rules import ImportRules
from models.streams.registries.registry_mirrors import build_registry_config
from models.streams.writes.object_defaults import default_import
from tests.unit.streams.import_simulation import (
    CHECKED,
    DIGEST_1,
    DIGEST_2,
    DIGEST_3,
    NOON,
    REG,
    InMemoryStore,
    RegistryContents,
    event,
    failure,
    history,
    img,
    isi,
    items,
    spec_tag,
    stream_of,
)

REPO = f"{REG}/a/b"
T, U = f"{REPO}:t", f"{REPO}:u"
DONE = {CHECKED: "2026-01-01T00:00:00Z"}


@pytest.fixture
def contents():
    contents = RegistryContents()
    contents.put(T, DIGEST_1)
    contents.put(U, DIGEST_2)
    return contents


def ref(digest):
    return f"{REPO}@{digest}"


@pytest.mark.case("import 5-3")
def test_import_of_other_image_prepends_event(contents):
    old = stream_of(
        [spec_tag("t", T)], [history("t", event("anotherref", DIGEST_3, 1))], annotations=DONE
    )
    memory = InMemoryStore(contents, old)
    memory.run(isi(img(T)))
    newest = memory.stream.status_tag("t").items[0]
    assert newest.wire() == {
        "created": "2026-01-02T12:01:00Z",
        "dockerImageReference": ref(DIGEST_1),
        "image": DIGEST_1,
        "generation": 2,
    }
    assert items(memory.stream, "t") == [(DIGEST_1, 2), (DIGEST_3, 1)]
    assert memory.stream.spec_tag("t").reference_policy.type == "Source"


@pytest.mark.case("import 5-4")
def test_import_fills_missing_reference_policy(contents):
    old = stream_of([spec_tag("t", T)], [history("t", event("other", "non-image", 1))])
    empty = TagReferencePolicy.model_construct(type="")
    old = old.with_spec_tag(old.spec_tag("t").replace(reference_policy=empty))
    memory = InMemoryStore(contents, old)
    memory.run(isi(img(T, reference_policy="Local")))
    assert items(memory.stream, "t")[0] == (DIGEST_1, 2)
    assert memory.stream.spec_tag("t").reference_policy.type == "Local"


@pytest.mark.case("import 5-5")
def test_import_of_tag_without_status_keeps_reference_policy(contents):
    memory = InMemoryStore(contents, stream_of([spec_tag("t", T)]))
    memory.run(isi(img(T, reference_policy="Local")))
    assert items(memory.stream, "t") == [(DIGEST_1, 2)]
    assert memory.stream.spec_tag("t").reference_policy.type == "Source"


@pytest.mark.case("import 5-6")
def test_import_of_unchanged_image_raises_only_event_generation(contents):
    old = stream_of(
        [spec_tag("t", T, generation=2, referencePolicy={"type": "Local"})],
        [history("t", event(ref(DIGEST_1), DIGEST_1, 1))],
    )
    memory = InMemoryStore(contents, old)
    memory.run(isi(img(T)))
    (only,) = memory.stream.status_tag("t").items
    assert (only.generation, only.created) == (2, NOON)
    assert memory.stream.spec_tag("t").reference_policy.type == "Local"


@pytest.mark.case("import 5-18")
def test_import_onto_reference_tag_prepends_bare_reference(contents):
    old = stream_of(
        [spec_tag("r", "somewhere/else:1", reference=True)],
        [history("r", event("somewhere/else:1", "", 1))],
        annotations=DONE,
    )
    memory = InMemoryStore(contents, old)
    memory.run(isi(img(T, to="r")))
    assert memory.stream.spec_tag("r").reference is True
    top, below, *_ = memory.stream.status_tag("r").items
    assert (top.docker_image_reference, top.image, top.generation) == (T, "", 2)
    assert (below.docker_image_reference, below.image, below.generation) == (
        ref(DIGEST_1),
        DIGEST_1,
        2,
    )


@pytest.mark.case("import 5-19")
def test_import_restores_spec_tag_known_from_history_only(contents):
    old = stream_of([], [history("t", event(ref(DIGEST_1), DIGEST_1, 1))], annotations=DONE)
    memory = InMemoryStore(contents, old)
    memory.run(isi(img(T)))
    assert memory.stream.spec_tag("t").generation == 2
    assert items(memory.stream, "t") == [(DIGEST_1, 2)]


def tracking_stream(*tracking):
    """Return a stream with `src` = D1 and tags that track each other in a chain from it."""
    names = ["src", *tracking]
    spec_tags = [
        spec_tag(name, target, kind="ImageStreamTag")
        for target, name in zip(names, tracking, strict=False)
    ]
    histories = [history(name, event(ref(DIGEST_1), DIGEST_1, 1)) for name in names]
    return stream_of([spec_tag("src", T), *spec_tags], histories, annotations=DONE)


@pytest.mark.case("import 5-20")
def test_import_of_unchanged_image_onto_tracking_tag_writes_nothing(contents):
    memory = InMemoryStore(contents, tracking_stream("al"))
    memory.run(isi(img(T, to="al")))
    assert memory.result.changed is False
    assert memory.stream.spec_tag("al").from_.kind == "ImageStreamTag"


@pytest.mark.case("import 5-20")
def test_import_of_other_image_onto_tracking_tag_replaces_its_source(contents):
    memory = InMemoryStore(contents, tracking_stream("al", "al2", "al3"))
    memory.run(isi(img(U, to="al")))
    assert memory.stream.spec_tag("al").from_.wire() == {"kind": "DockerImage", "name": U}
    for tag in ("al", "al2", "al3"):
        assert items(memory.stream, tag) == [(DIGEST_2, 2), (DIGEST_1, 1)]
    assert items(memory.stream, "src") == [(DIGEST_1, 1)]
    assert memory.stream.spec_tag("al2").generation == 1


@pytest.mark.case("import 6-12")
def test_import_updates_chain_of_tracking_tags_in_one_write(contents):
    contents.put(T, DIGEST_2)
    memory = InMemoryStore(contents, tracking_stream("al", "al2", "al3"))
    memory.run(isi(img(T, to="src")))
    for tag in ("src", "al", "al2", "al3"):
        assert items(memory.stream, tag)[0] == (DIGEST_2, 2)
    assert {memory.stream.spec_tag(tag).generation for tag in ("al", "al2", "al3")} == {1}


def test_failed_import_onto_tag_of_other_stream_records_condition(contents):
    old = stream_of(
        [
            spec_tag("x", "other:tag", kind="ImageStreamTag"),
            spec_tag("i", f"is@{DIGEST_3}", kind="ImageStreamImage"),
        ],
        [
            history("x", event(ref(DIGEST_1), DIGEST_1, 1)),
            history("i", event(ref(DIGEST_3), DIGEST_3, 1)),
        ],
        annotations=DONE,
    )
    memory = InMemoryStore(contents, old)
    memory.run(isi(img(f"{REPO}:gone", to="x"), img(f"{REPO}:gone", to="i")))
    assert failure(memory.stream, "x")[0] == failure(memory.stream, "i")[0] == "NotFound"
    assert items(memory.stream, "x") == [(DIGEST_1, 1)]


@pytest.mark.case("import 5-21")
def test_import_adds_only_missing_check_annotation(contents):
    memory = InMemoryStore(
        contents, stream_of([spec_tag("t", T)], [history("t", event(ref(DIGEST_1), DIGEST_1, 1))])
    )
    memory.run(isi(img(f"{REPO}@{DIGEST_1}")))
    assert memory.result.changed
    assert list(memory.stream.metadata.annotations) == [CHECKED]
    assert memory.stream.metadata.generation == 1


@pytest.mark.case("import 5-22", "import 5-23")
def test_import_with_other_mode_raises_only_spec_generation(contents):
    memory = InMemoryStore(contents)
    memory.run(isi(img(T)))
    memory.run(isi(img(T, importMode="PreserveOriginal")))
    stream = memory.stream
    assert (stream.metadata.generation, stream.spec_tag("t").generation) == (2, 2)
    assert items(stream, "t") == [(DIGEST_1, 1)]
    created = stream.status_tag("t").items[0].created
    memory.run(isi(img(T)))
    stream = memory.stream
    assert (stream.metadata.generation, stream.spec_tag("t").generation) == (3, 3)
    assert items(stream, "t") == [(DIGEST_1, 3)]
    assert stream.status_tag("t").items[0].created == created


def repository_contents(*tags):
    contents = RegistryContents()
    for tag in tags:
        contents.put(f"{REPO}:{tag}", "sha256:" + tag.encode().hex().ljust(64, "0"))
    return contents


SEVEN = ("latest", "3.1", "3", "abc", "other", "v1", "v2")


@pytest.mark.case("import 5-24", "import 2-44")
def test_repository_import_creates_first_tags_with_its_policies(contents):
    memory = InMemoryStore(repository_contents(*SEVEN), rules=ImportRules(max_tags=5))
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
    assert memory.response()["repository"]["additionalTags"] == ["v1", "v2"]
    assert [one["tag"] for one in memory.response()["repository"]["images"]] == list(SEVEN[:5])


@pytest.mark.case("import 2-46")
def test_repository_import_without_limit_imports_every_tag():
    memory = InMemoryStore(repository_contents(*SEVEN), rules=ImportRules(max_tags=-1))
    memory.run(isi(repository=REPO))
    assert len(memory.stream.spec.tags) == 7
    assert "additionalTags" not in memory.response()["repository"]


@pytest.mark.case("import 2-45")
def test_repository_import_includes_fetched_tag_beyond_limit():
    memory = InMemoryStore(repository_contents(*SEVEN), rules=ImportRules(max_tags=2))
    memory.run(isi(img(f"{REPO}:other"), repository=REPO))
    response = memory.response()["repository"]
    assert [one["tag"] for one in response["images"]] == ["latest", "3.1", "other"]
    assert response["additionalTags"] == ["3", "abc", "v1", "v2"]


@pytest.mark.case("import 5-25")
def test_repository_import_of_failing_tag_creates_no_spec_tag():
    contents = repository_contents("latest", "3.1")
    error = TransientRegistryError("boom", code="http.500", reference=f"{REPO}:3.1")
    contents.put(f"{REPO}:3.1", error)
    memory = InMemoryStore(contents)
    memory.run(isi(repository=REPO))
    assert memory.response()["repository"]["status"] == {
        "metadata": {},
        "status": "Failure",
        "message": "one of the images from this repository failed to import",
        "reason": "ImportFailed",
    }
    assert memory.stream.spec_tag("3.1") is None
    assert failure(memory.stream, "3.1")[0] == "InternalError"
    assert len(items(memory.stream, "latest")) == 1


@pytest.mark.case("import 5-26")
def test_repository_import_with_failed_list_writes_only_annotation(contents):
    contents.put(REPO, ManifestUnknownError(reference=REPO))
    memory = InMemoryStore(contents)
    memory.run(isi(repository=REPO))
    assert memory.result.listing["reason"] == "NotFound"
    assert memory.response()["repository"]["status"]["message"] == (
        f'dockerimage.image.openshift.io "{REPO}" not found'
    )
    assert list(memory.stream.metadata.annotations) == [CHECKED]
    assert (memory.stream.spec.tags, memory.stream.status.tags) == ([], [])


@pytest.mark.case("import 5-27")
def test_image_element_overrides_repository_tag_without_second_event(contents):
    memory = InMemoryStore(contents)
    for _ in range(2):
        memory.run(isi(img(U, to="t"), repository=REPO))
    assert items(memory.stream, "t") == [(DIGEST_2, 1)]
    assert memory.stream.spec_tag("t").from_.name == U
    assert memory.writes == 1


@pytest.mark.case("import 5-28")
def test_failure_without_message_gets_default_message(contents):
    class NoMessageError(ManifestUnknownError):
        message = ""

    contents.put(T, NoMessageError())
    memory = InMemoryStore(contents)
    memory.run(isi(img(T)))
    assert failure(memory.stream, "t")[1] == "unknown error prevented import"
    assert memory.result.images == ()


@pytest.mark.case("import 5-29")
def test_import_stores_children_before_parent_each_once(contents):
    parent, one, two = (
        PackedImage(digest, ref(digest), b"x") for digest in (DIGEST_1, DIGEST_2, DIGEST_3)
    )
    contents.put(T, Imported(parent, (one, two), source_digest=DIGEST_1))
    contents.put(U, Imported(two, source_digest=DIGEST_3))
    memory = InMemoryStore(contents)
    memory.run(isi(img(T), img(U)))
    assert memory.result.images == (one, two, parent)
    assert failure(memory.stream, "t") is None


def test_import_does_not_store_existing_image_again(contents):
    contents.put(T, Imported(PackedImage(DIGEST_1, ref(DIGEST_1)), source_digest=DIGEST_2))
    memory = InMemoryStore(contents)
    memory.run(isi(img(T)))
    assert memory.result.images == ()
    assert items(memory.stream, "t") == [(DIGEST_1, 1)]


def test_import_records_known_image_by_stream_tag(contents):
    contents.put(T, Imported(PackedImage(DIGEST_1, ref(DIGEST_1), b"x"), source_digest=DIGEST_2))
    memory = InMemoryStore(contents)
    memory.run(isi(img(T, to="x"), img(f"{REPO}:gone"), img(f"{REPO}@{DIGEST_3}")))
    (target, *_) = [planned.target for planned in memory.plan.images]
    assert memory.result.known == {
        "x": (target.key(), KnownImage(source_digest=DIGEST_2, image=DIGEST_1))
    }


@pytest.mark.case("import 2-13", "import 2-20")
def test_import_dry_run_changes_nothing(contents):
    memory = InMemoryStore(contents)
    result = memory.run(isi(img(T), img(f"{REPO}:gone"), do=False))
    assert (result.stream, result.changed, result.images, result.known) == (None, False, (), {})
    assert "import" not in memory.response()
    assert [bool(target.image) for target in result.targets] == [True, False]


@pytest.mark.case("import 2-31", "import 2-29")
def test_import_from_blocked_registry_records_condition(contents):
    rules = ImportRules(registries=build_registry_config([REG], [], []))
    memory = InMemoryStore(contents, rules=rules)
    memory.run(isi(img(T)))
    assert memory.stream.metadata.generation == 1
    message = f"forbidden: registry {REG} blocked"
    assert failure(memory.stream, "t") == ("Forbidden", message, 1)
    response = memory.response()["images"][0]
    assert "tag" not in response
    assert response["status"]["details"] == {}
    assert isinstance(memory.plan.images[0].error, RegistryBlockedError)


def test_element_without_outcome_fails_with_message(contents):
    request = default_import(isi(img(T), img(f"{REPO}@{DIGEST_1}", to="d")))
    plan = plan_import(request, None, ImportRules())
    result = apply_import(None, request, plan, ImportOutcomes(), now=NOON, rules=ImportRules())
    texts = [target.message for target in result.targets]
    assert texts == [
        f'Internal error occurred: unknown error while importing {name} from repository "{REPO}" '
        'with import mode "Legacy", please try again.'
        for name in ('tag "t"', f'digest "{DIGEST_1}"')
    ]


def test_import_result_lists_each_target_with_outcome(contents):
    memory = InMemoryStore(contents)
    result = memory.run(isi(img(T), img(f"{REPO}:gone", to="x")))
    good, bad = result.targets
    assert (good.source, good.tag, good.to, good.image, good.outcome) == (
        T,
        "t",
        "t",
        DIGEST_1,
        "new",
    )
    assert (bad.source, bad.tag, bad.to, bad.image) == (f"{REPO}:gone", "gone", "x", "")
    assert (bad.reason, bad.code, bad.outcome) == ("NotFound", "notfound.tag", "failed")


def test_import_result_lists_each_warning_once(contents):
    warned = Imported(
        PackedImage(DIGEST_1, ref(DIGEST_1), b"x"), source_digest=DIGEST_1, warnings=("old", "slow")
    )
    contents.put(T, warned)
    contents.put(U, warned)
    assert InMemoryStore(contents).run(isi(img(T), img(U))).warnings == ("old", "slow")


@pytest.mark.case("import 5-36")
def test_apply_import_fits_outcomes_to_newer_stream(contents):
    memory = InMemoryStore(contents)
    memory.run(isi(img(T)))
    request, plan, outcomes = memory.request, memory.plan, memory.outcomes
    newer = memory.stream.with_spec_tag(
        stream_of([spec_tag("late", U, generation=4)]).spec.tags[0]
    ).with_status_tag(
        stream_of(status=[history("t", event(ref(DIGEST_3), DIGEST_3, 3))]).status.tags[0]
    )
    newer = newer.replace(metadata=newer.metadata.replace(generation=4))
    result = apply_import(newer, request, plan, outcomes, now=NOON, rules=ImportRules())
    assert items(result.stream, "t") == [(DIGEST_1, 5), (DIGEST_3, 3)]
    assert result.stream.spec_tag("late").generation == 4
    assert result.stream.metadata.generation == 5


tag_names = st.sampled_from(["a", "b", "c"])
digests = st.sampled_from([DIGEST_1, DIGEST_2, None])
steps = st.lists(st.lists(st.tuples(tag_names, digests), min_size=1, max_size=3), max_size=5)


@given(steps)
def test_apply_import_is_idempotent_and_mutates_no_argument(rounds):
    memory = InMemoryStore()
    for step in rounds:
        for tag, content in step:
            memory.contents.put(f"{REPO}:{tag}", content)
        names = {tag for tag, _ in step}
        request = isi(*(img(f"{REPO}:{tag}") for tag in sorted(names)))
        before = copy.deepcopy(memory.stream)
        heads_before = memory.heads()
        memory.run(request)
        assert before is None or heads_before == memory_heads(before)
        writes = memory.writes
        memory.run(request)
        assert memory.writes == writes


def memory_heads(stream):
    return InMemoryStore(stream=stream).heads()


@given(steps)
def test_apply_import_never_lowers_generations_nor_drops_history(rounds):
    memory = InMemoryStore()
    for step in rounds:
        for tag, content in step:
            memory.contents.put(f"{REPO}:{tag}", content)
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


def test_apply_import_of_ten_thousand_tags_reuses_unchanged_tags():
    """The time is linear in tags, and unchanged tags are shared with the old stream."""
    names = [f"v1.{number}" for number in range(10_000)]
    request = isi(repository=REPO)
    assert isinstance(request.spec.repository, RepositoryImportSpec)
    plan = plan_import(request, None, ImportRules(), max_tags=-1)

    def fetched_outcomes(*, odd):
        tags = []
        for number, name in enumerate(names):
            digest = f"sha256:{number + (odd if number == 77 else 0):064x}"
            image = PackedImage(digest, f"{REPO}@{digest}", b"x")
            tags.append((name, Imported(image, source_digest=digest)))
        return ImportOutcomes(repository=RepositoryOutcome(tags=tuple(tags)))

    first = apply_import(
        None, request, plan, fetched_outcomes(odd=0), now=NOON, rules=ImportRules()
    )
    second_outcomes = fetched_outcomes(odd=10**9)
    later = NOON + timedelta(hours=1)
    second = apply_import(
        first.stream, request, plan, second_outcomes, now=later, rules=ImportRules()
    )
    updated = [
        t.tag
        for t, old in zip(second.stream.status.tags, first.stream.status.tags, strict=True)
        if t is not old
    ]
    assert updated == ["v1.77"]
    assert len(second.targets) == 10_000
    assert [target.to for target in second.targets if target.outcome == "updated"] == ["v1.77"]
