"""The plan of an import: its targets, each once (imports-2.11, imports-2.14, imports-3.1)."""

import pytest

from models.errors import NotFoundError, StreamConflictError, status_of
from models.images.image_index import PlatformPreference
from models.streams.imports.import_outcome import RepositoryImportTarget
from models.streams.imports.import_plan import check_precondition, plan_import
from models.streams.imports.import_rules import ImportRules
from models.streams.registries.registry_mirrors import build_registry_config
from models.streams.writes.object_defaults import default_import
from tests.unit.streams.import_simulation import DIGEST_1, REG, img, isi, spec_tag, stream_of


def plan(*images, stream=None, rules=None, max_tags=None, **rest):
    request = default_import(isi(*images, **rest))
    return plan_import(request, stream, rules or ImportRules(), max_tags=max_tags)


@pytest.mark.case("import 2-12")
@pytest.mark.parametrize(
    ("name", "fetched", "tag"),
    [
        ("foo:1", "foo:1", "1"),
        ("foo", "foo:latest", "latest"),
        (f"foo@{DIGEST_1}", f"foo@{DIGEST_1}", ""),
        (f"foo:1@{DIGEST_1}", f"foo@{DIGEST_1}", ""),
    ],
)
def test_plan_fetches_digest_or_tag_of_reference(name, fetched, tag):
    (image,) = plan(img(name)).images
    assert (image.target.reference.exact(), image.tag) == (fetched, tag)


def test_plan_lists_equal_targets_once_digests_first():
    planned_import = plan(
        img("foo:1"),
        img("foo:1", to="x"),
        img(f"foo:1@{DIGEST_1}"),
        img(f"foo@{DIGEST_1}"),
        img("foo:2"),
    )
    assert [target.reference.exact() for target in planned_import.targets] == [
        f"foo@{DIGEST_1}",
        "foo:1",
        "foo:2",
    ]


@pytest.mark.case("import 2-11")
def test_plan_of_star_targets_tag_latest():
    (image,) = plan(img("*")).images
    assert (image.target.reference.exact(), image.tag) == ("*:latest", "latest")


def test_plan_of_unparsable_name_holds_error():
    (image,) = plan_import(isi(img("a///b")), None, ImportRules()).images
    assert status_of(image.error)["message"] == (
        ' "" is invalid: from.name: Invalid value: "a///b": invalid name: invalid reference format'
    )


@pytest.mark.case("import 2-30")
def test_plan_for_blocked_registry_holds_forbidden_error_without_tag():
    rules = ImportRules(registries=build_registry_config(["docker.io"], [], []))
    planned_import = plan(img("busybox:1"), repository="busybox", rules=rules)
    (image,) = planned_import.images
    assert (image.target, image.tag) == (None, "")
    assert status_of(image.error) == {
        "metadata": {},
        "status": "Failure",
        "message": "forbidden: registry docker.io blocked",
        "reason": "Forbidden",
        "details": {},
        "code": 403,
    }
    assert planned_import.repository is None
    assert planned_import.repository_error.message == "forbidden: registry docker.io blocked"


def test_plan_of_repository_that_is_only_a_registry_is_invalid():
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
        (img(f"foo:1@{DIGEST_1}"), False),
    ],
)
def test_plan_takes_platform_preference_of_existing_spec_tag(image, preferred):
    stream = stream_of(
        [
            spec_tag("1", "x", annotations=ANNOTATIONS),
            spec_tag("latest", "x", annotations=ANNOTATIONS),
        ]
    )
    (planned,) = plan(image, stream=stream).images
    wanted = PlatformPreference("arm64", "linux", "v8") if preferred else PlatformPreference()
    assert planned.target.platform_preference == wanted


def test_plan_of_repository_has_no_platform_preference():
    stream = stream_of([spec_tag("1", "x", annotations=ANNOTATIONS)])
    planned_import = plan(repository="foo", stream=stream)
    assert planned_import.repository.tag_target("1").platform_preference == PlatformPreference()


def test_plan_keeps_insecure_and_written_form_of_each_element():
    planned_import = plan(img("docker.io/foo:1", insecure=True), img("foo:1"))
    first, second = planned_import.images
    assert (first.target.insecure, first.target.reference.registry) == (True, "docker.io")
    assert (second.target.insecure, second.target.reference.registry) == (False, "")
    assert first.target.key() == second.target.key()


@pytest.mark.parametrize(
    ("configured", "requested", "limit"),
    [(50, None, 50), (-1, None, -1), (0, None, 0), (-7, None, 0), (50, -1, -1), (50, 7, 7)],
)
@pytest.mark.case("import 2-46")
def test_plan_tag_limit_is_configured_unless_requested(configured, requested, limit):
    planned_import = plan(
        repository=f"{REG}/a/b", rules=ImportRules(max_tags=configured), max_tags=requested
    )
    assert isinstance(planned_import.repository, RepositoryImportTarget)
    assert planned_import.repository.limit == limit


@pytest.mark.case("import 2-49", "import 2-50")
@pytest.mark.parametrize(
    ("name", "do", "carried"),
    [("foo:1", False, True), ("foo:1", True, False), (f"foo@{DIGEST_1}", True, True)],
)
def test_plan_includes_content_only_where_response_shows_it(name, do, carried):
    (image,) = plan(img(name, manifest=True), do=do).images
    assert image.target.with_content is carried
    (image,) = plan(img(name), do=do).images
    assert image.target.with_content is False


def test_plan_target_has_default_import_mode():
    request = default_import(isi(img("foo:1")), mode="PreserveOriginal")
    (image,) = plan_import(request, None, ImportRules()).images
    assert image.target.import_mode == "PreserveOriginal"


@pytest.mark.case("import 2-14")
def test_precondition_on_other_resource_version_is_conflict():
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
def test_precondition_on_other_uid_is_not_found():
    stream = stream_of(name="a", uid="one")
    with pytest.raises(NotFoundError) as caught:
        check_precondition(isi(img("x:1"), name="a", uid="two"), stream)
    assert caught.value.message == 'imagestream.image.openshift.io "a" not found'
    assert caught.value.details()["kind"] == "imagestream"


@pytest.mark.case("import 2-16")
def test_precondition_on_missing_stream_is_not_found():
    for condition in ({"resourceVersion": "1"}, {"uid": "u"}):
        with pytest.raises(NotFoundError) as caught:
            check_precondition(isi(img("x:1"), name="missing", **condition), None)
        assert caught.value.message == ('imagestreamimports.image.openshift.io "missing" not found')
        assert caught.value.details()["kind"] == "imagestreamimports"


def test_precondition_absent_or_met_passes():
    check_precondition(isi(img("x:1")), None)
    check_precondition(isi(img("x:1")), stream_of(resourceVersion="7", uid="u"))
    check_precondition(
        isi(img("x:1"), resourceVersion="7", uid="u"), stream_of(resourceVersion="7", uid="u")
    )
