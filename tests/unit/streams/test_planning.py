"""What a request comes to fetch, each target once (`import.md` 2.4, 2.7, 3.1)."""

import pytest

from models.errors import NotFoundError, StreamConflictError, status_of
from models.images.image_index import PlatformPreference
from models.streams.imports.import_outcome import RepositoryTarget
from models.streams.imports.import_plan import check_precondition, plan_import
from models.streams.imports.import_rules import ImportRules
from models.streams.registries.registry_mirrors import build_registries
from models.streams.writes.object_defaults import default_import
from tests.unit.streams.scenes import D1, REG, img, isi, stream_of, wish


def plan(*images, stream=None, rules=None, max_tags=None, **rest):
    request = default_import(isi(*images, **rest))
    return plan_import(request, stream, rules or ImportRules(), max_tags=max_tags)


@pytest.mark.case("import 2-12")
@pytest.mark.parametrize(
    ("name", "fetched", "tag"),
    [
        ("foo:1", "foo:1", "1"),
        ("foo", "foo:latest", "latest"),
        (f"foo@{D1}", f"foo@{D1}", ""),
        (f"foo:1@{D1}", f"foo@{D1}", ""),
    ],
)
def test_what_is_fetched_and_which_tag_is_answered(name, fetched, tag):
    (image,) = plan(img(name)).images
    assert (image.target.reference.exact(), image.tag) == (fetched, tag)


def test_equal_targets_are_fetched_once_digests_first():
    made = plan(
        img("foo:1"), img("foo:1", to="x"), img(f"foo:1@{D1}"), img(f"foo@{D1}"), img("foo:2")
    )
    assert [target.reference.exact() for target in made.targets] == [f"foo@{D1}", "foo:1", "foo:2"]


@pytest.mark.case("import 2-11")
def test_a_star_is_planned_as_the_tag_latest_of_a_name_that_no_parser_takes():
    (image,) = plan(img("*")).images
    assert (image.target.reference.exact(), image.tag) == ("*:latest", "latest")


def test_a_name_that_does_not_parse_fails_without_a_request():
    (image,) = plan_import(isi(img("a///b")), None, ImportRules()).images
    assert status_of(image.error)["message"] == (
        ' "" is invalid: from.name: Invalid value: "a///b": invalid name: invalid reference format'
    )


@pytest.mark.case("import 2-30")
def test_a_blocked_registry_is_named_as_people_know_it_and_has_no_tag():
    rules = ImportRules(registries=build_registries(["docker.io"], [], []))
    made = plan(img("busybox:1"), repository="busybox", rules=rules)
    (image,) = made.images
    assert (image.target, image.tag) == (None, "")
    assert status_of(image.error) == {
        "metadata": {},
        "status": "Failure",
        "message": "forbidden: registry docker.io blocked",
        "reason": "Forbidden",
        "details": {},
        "code": 403,
    }
    assert made.repository is None
    assert made.repository_error.message == "forbidden: registry docker.io blocked"


def test_a_repository_name_that_is_a_registry_alone_is_invalid():
    error = plan(repository="quay.io").repository_error
    assert status_of(error)["message"] == (
        '.image.openshift.io "repository" is invalid: from.name: Invalid value: "": the provided '
        "repository name is not valid"
    )


ANNOTATIONS = {
    "importer.image.openshift.io/prefer-arch": "arm64",
    "importer.image.openshift.io/prefer-os": "linux",
    "importer.image.openshift.io/prefer-variant": "v8",
}


@pytest.mark.parametrize(
    ("image", "preferred"),
    [
        (img("foo:1"), True),
        (img("foo:9", to="1"), True),
        (img("foo:1", to="other"), False),
        (img("foo"), True),
        (img(f"foo:1@{D1}"), False),
    ],
)
def test_the_platform_preference_is_that_of_the_existing_spec_tag(image, preferred):
    stream = stream_of(
        [wish("1", "x", annotations=ANNOTATIONS), wish("latest", "x", annotations=ANNOTATIONS)]
    )
    (planned,) = plan(image, stream=stream).images
    wanted = PlatformPreference("arm64", "linux", "v8") if preferred else PlatformPreference()
    assert planned.target.prefer == wanted


