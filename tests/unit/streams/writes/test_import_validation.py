"""Validation and defaults of import requests (imports-2.2 to imports-2.4, imports-2.7)."""

import pytest

from models.errors import InvalidObjectError, status_of
from models.streams.imports.import_rules import ImportRules
from models.streams.registries.registry_allowlist import AllowList
from models.streams.writes.object_defaults import default_import, default_stream
from models.streams.writes.stream_validation import check_import, validate_import
from tests.unit.streams.import_simulation import DIGEST_1, REG, img, isi, spec_tag, stream_of

MODE = "invalid import mode, valid modes are '', 'Legacy', 'PreserveOriginal'"


def refused(request, rules=None):
    with pytest.raises(InvalidObjectError) as caught:
        check_import(request, rules or ImportRules())
    return caught.value


def errors(*images, **rest):
    return [str(error) for error in validate_import(isi(*images, **rest))]


@pytest.mark.case("import 2-1")
def test_import_with_invalid_reference_is_422_with_one_cause():
    status = status_of(refused(isi(img("a///b"))))
    assert status["message"] == (
        'ImageStreamImport.image.openshift.io "is" is invalid: spec.images[0].from.name: '
        'Invalid value: "a///b": invalid reference format'
    )
    assert (status["code"], status["reason"]) == (422, "Invalid")
    (cause,) = status["details"]["causes"]
    assert cause["reason"] == "FieldValueInvalid"


@pytest.mark.case("import 2-2")
def test_import_rejects_kind_other_than_docker_image():
    assert errors(img("x:y", kind="ImageStreamTag")) == [
        'spec.images[0].from.kind: Invalid value: "ImageStreamTag": only DockerImage is supported'
    ]


@pytest.mark.case("import 2-3")
def test_import_rejects_target_tag_without_name():
    assert errors(img("a/b:t", to="")) == [
        'spec.images[0].to.name: Invalid value: "": the name of the target tag must be specified'
    ]


@pytest.mark.case("import 2-4")
def test_import_rejects_image_without_name():
    assert errors(img("")) == ["spec.images[0].from.name: Required value"]


@pytest.mark.case("import 2-5")
@pytest.mark.parametrize("name", ["a/b:tag", f"a/b@{DIGEST_1}"])
def test_import_rejects_repository_with_tag_or_digest(name):
    assert errors(repository=name) == [
        (
            f'spec.repository.from.name: Invalid value: "{name}": you must specify an image '
            "repository, not a tag or ID"
        )
    ]


@pytest.mark.case("import 2-6")
def test_import_rejects_invalid_repository():
    path = "spec.repository.from"
    text = f"{path}.name: Required value: container image references require a name"
    assert errors(repository="") == [text]
    odd = {"from": {"kind": "X", "name": "a/b"}}
    text = f'{path}.kind: Invalid value: "X": only DockerImage is supported'
    assert errors(repository=odd) == [text]
    assert errors(repository="*") == [f'{path}.name: Invalid value: "*": invalid reference format']


@pytest.mark.case("import 2-7")
def test_import_requires_image_or_repository():
    assert errors() == [
        (
            "spec.images: Invalid value: null: you must specify at least one image or a repository "
            "import"
        )
    ]


@pytest.mark.case("import 2-8")
def test_import_rejects_unknown_import_modes_images_first():
    repository = {
        "from": {"kind": "DockerImage", "name": "a/b"},
        "importPolicy": {"importMode": "Bad"},
    }
    assert errors(img("a/b:t", importMode="Bad"), repository=repository) == [
        f'spec.images[0].importPolicy.importMode: Invalid value: "Bad": {MODE}',
        f'spec.repository.importPolicy.importMode: Invalid value: "Bad": {MODE}',
    ]


def test_import_of_star_is_valid_but_checks_import_mode():
    assert errors(img("*")) == []
    (text,) = errors(img("*", importMode="Bad"))
    assert text.startswith("spec.images[0].importPolicy.importMode")


@pytest.mark.case("import 2-9")
@pytest.mark.parametrize(
    ("name", "detail"),
    [
        ("Bad", 'must match "[a-z0-9]+(?:[._-][a-z0-9]+)*"'),
        ("a__b", 'must match "[a-z0-9]+(?:[._-][a-z0-9]+)*"'),
        ("a\n", 'must match "[a-z0-9]+(?:[._-][a-z0-9]+)*"'),
        (".", "may not be '.'"),
        ("..", "may not be '..'"),
        ("a/b", "may not contain '/'"),
        ("a%b", "may not contain '%'"),
    ],
)
def test_import_rejects_invalid_stream_name(name, detail):
    assert errors(img("a/b:t"), name=name) == [f'metadata.name: Invalid value: "{name}": {detail}']


