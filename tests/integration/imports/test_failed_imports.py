"""What a registry's refusals and failures become in the answer (`import.md` 4)."""

import json

import pytest
from cryptography.fernet import Fernet

from tests import fixtures as fx
from tests.fakeregistry.certificates import self_signed
from tests.integration.imports import wares
from tests.integration.imports.conftest import img, isi

D1 = fx.digest_of(fx.S2)
CFG = fx.digest_of(fx.CFG_A)
TAG = "/a/b/manifests/t"
CONFIG = f"/a/b/blobs/{CFG}"
OWN_ADDRESS = [{"host": "127.0.0.1", "port": 0}]


def results(house, *images, **how):
    found = house.answer(isi(*images, do=False, **how))["images"]
    return [each["status"] for each in found]


def result(house, name, **how):
    (status,) = results(house, img(name, **how))
    return status


def listing(house, name):
    return house.answer(isi(repository=name, do=False))["repository"]


def is_internal(status, *words):
    """Whether it is an InternalError with all of the words."""
    assert (status["reason"], status["code"]) == ("InternalError", 500)
    assert status["message"].startswith("Internal error occurred: ")
    cause = status["message"].removeprefix("Internal error occurred: ")
    assert status["details"] == {"causes": [{"message": cause}]}
    for word in words:
        assert word in status["message"]
    return True


def not_found(name):
    return {
        "metadata": {},
        "status": "Failure",
        "message": f'dockerimage.image.openshift.io "{name}" not found',
        "reason": "NotFound",
        "details": {"name": name, "group": "image.openshift.io", "kind": "dockerimage"},
        "code": 404,
    }


def unauthorized(name):
    return {
        "metadata": {},
        "status": "Failure",
        "message": f'you may not have access to the container image "{name}"',
        "reason": "Unauthorized",
        "code": 401,
    }


def errors(*entries):
    """An error document: codes, or pairs of code and message."""
    pairs = [(each, "") if isinstance(each, str) else each for each in entries]
    listed = [{"code": code, "message": message} for code, message in pairs]
    return json.dumps({"errors": listed}).encode()


@pytest.fixture
def server(open_house):
    """A House as a server keeps it: its own machine is a registry like any other."""
    return open_house(
        broker_url="memory://", key=Fernet.generate_key().decode(), egress_allow=OWN_ADDRESS
    )


@pytest.mark.case("import 4-1")
@pytest.mark.parametrize("name", ["a/b:none", f"a/b@{fx.L1}"])
def test_what_is_not_there_is_named_in_full(house, reg, name):
    assert result(house, f"{reg.host}/{name}") == not_found(f"{reg.host}/{name}")


@pytest.mark.case("import 4-2", "import 4-3", "import 4-27")
@pytest.mark.parametrize(
    "body",
    [
        errors("MANIFEST_UNKNOWN"),
        errors(("MANIFEST_UNKNOWN", "manifest unknown")),
        errors("NAME_UNKNOWN"),
        errors(("NOT_FOUND", "artifact a/b:t not found")),
        b"<html>nope</html>",
        b"",
        b"{}",
        b'{"details":"x","errors":[{"code":"MANIFEST_UNKNOWN"}]}',
    ],
)
def test_404_is_not_found_whatever_is_said_with_it(house, reg, body):
    reg.fail_next(TAG, status=404, body=body)
    assert result(house, f"{reg.host}/a/b:t") == not_found(f"{reg.host}/a/b:t")


@pytest.mark.case("import 4-2", "import 4-26")
@pytest.mark.parametrize(
    ("status", "body"),
    [
        (401, errors("UNAUTHORIZED")),
        (401, errors(("UNAUTHORIZED", "incorrect username or password"))),
        (401, b"<html>login</html>"),
        (401, b'{"details":"no"}'),
        (403, errors("DENIED", "UNAUTHORIZED")),
    ],
)
def test_what_needs_a_login_says_so(house, reg, status, body):
    reg.on(TAG, lambda _: None)
    reg.fail_next(TAG, status=status, body=body, times=9)
    assert result(house, f"{reg.host}/a/b:t") == unauthorized(f"{reg.host}/a/b:t")


