"""OpenAPI documents, by which `kubectl` validates, merges and explains (api-14.3 to api-14.5)."""

import json
import re

import jsonschema
import pytest

from api.openapi.external_types import EXTERNAL_TYPES
from api.openapi.openapi_builder import build_group_document, build_index
from api.openapi.schemas import _MODELS, DESCRIPTIONS
from api.openapi.type_notation import build_type
from api.patch.merge_keys import merge_schema_of
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

GROUP_VERSIONS = sorted(json.loads(build_index()[0])["paths"])
DOCUMENTS = {
    group_version: json.loads(build_group_document(group_version)[0])
    for group_version in GROUP_VERSIONS
}
IMAGE = DOCUMENTS["apis/image.openshift.io/v1"]
SCHEMAS = IMAGE["components"]["schemas"]
PREFIX = "com.github.openshift.api.image.v1."
ROOT = "/apis/image.openshift.io/v1"


def operations(document):
    """Yield path, method and operation of every operation."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if method != "parameters":
                yield path, method, operation


def walk(value):
    """Yield every object inside a document."""
    if isinstance(value, dict):
        yield value
        for each in value.values():
            yield from walk(each)
    elif isinstance(value, list):
        for each in value:
            yield from walk(each)


def resolve(document, reference):
    found = document
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    return found


def parameters(operation):
    return [(each["name"], each["in"]) for each in operation.get("parameters", [])]


def test_openapi_index_lists_groups_with_document_hashes():
    assert GROUP_VERSIONS == [
        "api/v1",
        "apis/authentication.k8s.io/v1",
        "apis/authorization.k8s.io/v1",
        "apis/image.openshift.io/v1",
        "apis/project.openshift.io/v1",
        "apis/sync.tagstream.io/v1",
        "apis/user.openshift.io/v1",
    ]
    index = json.loads(build_index()[0])
    for group_version, entry in index["paths"].items():
        document_hash = build_group_document(group_version)[1]
        assert entry == {"serverRelativeURL": f"/openapi/v3/{group_version}?hash={document_hash}"}
    assert (
        len(
            {build_group_document(group_version)[1] for group_version in GROUP_VERSIONS}
            | {build_index()[1]}
        )
        == 8
    )


def test_openapi_documents_are_cached():
    assert build_group_document("api/v1")[0] is build_group_document("api/v1")[0]
    assert build_index()[0] is build_index()[0]


@pytest.mark.parametrize(
    "group_version", ["", "api", "api/v2", "apis/batch/v1", "apis//v1", "../api/v1"]
)
def test_openapi_document_of_unknown_group_is_none(group_version):
    assert build_group_document(group_version) is None


@pytest.mark.parametrize("group_version", GROUP_VERSIONS)
def test_openapi_references_resolve_and_every_schema_is_used(group_version):
    document = DOCUMENTS[group_version]
    references = {each["$ref"] for each in walk(document) if "$ref" in each}
    for reference in references:
        assert resolve(document, reference)
    schemas = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert schemas <= references


@pytest.mark.parametrize("group_version", GROUP_VERSIONS)
def test_openapi_operations_have_unique_id_kind_and_action(group_version):
    names = [each["operationId"] for _, _, each in operations(DOCUMENTS[group_version])]
    assert len(names) == len(set(names))
    kinds = {(info.group, info.kind) for info in RESOURCES}
    for path, _, operation in operations(DOCUMENTS[group_version]):
        assert operation["description"]
        if not path.endswith("/"):
            named = operation["x-kubernetes-group-version-kind"]
            assert (named["group"], named["kind"]) in kinds
            assert operation["x-kubernetes-action"]
            assert {"401", "403"} < set(operation["responses"])


@pytest.mark.parametrize("group_version", GROUP_VERSIONS)
def test_openapi_paths_declare_their_parameters(group_version):
    for path, item in DOCUMENTS[group_version]["paths"].items():
        named = [each["name"] for each in item.get("parameters", []) if each["in"] == "path"]
        assert sorted(named) == sorted(re.findall(r"{(\w+)}", path))


@pytest.mark.case("api 222")
@pytest.mark.parametrize("kind", ["Image", "ImageStream", "ImageStreamTag", "ImageTag"])
def test_openapi_patch_accepts_four_types_and_field_validation(kind):
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
def test_openapi_patch_of_core_kind_has_field_validation(kind):
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


def test_openapi_image_group_has_exactly_44_operations():
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
def test_openapi_operation_has_upstream_id_and_description(path, method, name, text):
    operation = IMAGE["paths"][f"{ROOT}/{path}"][method]
    assert operation["operationId"] == name
    assert operation["description"] == text


def test_openapi_operations_declare_query_parameters():
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


def test_openapi_mapping_create_returns_status():
    status = "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.Status"
    mapping = IMAGE["paths"][f"{ROOT}/namespaces/{{namespace}}/imagestreammappings"]["post"]
    response = mapping["responses"]["201"]["content"]["application/json"]["schema"]
    assert response == {"$ref": status}
    assert resolve(IMAGE, status)["x-kubernetes-group-version-kind"] == [
        {"group": "", "version": "v1", "kind": "Status"}
    ]


@pytest.mark.parametrize("group_version", GROUP_VERSIONS)
def test_openapi_describes_every_field_of_every_schema(group_version):
    for name, schema in DOCUMENTS[group_version]["components"]["schemas"].items():
        assert schema["description"], name
        for field, described in schema.get("properties", {}).items():
            assert described.get("description"), f"{name}.{field}"


def test_openapi_descriptions_match_model_fields():
    assert set(DESCRIPTIONS) == set(_MODELS)
    for name, descriptions in DESCRIPTIONS.items():
        fields = {field.alias for field in _MODELS[name].model_fields.values()}
        assert set(descriptions) == fields | {""}, name
    assert not set(EXTERNAL_TYPES) & set(_MODELS)


@pytest.mark.parametrize("group_version", GROUP_VERSIONS)
def test_openapi_has_schema_for_every_kind_and_list(group_version):
    group = "" if group_version == "api/v1" else group_version.split("/")[1]
    named = [
        (each["group"], each["kind"])
        for schema in DOCUMENTS[group_version]["components"]["schemas"].values()
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


def test_openapi_schema_declares_patch_strategy_of_lists():
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
    # Elements have no `name`: kubectl would fail on the merge key that upstream declares.
    assert extensions("Image", "signatures") == (None, None)
    meta = SCHEMAS["io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"]["properties"]
    assert meta["ownerReferences"]["x-kubernetes-patch-merge-key"] == "uid"
    assert meta["finalizers"]["x-kubernetes-patch-strategy"] == "merge"
    assert "x-kubernetes-patch-merge-key" not in meta["finalizers"]


def test_openapi_merge_keys_equal_those_of_server():
    stream, namespace = merge_schema_of("ImageStream"), merge_schema_of("Namespace")
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
def test_openapi_required_fields_match_published_schemas(kind, required):
    assert SCHEMAS[PREFIX + kind].get("required", []) == required.split()


def test_openapi_type_notation_follows_kubernetes():
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
    """Return the document as JSON Schema: `nullable` of OpenAPI 3.0 becomes `anyOf` with null."""
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
EMPTY_HISTORY = NamedTagEventList(tag="v2")
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
                spec=ImageStreamSpec(tags=[TAG]),
                status=ImageStreamStatus(tags=[HISTORY, EMPTY_HISTORY]),
            ),
        ),
        ("ImageStreamTag", ImageStreamTag()),
        ("ImageStreamTag", ImageStreamTag(tag=TAG, image=FULL)),
        ("ImageTag", ImageTag()),
        ("ImageTag", ImageTag(spec=TAG, status=HISTORY, image=FULL)),
    ],
)
def test_openapi_schema_validates_serialized_objects(kind, item):
    document = checkable(IMAGE) | {"$ref": f"#/components/schemas/{PREFIX}{kind}"}
    jsonschema.Draft7Validator(document).validate(item.wire())
