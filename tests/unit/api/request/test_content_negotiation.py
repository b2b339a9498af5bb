"""Content negotiation by the `Accept` header (api-3.3 to api-3.6)."""

import pytest

from api.request.content_negotiation import JSON_MEDIA, NegotiatedMedia, negotiate
from models.api_errors import NotAcceptableError
from models.errors import status_of

JSON = "application/json"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
OLD_TABLE = "application/json;as=Table;v=v1beta1;g=meta.k8s.io"
PARTIAL = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
PARTIAL_LIST = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
PROTOBUF = "application/vnd.kubernetes.protobuf"


def negotiate_media(accept, *, table=True, partial="list", watch=False):
    return negotiate(accept, table=table, partial=partial, watch=watch)


@pytest.mark.parametrize(
    "accept",
    [
        "",
        "  ",
        "*/*",
        "application/*",
        "application/json",
        "Application/JSON; charset=utf-8",
        "application/json, */*",
        f"{PROTOBUF},application/json",
        "text/html, application/xhtml+xml, */*;q=0.8",
        "application/json;q=0.9, application/yaml;q=0.1",
        "application/yaml;q=0, application/json",
        "application/json;q=nonsense",
    ],
)
def test_accept_header_selects_json(accept):
    assert negotiate_media(accept) == JSON_MEDIA


@pytest.mark.case("api 120")
def test_accept_header_preferring_yaml_selects_yaml():
    assert negotiate_media("application/yaml") == NegotiatedMedia("yaml", "application/yaml")
    assert negotiate_media("application/json;q=0.5, application/yaml") == NegotiatedMedia(
        "yaml", "application/yaml"
    )


def test_accept_header_of_kubectl_selects_first_table_version():
    assert negotiate_media(f"{TABLE},{OLD_TABLE},application/json") == NegotiatedMedia(
        "table", JSON
    )
    assert negotiate_media(f"{OLD_TABLE},application/json") == NegotiatedMedia(
        "table", JSON, "v1beta1"
    )
    assert negotiate_media(TABLE.replace("json", "yaml", 1) + ",application/json") == JSON_MEDIA


@pytest.mark.case("api 117")
def test_accept_header_of_unknown_table_version_is_not_acceptable():
    unknown = TABLE.replace("v=v1", "v=v2")
    with pytest.raises(NotAcceptableError) as refused:
        negotiate_media(unknown)
    status = status_of(refused.value)
    assert (status["code"], status["reason"], status["details"]) == (406, "NotAcceptable", {})
    assert status["message"].startswith("only the following media types are accepted: ")
    assert negotiate_media(f"{unknown},application/json") == JSON_MEDIA


@pytest.mark.case("api 118")
def test_accept_header_skips_table_of_resource_without_one():
    assert negotiate_media(f"{TABLE},application/json", table=False, partial=None) == JSON_MEDIA
    with pytest.raises(NotAcceptableError):
        negotiate_media(TABLE, table=False)


@pytest.mark.case("api 119")
@pytest.mark.parametrize("accept", ["text/html", PROTOBUF, "text/yaml", "nonsense", "*/json"])
def test_accept_header_of_unsupported_type_is_not_acceptable(accept):
    with pytest.raises(NotAcceptableError) as refused:
        negotiate_media(accept)
    assert status_of(refused.value)["message"] == (
        "406: Not Acceptable\n\nAvailable representations: application/json, application/yaml"
    )


@pytest.mark.case("api 121")
def test_accept_header_selects_partial_object_or_list():
    assert negotiate_media(PARTIAL_LIST).kind == "partial_list"
    assert negotiate_media(PARTIAL, partial="object").kind == "partial"
    assert negotiate_media(f"{PARTIAL},application/json", partial=None) == JSON_MEDIA


def test_accept_header_of_partial_object_requires_single_object():
    with pytest.raises(NotAcceptableError, match=r"but the requested object is a list \("):
        negotiate_media(f"{PARTIAL},application/json")
    with pytest.raises(NotAcceptableError, match="but the requested object is not a list"):
        negotiate_media(PARTIAL_LIST, partial="object")


def test_accept_header_of_watch_allows_only_json():
    assert negotiate_media("application/json;stream=watch", watch=True) == JSON_MEDIA
    assert negotiate_media(f"{TABLE},application/json", watch=True).kind == "table"
    assert negotiate_media("application/yaml,application/json", watch=True) == JSON_MEDIA
    with pytest.raises(NotAcceptableError) as refused:
        negotiate_media("application/yaml", watch=True)
    assert refused.value.text == (
        "only the following media types are accepted: application/json;stream=watch"
    )