@pytest.mark.case("import 4-2")
@pytest.mark.parametrize(
    ("status", "body", "text"),
    [
        (401, errors("DENIED"), "denied"),
        (403, errors("DENIED"), "denied"),
        (403, b'{"details":"no way"}', "denied: no way"),
        (403, b"forbidden", 'error parsing HTTP 403 response body: {}: "forbidden"'),
        (400, errors("MANIFEST_INVALID"), "manifest invalid"),
        (403, errors(("DENIED", "nope"), ("X", "bar")), "errors:\ndenied: nope\nunknown: bar\n"),
        (304, b"", "manifest not modified"),
    ],
)
def test_other_refusals_are_told_in_the_registrys_words(house, reg, status, body, text):
    reg.fail_next(TAG, status=status, body=body, times=9)
    first, _, last = text.partition("{}")
    found = result(house, f"{reg.host}/a/b:t")
    assert is_internal(found)
    assert found["message"].startswith(f"Internal error occurred: {reg.host}/a/b:t: {first}")
    assert found["message"].endswith(last or first)
    assert wares.manifests(reg) == ["t"]


@pytest.mark.case("import 4-2")
@pytest.mark.parametrize(
    ("status", "body", "text"),
    [
        (
            429,
            errors(("TOOMANYREQUESTS", "You have reached your pull rate limit.")),
            "toomanyrequests: You have reached your pull rate limit.",
        ),
        (429, errors("TOOMANYREQUESTS"), "toomanyrequests"),
        (429, b'{"details":"slow down"}', "toomanyrequests: slow down"),
        (
            429,
            b"slow down",
            (
                "error parsing HTTP 429 response body: invalid character 's' looking for beginning "
                'of value: "slow down"'
            ),
        ),
        (500, b"oops", "received unexpected HTTP status: 500 Internal Server Error"),
        (503, errors("UNAVAILABLE"), "received unexpected HTTP status: 503 Service Unavailable"),
    ],
)
def test_what_may_pass_is_asked_three_times(house, reg, status, body, text):
    reg.fail_next(TAG, status=status, body=body, times=9)
    found = result(house, f"{reg.host}/a/b:t")
    assert is_internal(found)
    assert found["message"] == f"Internal error occurred: {reg.host}/a/b:t: {text}"
    assert len(reg.requests) == 3


@pytest.mark.case("import 4-4", "import 4-5")
@pytest.mark.parametrize(
    ("status", "headers"), [(429, {"Retry_After": "1"}), (503, {})], ids=["429", "503"]
)
def test_what_passes_is_a_success(house, reg, status, headers):
    reg.fail_next(TAG, status=status, body=errors("UNAVAILABLE"), times=2, **headers)
    assert result(house, f"{reg.host}/a/b:t")["status"] == "Success"
    assert wares.manifests(reg) == ["t"] * 3


@pytest.mark.case("import 4-2")
def test_answers_that_are_no_manifest_are_internal_errors(house, reg):
    reg.replace_body(TAG, b"<html>")
    reg.replace_body("/a/b/manifests/u", b"")
    web_page, nothing = results(house, *(img(f"{reg.host}/a/b:{tag}") for tag in ("t", "u")))
    lead = f"{reg.host}/a/b:"
    assert is_internal(web_page, f"{lead}t: ", "invalid character '<'")
    assert is_internal(nothing, f"{lead}u: ", "unexpected end of JSON input")


@pytest.mark.case("import 4-2")
def test_a_connection_that_ends_is_told_with_the_url(house, reg):
    reg.raw(TAG, b"")
    status = result(house, f"{reg.host}/a/b:t")
    assert is_internal(status, f"{reg.host}/a/b:t: Get ", f"{reg.host}/v2/a/b/manifests/t", "EOF")