def test_repository_imports_have_no_platform_preference():
    stream = stream_of([wish("1", "x", annotations=ANNOTATIONS)])
    made = plan(repository="foo", stream=stream)
    assert made.repository.tag_target("1").prefer == PlatformPreference()


def test_insecure_and_display_form_are_those_of_each_element():
    made = plan(img("docker.io/foo:1", insecure=True), img("foo:1"))
    first, second = made.images
    assert (first.target.insecure, first.target.reference.registry) == (True, "docker.io")
    assert (second.target.insecure, second.target.reference.registry) == (False, "")
    assert first.target.key() == second.target.key()


@pytest.mark.parametrize(
    ("configured", "asked", "limit"),
    [(50, None, 50), (-1, None, -1), (0, None, 0), (-7, None, 0), (50, -1, -1), (50, 7, 7)],
)
@pytest.mark.case("import 2-46")
def test_the_limit_is_the_servers_unless_a_front_door_asked_for_another(configured, asked, limit):
    made = plan(repository=f"{REG}/a/b", rules=ImportRules(max_tags=configured), max_tags=asked)
    assert isinstance(made.repository, RepositoryTarget)
    assert made.repository.limit == limit


@pytest.mark.case("import 2-49", "import 2-50")
@pytest.mark.parametrize(
    ("name", "do", "carried"),
    [("foo:1", False, True), ("foo:1", True, False), (f"foo@{D1}", True, True)],
)
def test_content_is_carried_only_where_the_answer_will_show_it(name, do, carried):
    (image,) = plan(img(name, manifest=True), do=do).images
    assert image.target.with_content is carried
    (image,) = plan(img(name), do=do).images
    assert image.target.with_content is False


def test_the_servers_import_mode_reaches_the_target():
    request = default_import(isi(img("foo:1")), mode="PreserveOriginal")
    (image,) = plan_import(request, None, ImportRules()).images
    assert image.target.import_mode == "PreserveOriginal"


@pytest.mark.case("import 2-14")
def test_another_resource_version_is_a_conflict():
    stream = stream_of(name="a", resourceVersion="11")
    with pytest.raises(StreamConflictError) as caught:
        check_precondition(isi(img("x:1"), name="a", resourceVersion="1"), stream)
    status = status_of(caught.value)
    assert status["message"] == (
        'Operation cannot be fulfilled on imagestream.image.openshift.io "a": the image stream '
        'was updated from "1" to "11"'
    )
    assert (status["code"], status["details"]["kind"]) == (409, "imagestream")


@pytest.mark.case("import 2-15")
def test_another_uid_is_another_stream():
    stream = stream_of(name="a", uid="one")
    with pytest.raises(NotFoundError) as caught:
        check_precondition(isi(img("x:1"), name="a", uid="two"), stream)
    assert caught.value.message == 'imagestream.image.openshift.io "a" not found'
    assert caught.value.details()["kind"] == "imagestream"


@pytest.mark.case("import 2-16")
def test_a_precondition_on_a_stream_that_is_not_there():
    for condition in ({"resourceVersion": "1"}, {"uid": "u"}):
        with pytest.raises(NotFoundError) as caught:
            check_precondition(isi(img("x:1"), name="missing", **condition), None)
        assert caught.value.message == ('imagestreamimports.image.openshift.io "missing" not found')
        assert caught.value.details()["kind"] == "imagestreamimports"


def test_without_preconditions_any_stream_or_none_will_do():
    check_precondition(isi(img("x:1")), None)
    check_precondition(isi(img("x:1")), stream_of(resourceVersion="7", uid="u"))
    check_precondition(
        isi(img("x:1"), resourceVersion="7", uid="u"), stream_of(resourceVersion="7", uid="u")
    )
