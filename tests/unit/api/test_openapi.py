"""What `kubectl` reads before it validates, merges or explains: `api.md` C18 and B1.1."""

import json
import re

import jsonschema
import pytest

from api.openapi.external_types import HANDMADE
from api.openapi.openapi_builder import build_group, build_index
from api.openapi.schemas import _MODELS, WORDS
from api.openapi.type_notation import build_type
from api.patch.merge_keys import shape_of
from api.served_resources import RESOURCES
from models.resources.image import Image, ImageLayer, ImageManifest
from models.resources.stream import (
    ImageStream,
    ImageStreamSpec,
    ImageStreamStatus,
    ImageStreamTag,
    ImageTag,
    NamedTagEventList,
    TagReference,
)

PLACES = sorted(json.loads(build_index()[0])["paths"])
DOCUMENTS = {place: json.loads(build_group(place)[0]) for place in PLACES}
IMAGE = DOCUMENTS["apis/image.openshift.io/v1"]
SCHEMAS = IMAGE["components"]["schemas"]
PREFIX = "com.github.openshift.api.image.v1."
ROOT = "/apis/image.openshift.io/v1"


def operations(document):
    """Path, method and operation of everything that can be done."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if method != "parameters":
                yield path, method, operation


def walk(value):
    """Every object inside a document."""
    if isinstance(value, dict):
        yield value
        for each in value.values():
            yield from walk(each)
    elif isinstance(value, list):
        for each in value:
            yield from walk(each)


def follow(document, reference):
    found = document
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    return found


def parameters(operation):
    return [(each["name"], each["in"]) for each in operation.get("parameters", [])]


def test_the_index_names_every_group_with_the_hash_of_its_document():
    assert PLACES == [
        "api/v1",
        "apis/authentication.k8s.io/v1",
        "apis/authorization.k8s.io/v1",
        "apis/image.openshift.io/v1",
        "apis/project.openshift.io/v1",
        "apis/sync.tagstream.io/v1",
        "apis/user.openshift.io/v1",
    ]
    index = json.loads(build_index()[0])
    for place, entry in index["paths"].items():
        assert entry == {
            "serverRelativeURL": f"/openapi/v3/{place}?hash={build_group(place)[1]}",
        }
    assert len({build_group(place)[1] for place in PLACES} | {build_index()[1]}) == 8


def test_documents_are_made_once():
    assert build_group("api/v1")[0] is build_group("api/v1")[0]
    assert build_index()[0] is build_index()[0]


@pytest.mark.parametrize("place", ["", "api", "api/v2", "apis/batch/v1", "apis//v1", "../api/v1"])
def test_other_groups_have_no_document(place):
    assert build_group(place) is None


@pytest.mark.parametrize("place", PLACES)
def test_every_reference_leads_somewhere_and_no_schema_is_left_over(place):
    document = DOCUMENTS[place]
    references = {each["$ref"] for each in walk(document) if "$ref" in each}
    for reference in references:
        assert follow(document, reference)
    schemas = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert schemas <= references


@pytest.mark.parametrize("place", PLACES)
def test_every_operation_has_a_name_of_its_own_and_says_what_it_does_to_what(place):
    names = [each["operationId"] for _, _, each in operations(DOCUMENTS[place])]
    assert len(names) == len(set(names))
    kinds = {(info.group, info.kind) for info in RESOURCES}
    for path, _, operation in operations(DOCUMENTS[place]):
        assert operation["description"]
        if not path.endswith("/"):
            named = operation["x-kubernetes-group-version-kind"]
            assert (named["group"], named["kind"]) in kinds
            assert operation["x-kubernetes-action"]
            assert {"401", "403"} < set(operation["responses"])


@pytest.mark.parametrize("place", PLACES)
def test_every_part_of_a_path_is_a_parameter_of_it(place):
    for path, item in DOCUMENTS[place]["paths"].items():
        named = [each["name"] for each in item.get("parameters", []) if each["in"] == "path"]
        assert sorted(named) == sorted(re.findall(r"{(\w+)}", path))


@pytest.mark.case("api 222")
@pytest.mark.parametrize("kind", ["Image", "ImageStream", "ImageStreamTag", "ImageTag"])
def test_a_patch_takes_all_four_types_and_lets_the_server_validate(kind):
    found = [
        operation
        for path, method, operation in operations(IMAGE)
        if method == "patch"
        and operation["x-kubernetes-group-version-kind"]["kind"] == kind
        and path.endswith("{name}")
    ]
    (patch,) = found
    assert patch["x-kubernetes-group-version-kind"] == {
        "group": "image.openshift.io",
        "version": "v1",
        "kind": kind,
    }
    assert patch["x-kubernetes-action"] == "patch"
    assert ("fieldValidation", "query") in parameters(patch)
    assert sorted(patch["requestBody"]["content"]) == [
        "application/apply-patch+yaml",
        "application/json-patch+json",
        "application/merge-patch+json",
        "application/strategic-merge-patch+json",
    ]
    assert {"200", "201", "401", "409", "415", "422"} < set(patch["responses"])


@pytest.mark.parametrize("kind", ["Namespace", "Secret"])
def test_core_kinds_can_be_validated_by_the_server_too(kind):
    kinds = [
        operation["x-kubernetes-group-version-kind"]
        for _, method, operation in operations(DOCUMENTS["api/v1"])
        if method == "patch" and ("fieldValidation", "query") in parameters(operation)
    ]
    assert {"group": "", "version": "v1", "kind": kind} in kinds


REFERENCE = """\
images delete get post
watch/images get
images/{name} delete get patch put
watch/images/{name} get
imagesignatures post
imagesignatures/{name} delete
NS/imagestreamimages/{name} get
NS/imagestreamimports post
NS/imagestreams/{name}/layers get
NS/imagestreammappings post
imagestreams get
watch/imagestreams get
NS/imagestreams delete get post
watch/NS/imagestreams get
NS/imagestreams/{name} delete get patch put
watch/NS/imagestreams/{name} get
NS/imagestreams/{name}/status get patch put
imagestreamtags get
NS/imagestreamtags get post
NS/imagestreamtags/{name} delete get patch put
imagetags get
NS/imagetags get post
NS/imagetags/{name} delete get patch put
NS/imagestreams/{name}/secrets get"""


def test_the_image_group_has_the_forty_four_operations_of_its_reference_and_no_others():
    wanted = {}
    for line in REFERENCE.replace("NS", "namespaces/{namespace}").splitlines():
        path, *methods = line.split()
        wanted[f"{ROOT}/{path}"] = methods
    assert sum(map(len, wanted.values())) == 44
    found = {}
    for path, method, _ in operations(IMAGE):
        found.setdefault(path, []).append(method)
    del found[f"{ROOT}/"]
    assert {path: sorted(methods) for path, methods in found.items()} == wanted


@pytest.mark.parametrize(
    ("path", "method", "name", "text"),
    [
        (
            "images",
            "delete",
            "deleteImageOpenshiftIoV1CollectionImage",
            "delete collection of Image",
        ),
        (
            "namespaces/{namespace}/imagestreams/{name}/layers",
            "get",
            "readImageOpenshiftIoV1NamespacedImageStreamLayers",
            "read layers of the specified ImageStream",
        ),
        (
            "namespaces/{namespace}/imagestreams/{name}/status",
            "patch",
            "patchImageOpenshiftIoV1NamespacedImageStreamStatus",
            "partially update status of the specified ImageStream",
        ),
        (
            "imagestreamtags",
            "get",
            "listImageOpenshiftIoV1ImageStreamTagForAllNamespaces",
            "list objects of kind ImageStreamTag",
        ),
        (
            "namespaces/{namespace}/imagestreamimports",
            "post",
            "createImageOpenshiftIoV1NamespacedImageStreamImport",
            "create an ImageStreamImport",
        ),
    ],
)
def test_operations_are_named_as_upstream_names_them(path, method, name, text):
    operation = IMAGE["paths"][f"{ROOT}/{path}"][method]
    assert operation["operationId"] == name
    assert operation["description"] == text


def test_writes_take_dry_run_and_field_validation_and_only_watched_lists_take_watch():
    for _, method, operation in operations(IMAGE):
        given = [name for name, _ in parameters(operation)]
        if method != "get":
            assert "dryRun" in given
        assert ("fieldValidation" in given) == (method in {"post", "put", "patch"})
        assert ("force" in given) == (method == "patch")
    streams = IMAGE["paths"][f"{ROOT}/imagestreams"]["get"]
    tags = IMAGE["paths"][f"{ROOT}/imagestreamtags"]["get"]
    assert ("watch", "query") in parameters(streams)
    assert ("watch", "query") not in parameters(tags)
    assert "application/json;stream=watch" in streams["responses"]["200"]["content"]
    assert "application/json;stream=watch" not in tags["responses"]["200"]["content"]


def test_what_answers_with_a_status_says_so():
    status = "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.Status"
    mapping = IMAGE["paths"][f"{ROOT}/namespaces/{{namespace}}/imagestreammappings"]["post"]
    answer = mapping["responses"]["201"]["content"]["application/json"]["schema"]
    assert answer == {"$ref": status}
    assert follow(IMAGE, status)["x-kubernetes-group-version-kind"] == [
        {"group": "", "version": "v1", "kind": "Status"}
    ]


@pytest.mark.parametrize("place", PLACES)
def test_kubectl_can_explain_every_field_of_every_type(place):
    for name, schema in DOCUMENTS[place]["components"]["schemas"].items():
        assert schema["description"], name
        for field, described in schema.get("properties", {}).items():
            assert described.get("description"), f"{name}.{field}"


def test_words_speak_of_nothing_that_is_not_there():
    assert set(WORDS) == set(_MODELS)
    for name, words in WORDS.items():
        fields = {field.alias for field in _MODELS[name].model_fields.values()}
        assert set(words) == fields | {""}, name
    assert not set(HANDMADE) & set(_MODELS)


@pytest.mark.parametrize("place", PLACES)
def test_every_kind_has_a_schema_that_names_it(place):
    group = "" if place == "api/v1" else place.split("/")[1]
    named = [
        (each["group"], each["kind"])
        for schema in DOCUMENTS[place]["components"]["schemas"].values()
        for each in schema.get("x-kubernetes-group-version-kind", [])
    ]
    assert len(named) == len(set(named))
    wanted = {(info.group, info.kind) for info in RESOURCES if info.group == group}
    lists = {
        (info.group, info.list_kind)
        for info in RESOURCES
        if info.group == group and "list" in info.verbs and info.kind != "ProjectRequest"
    }
    assert wanted | lists <= set(named)


def test_a_strategic_patch_knows_how_lists_merge():
    def extensions(kind, field):
        found = SCHEMAS[PREFIX + kind]["properties"][field]
        return (
            found.get("x-kubernetes-patch-strategy"),
            found.get("x-kubernetes-patch-merge-key"),
        )

    assert extensions("ImageStreamSpec", "tags") == ("merge", "name")
    assert extensions("ImageStreamStatus", "tags") == ("merge", "tag")
    assert extensions("ImageSignature", "conditions") == ("merge", "type")
    assert extensions("Image", "dockerImageMetadata") == ("replace", None)
    assert extensions("Image", "dockerImageLayers") == (None, None)
    # Elements have no name of their own: kubectl would fail on the key that upstream declares.
    assert extensions("Image", "signatures") == (None, None)
    meta = SCHEMAS["io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"]["properties"]
    assert meta["ownerReferences"]["x-kubernetes-patch-merge-key"] == "uid"
    assert meta["finalizers"]["x-kubernetes-patch-strategy"] == "merge"
    assert "x-kubernetes-patch-merge-key" not in meta["finalizers"]


def test_kubectl_and_the_server_merge_streams_and_namespaces_by_the_same_keys():
    stream, namespace = shape_of("ImageStream"), shape_of("Namespace")
    assert stream.member("spec").member("tags").key == "name"
    assert stream.member("status").member("tags").key == "tag"
    assert namespace.member("status").member("conditions").key == "type"
    core = DOCUMENTS["api/v1"]["components"]["schemas"]
    conditions = core["io.k8s.api.core.v1.NamespaceStatus"]["properties"]["conditions"]
    assert conditions["x-kubernetes-patch-merge-key"] == "type"


@pytest.mark.parametrize(
    ("kind", "required"),
    [
        ("ImageManifest", "architecture digest manifestSize mediaType os"),
        ("ImageLayer", "mediaType name size"),
        ("ImageSignature", "content type"),
        ("ImageStreamImage", "image"),
        ("ImageStreamImport", "spec status"),
        ("ImageStreamImportSpec", "import"),
        ("ImageImportSpec", "from"),
        ("RepositoryImportSpec", "from"),
        ("ImageImportStatus", "status"),
        ("ImageStreamLayers", "blobs images"),
        ("ImageStreamMapping", "image tag"),
        ("TagReference", "name"),
        ("ImageLookupPolicy", "local"),
        ("TagReferencePolicy", "type"),
        ("NamedTagEventList", "items tag"),
        ("TagEvent", "created dockerImageReference generation image"),
        ("TagEventCondition", "generation status type"),
        ("ImageStreamTag", "generation image lookupPolicy tag"),
        ("ImageTag", "image spec status"),
        ("SignatureCondition", "status type"),
        ("SignatureSubject", "publicKeyID"),
        ("ImageStreamList", "items"),
        ("SecretList", "items"),
        ("ImageStream", ""),
        ("Image", ""),
    ],
)
def test_fields_are_required_as_the_published_schemas_say(kind, required):
    assert SCHEMAS[PREFIX + kind].get("required", []) == required.split()


def test_types_are_written_as_kubernetes_writes_them():
    def refer(name):
        return f"#/{name}"

    assert build_type("int64", refer) == {"type": "integer", "format": "int64"}
    assert build_type("mapbytes", refer) == {
        "type": "object",
        "additionalProperties": {"type": "string", "format": "byte"},
    }
    assert build_type("null|[]@A", refer) == {
        "type": "array",
        "items": {"$ref": "#/A"},
        "nullable": True,
    }
    created = SCHEMAS[PREFIX + "TagEvent"]["properties"]["created"]
    assert (created["type"], created["format"]) == ("string", "date-time")
    metadata = SCHEMAS[PREFIX + "Image"]["properties"]["dockerImageMetadata"]
    assert metadata["type"] == "object"
    assert metadata["x-kubernetes-preserve-unknown-fields"] is True


def checkable(value):
    """OpenAPI 3.0's `nullable` as JSON Schema says it; defaults beside references go."""
    if isinstance(value, list):
        return [checkable(each) for each in value]
    if not isinstance(value, dict):
        return value
    plain = {key: checkable(each) for key, each in value.items() if key != "nullable"}
    return {"anyOf": [plain, {"type": "null"}]} if value.get("nullable") is True else plain