@pytest.mark.case("import 4-2")
@pytest.mark.parametrize(
    ("status", "text", "asked"),
    [
        (404, "unknown blob", 1),
        (500, "received unexpected HTTP status: 500 Internal Server Error", 3),
    ],
)
def test_a_config_that_cannot_be_had_is_told_of_the_tag(house, reg, status, text, asked):
    reg.fail_next(CONFIG, status=status, body=errors("BLOB_UNKNOWN"), times=9)
    found = result(house, f"{reg.host}/a/b:t")
    assert is_internal(found)
    assert found["message"] == f"Internal error occurred: {reg.host}/a/b:t: {text}"
    assert len(wares.blobs(reg)) == asked


@pytest.mark.case("import 4-2")
def test_a_config_that_needs_a_login_is_told_of_the_tag(house, reg):
    reg.fail_next(CONFIG, status=401, body=errors("UNAUTHORIZED"), times=9)
    assert result(house, f"{reg.host}/a/b:t") == unauthorized(f"{reg.host}/a/b:t")


@pytest.mark.case("import 4-6", "import 4-8")
@pytest.mark.parametrize("status", [200, 302, 401, 403, 404, 500])
def test_what_v2_answers_is_no_matter_where_the_manifest_is_served(house, reg, status):
    reg.fail_next("/v2/", status=status, times=9, Location="/other/")
    assert result(house, f"{reg.host}/a/b:t")["status"] == "Success"
    assert len(reg.requests) == 2


@pytest.mark.case("import 4-7")
@pytest.mark.parametrize("status", [404, 429, 500, 503])
def test_a_web_server_is_no_registry(house, fake, status):
    page = b"<html>nothing here</html>"
    fake.fail_next(TAG, status=404, body=page, times=9)
    fake.fail_next("/v2/", status=status, body=page, times=9)
    found = result(house, f"{fake.host}/a/b:t")
    assert is_internal(
        found, f"{fake.host}/a/b:t: endpoint ", "does not support v2 API", f"{status} "
    )


@pytest.mark.case("import 4-9")
def test_a_registry_without_tls_is_for_those_who_allow_it(server, reg):
    text = "server gave HTTP response to HTTPS client"
    assert is_internal(result(server, f"{reg.host}/a/b:t"), f"{reg.host}/a/b:t: ", text)
    assert reg.requests == []
    assert result(server, f"{reg.host}/a/b:t", insecure=True)["status"] == "Success"


@pytest.mark.case("import 4-10")
def test_a_certificate_of_its_own_is_for_those_who_allow_it(server, open_fake):
    own = open_fake(tls=self_signed())
    own.push("a/b", tag="t", manifest=fx.S2, media_type=fx.S2_TYPE, config=fx.CFG_A)
    assert is_internal(result(server, f"{own.host}/a/b:t"), f"{own.host}/a/b:t: ", "x509")
    assert own.requests == []
    assert result(server, f"{own.host}/a/b:t", insecure=True)["status"] == "Success"


@pytest.mark.case("import 4-11")
@pytest.mark.parametrize("lax", ["image", "repository"])
def test_what_one_element_allows_is_not_allowed_to_another(server, reg, lax):
    reg.push("c/d", tag="t", manifest=fx.S2, media_type=fx.S2_TYPE, config=fx.CFG_A)
    repository = {
        "from": {"kind": "DockerImage", "name": f"{reg.host}/c/d"},
        "importPolicy": {"insecure": lax == "repository"},
    }
    image = img(f"{reg.host}/a/b:t", insecure=lax == "image")
    answer = server.answer(isi(image, repository=repository, do=False))
    statuses = {
        "image": answer["images"][0]["status"],
        "repository": answer["repository"]["status"],
    }
    assert statuses.pop(lax)["status"] == "Success"
    (refused,) = statuses.values()
    assert is_internal(refused, "server gave HTTP response to HTTPS client")


