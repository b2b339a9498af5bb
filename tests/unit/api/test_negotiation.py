"""Which form an `Accept` header gets: `api.md` C3."""

import pytest

from api.request.content_negotiation import PLAIN, Media, negotiate
from models.api_errors import NotAcceptableError
from models.errors import status_of

JSON = "application/json"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
OLD_TABLE = "application/json;as=Table;v=v1beta1;g=meta.k8s.io"
PARTIAL = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
PARTIAL_LIST = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
PROTOBUF = "application/vnd.kubernetes.protobuf"


def ask(accept, *, table=True, partial="list", watch=False):
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
def test_these_mean_json(accept):
    assert ask(accept) == PLAIN


@pytest.mark.case("api 120")
def test_yaml_is_given_to_whom_prefers_it():
    assert ask("application/yaml") == Media("yaml", "application/yaml")
    assert ask("application/json;q=0.5, application/yaml") == Media("yaml", "application/yaml")


def test_kubectl_gets_a_table_of_the_first_version_that_it_names():
    assert ask(f"{TABLE},{OLD_TABLE},application/json") == Media("table", JSON)
    assert ask(f"{OLD_TABLE},application/json") == Media("table", JSON, "v1beta1")
    assert ask(TABLE.replace("json", "yaml", 1) + ",application/json") == PLAIN


@pytest.mark.case("api 117")
def test_a_table_of_an_unknown_version_is_refused_unless_json_will_do():
    unknown = TABLE.replace("v=v1", "v=v2")
    with pytest.raises(NotAcceptableError) as refused:
        ask(unknown)
    status = status_of(refused.value)
    assert (status["code"], status["reason"], status["details"]) == (406, "NotAcceptable", {})
    assert status["message"].startswith("only the following media types are accepted: ")
    assert ask(f"{unknown},application/json") == PLAIN


@pytest.mark.case("api 118")
def test_a_resource_without_a_table_takes_the_next_clause():
    assert ask(f"{TABLE},application/json", table=False, partial=None) == PLAIN
    with pytest.raises(NotAcceptableError):
        ask(TABLE, table=False)


@pytest.mark.case("api 119")
@pytest.mark.parametrize("accept", ["text/html", PROTOBUF, "text/yaml", "nonsense", "*/json"])
def test_what_nobody_offers_is_not_acceptable(accept):
    with pytest.raises(NotAcceptableError) as refused:
        ask(accept)
    assert status_of(refused.value)["message"] == (
        "406: Not Acceptable\n\nAvailable representations: application/json, application/yaml"
    )


@pytest.mark.case("api 121")
def test_bare_metadata_comes_for_an_object_or_for_a_list_as_asked():
    assert ask(PARTIAL_LIST).kind == "partial_list"
    assert ask(PARTIAL, partial="object").kind == "partial"
    assert ask(f"{PARTIAL},application/json", partial=None) == PLAIN


def test_the_metadata_of_one_object_cannot_be_had_of_a_list_nor_the_other_way_round():
    with pytest.raises(NotAcceptableError, match=r"but the requested object is a list \("):
        ask(f"{PARTIAL},application/json")
    with pytest.raises(NotAcceptableError, match="but the requested object is not a list"):
        ask(PARTIAL_LIST, partial="object")


def test_a_watch_is_json_or_nothing():
    assert ask("application/json;stream=watch", watch=True) == PLAIN
    assert ask(f"{TABLE},application/json", watch=True).kind == "table"
    assert ask("application/yaml,application/json", watch=True) == PLAIN
    with pytest.raises(NotAcceptableError) as refused:
        ask("application/yaml", watch=True)
    assert refused.value.text == (
        "only the following media types are accepted: application/json;stream=watch"
    )