EVENT = {
    "created": "2026-01-02T03:04:05Z",
    "dockerImageReference": "quay.io/a/b@sha256:1",
    "image": "sha256:1",
    "generation": 1,
}
TAG = TagReference.model_validate(
    {"name": "v1", "from": {"kind": "DockerImage", "name": "quay.io/a/b:v1"}}
)
HISTORY = NamedTagEventList.model_validate({"tag": "v1", "items": [EVENT]})
BARE = NamedTagEventList(tag="v2")
FULL = Image(
    docker_image_layers=[ImageLayer(name="sha256:2", size=5, media_type="x")],
    docker_image_manifests=[
        ImageManifest(
            digest="sha256:3", media_type="y", manifest_size=7, architecture="arm64", os="linux"
        )
    ],
)


@pytest.mark.parametrize(
    ("kind", "item"),
    [
        ("Image", Image()),
        ("Image", FULL),
        ("ImageStream", ImageStream()),
        (
            "ImageStream",
            ImageStream(
                spec=ImageStreamSpec(tags=[TAG]), status=ImageStreamStatus(tags=[HISTORY, BARE])
            ),
        ),
        ("ImageStreamTag", ImageStreamTag()),
        ("ImageStreamTag", ImageStreamTag(tag=TAG, image=FULL)),
        ("ImageTag", ImageTag()),
        ("ImageTag", ImageTag(spec=TAG, status=HISTORY, image=FULL)),
    ],
)
def test_what_the_server_prints_is_what_the_schema_says(kind, item):
    document = checkable(IMAGE) | {"$ref": f"#/components/schemas/{PREFIX}{kind}"}
    jsonschema.Draft7Validator(document).validate(item.wire())