@pytest.mark.case("import 4-12")
@pytest.mark.parametrize(("insecure", "scheme"), [(False, "https"), (True, "http")])
def test_a_closed_port_is_told_with_the_url_that_was_tried(server, insecure, scheme):
    status = result(server, "127.0.0.1:1/a/b:t", insecure=insecure)
    assert is_internal(status, f'"{scheme}://127.0.0.1:1/v2/', "connection refused")


@pytest.mark.case("import 4-21")
@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (404, errors("NAME_UNKNOWN"), 'dockerimage.image.openshift.io "REG/a/b" not found'),
        (404, b"<html>", 'dockerimage.image.openshift.io "REG/a/b" not found'),
        (401, errors("UNAUTHORIZED"), 'you may not have access to the container image "REG/a/b"'),
        (403, errors(("DENIED", "nope")), "Internal error occurred: denied: nope"),
        (
            500,
            b"",
            "Internal error occurred: received unexpected HTTP status: 500 Internal Server Error",
        ),
    ],
)
def test_a_listing_that_fails_is_told_in_words_of_its_own(house, reg, status, body, message):
    reg.fail_next("/a/b/tags/list.*", status=status, body=body, times=9)
    found = listing(house, f"{reg.host}/a/b")
    assert found["status"]["code"] == (status if status in {401, 404} else 500)
    assert found["status"]["message"] == message.replace("REG", reg.host)
    assert not found.get("images")
    assert not found.get("additionalTags")


@pytest.mark.case("import 4-2")
def test_a_name_that_leads_nowhere_is_told_with_the_url(house):
    status = result(house, "nosuch.invalid/a/b:t")
    lead = 'nosuch.invalid/a/b:t: Get "https://nosuch.invalid/v2/'
    assert is_internal(status, lead, "dial tcp: lookup nosuch.invalid", "no such host")


@pytest.mark.case("import 4-21")
@pytest.mark.parametrize("body", [b'{"name":"a/b","tags":null}', b'{"name":"a/b","tags":[]}'])
def test_a_repository_without_tags_is_a_success(house, reg, body):
    reg.replace_body("/a/b/tags/list.*", body)
    found = listing(house, f"{reg.host}/a/b")
    assert found["status"]["status"] == "Success"
    assert not found.get("images")


@pytest.mark.case("import 4-21")
def test_a_repository_name_that_is_none_is_told_before_anything_is_asked(house):
    status = listing(house, "quay.io")["status"]
    assert (status["reason"], status["code"]) == ("Invalid", 422)
    assert status["message"] == (
        '.image.openshift.io "repository" is invalid: from.name: Invalid value: "": the provided '
        "repository name is not valid"
    )
    status = listing(house, "Foo/bar")["status"]
    text = "Foo/bar: repository name must be lowercase"
    assert is_internal(status)
    assert status["message"] == f"Internal error occurred: {text}"


@pytest.mark.case("import 4-24")
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("127.0.0.1:1/a/b@sha256:" + "A" * 64, "invalid checksum digest format"),
        ("Foo/bar:1", "Foo/bar:1: repository name must be lowercase"),
        ("quay.io", "unable to parse docker reference : invalid reference format"),
    ],
)
def test_a_name_that_is_none_is_told_before_anything_is_asked(house, name, text):
    status = result(house, name)
    assert is_internal(status)
    assert status["message"] == f"Internal error occurred: {text}"


@pytest.mark.case("import 4-25")
def test_an_unknown_sha512_is_not_found_by_its_own_name(house, reg):
    name = f"{reg.host}/a/b@sha512:{'a' * 128}"
    assert result(house, name) == not_found(name)


@pytest.mark.case("import 9-4")
def test_a_registry_that_keeps_failing_is_left_alone(house, reg):
    def ask(number):
        return result(house, f"{reg.host}/a/b:t{number}")

    reg.fail_next(".*", status=503, times=99)
    before = [ask(number) for number in range(3)]
    asked = len(reg.requests)
    after = ask(4)
    assert asked >= 8
    assert len(reg.requests) == asked
    assert before[0]["message"].split(": ")[-1] == after["message"].split(": ")[-1]