@pytest.mark.case("import 2-10")
def test_import_with_generate_name_requires_name():
    request = isi(img("a/b:t"), name="", generateName="x-")
    assert [str(error) for error in validate_import(request)] == ["metadata.name: Required value"]
    assert errors(img("a/b:t"), name="") == [
        "metadata.name: Required value: name or generateName is required"
    ]


def test_import_rejects_missing_or_invalid_namespace():
    assert errors(img("a/b:t"), namespace="") == ["metadata.namespace: Required value"]
    (text,) = errors(img("a/b:t"), namespace="No_Such")
    assert text.startswith('metadata.namespace: Invalid value: "No_Such": a lowercase RFC 1123')
    assert text.endswith("regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')")


def test_import_rejects_too_long_namespace_and_name():
    (text,) = errors(img("a/b:t"), name="n" * 253)
    assert text.endswith("'namespace/name' cannot be longer than 255 characters")


def rules(*domains, internal=""):
    pairs = [(name, False) for name in domains]
    return ImportRules(allow_list=AllowList.parse(pairs, internal_hostname=internal))


@pytest.mark.case("import 2-17")
def test_import_from_registry_off_allow_list_is_forbidden():
    error = refused(
        isi(img(f"{REG}/a/b:t")),
        rules("quay.io", "docker.io", "*.corp:5000", internal="internal:5000"),
    )
    assert [str(each) for each in error.errors] == [
        (
            f'spec.images[0].from.name: Forbidden: importing images from registry "{REG}" is '
            f'forbidden: registry "{REG}" not allowed by whitelist: "internal:5000", '
            '"quay.io:443", "docker.io:443", "*.corp:5000"'
        )
    ]


@pytest.mark.case("import 2-18")
def test_allow_list_checks_repository_first_and_insecure_port_80():
    repository = {
        "from": {"kind": "DockerImage", "name": "bad.io/x"},
        "importPolicy": {"insecure": True},
    }
    error = refused(isi(img("bad2.io/y:1"), repository=repository), rules("quay.io"))
    assert [(each.field, each.message.split('"')[1]) for each in error.errors] == [
        ("spec.repository.from.name", "bad.io:80"),
        ("spec.images[0].from.name", "bad2.io:443"),
    ]


@pytest.mark.parametrize(
    ("listed", "refused_names"),
    [
        ("docker.io", []),
        ("registry-1.docker.io", ["busybox"]),
        (
            "index.docker.io",
            [
                "busybox",
                "docker.io/busybox",
                "index.docker.io/busybox",
                "registry-1.docker.io/library/busybox",
            ],
        ),
    ],
)
def test_allow_list_admits_docker_hub_by_listed_name(listed, refused_names):
    names = [
        "busybox",
        "docker.io/busybox",
        "index.docker.io/busybox",
        "registry-1.docker.io/library/busybox",
    ]
    for name in names:
        request = isi(img(name))
        if name in refused_names:
            refused(request, rules(listed))
        else:
            check_import(request, rules(listed))


def test_allow_list_checks_star_as_docker_hub():
    check_import(isi(img("*")), rules("docker.io"))
    assert 'registry "docker.io:443"' in refused(isi(img("*")), rules("quay.io")).message


@pytest.mark.case("import 2-20")
def test_allow_list_exempts_caller_that_may_create_images():
    check_import(isi(img(f"{REG}/a/b:t")), rules("quay.io"), exempt=True)


@pytest.mark.case("import 2-12")
@pytest.mark.parametrize(
    ("name", "to", "wanted"),
    [
        ("foo:1", None, "1"),
        ("foo:1", "x", "x"),
        ("foo", "x", "x"),
        ("foo", None, None),
        (f"foo@{DIGEST_1}", "x", "x"),
        (f"foo@{DIGEST_1}", None, None),
        (f"foo:1@{DIGEST_1}", None, "1"),
        ("a///b", None, None),
    ],
)
def test_default_import_takes_target_from_explicit_tag_only(name, to, wanted):
    (image,) = default_import(isi(img(name, to=to))).spec.images
    assert (image.to and image.to.name) == wanted


def test_default_import_sets_only_missing_import_mode():
    request = isi(img("a:1"), img("b:1", importMode="Legacy"), repository="c")
    request = default_import(default_import(request, mode="PreserveOriginal"), mode="Legacy")
    modes = [image.import_policy.import_mode for image in request.spec.images]
    assert modes == ["PreserveOriginal", "Legacy"]
    assert request.spec.repository.import_policy.import_mode == "PreserveOriginal"


def test_default_stream_sets_only_missing_import_mode():
    stream = stream_of(
        [spec_tag("a", "x:1"), spec_tag("b", "y:1", importPolicy={"importMode": "Legacy"})]
    )
    modes = [
        tag.import_policy.import_mode
        for tag in default_stream(stream, mode="PreserveOriginal").spec.tags
    ]
    assert modes == ["PreserveOriginal", "Legacy"]
