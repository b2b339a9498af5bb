"""Refusals and failures of registries in the status of an import (imports-4.1, imports-4.2)."""

import json

import pytest
from cryptography.fernet import Fernet

from tests import fixtures as fx
from tests.fakeregistry.certificates import self_signed
from tests.integration.imports import image_content
from tests.integration.imports.import_requests import img, isi

S2_DIGEST = fx.digest_of(fx.S2)
CFG = fx.digest_of(fx.CFG_A)
TAG = "/a/b/manifests/t"
CONFIG = f"/a/b/blobs/{CFG}"
OWN_ADDRESS = [{"host": "127.0.0.1", "port": 0}]


def results(harness, *images, **options):
    found = harness.import_status(isi(*images, do=False, **options))["images"]
    return [each["status"] for each in found]


def result(harness, name, **options):
    (status,) = results(harness, img(name, **options))
    return status


def listing(harness, name):
    return harness.import_status(isi(repository=name, do=False))["repository"]


def is_internal(status, *texts):
    """Check that `status` is an InternalError whose message contains all texts."""
    assert (status["reason"], status["code"]) == ("InternalError", 500)
    assert status["message"].startswith("Internal error occurred: ")
    cause = status["message"].removeprefix("Internal error occurred: ")
    assert status["details"] == {"causes": [{"message": cause}]}
    for text in texts:
        assert text in status["message"]
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
    """Return an error document of codes, or of pairs of code and message."""
    pairs = [(each, "") if isinstance(each, str) else each for each in entries]
    listed = [{"code": code, "message": message} for code, message in pairs]
    return json.dumps({"errors": listed}).encode()


@pytest.fixture
def server(open_harness):
    """A harness in a server role: loopback is a registry like any other."""
    return open_harness(
        broker_url="memory://", key=Fernet.generate_key().decode(), egress_allow=OWN_ADDRESS
    )


@pytest.mark.case("import 4-1")
@pytest.mark.parametrize("name", ["a/b:none", f"a/b@{fx.L1}"])
def test_missing_image_is_not_found_by_full_name(harness, reg, name):
    assert result(harness, f"{reg.host}/{name}") == not_found(f"{reg.host}/{name}")


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
def test_404_is_not_found_regardless_of_body(harness, reg, body):
    reg.fail_next(TAG, status=404, body=body)
    assert result(harness, f"{reg.host}/a/b:t") == not_found(f"{reg.host}/a/b:t")


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
def test_login_requirement_is_reported_as_unauthorized(harness, reg, status, body):
    reg.on(TAG, lambda _: None)
    reg.fail_next(TAG, status=status, body=body, times=9)
    assert result(harness, f"{reg.host}/a/b:t") == unauthorized(f"{reg.host}/a/b:t")


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
def test_other_refusals_quote_registry_message(harness, reg, status, body, text):
    reg.fail_next(TAG, status=status, body=body, times=9)
    first, _, last = text.partition("{}")
    found = result(harness, f"{reg.host}/a/b:t")
    assert is_internal(found)
    assert found["message"].startswith(f"Internal error occurred: {reg.host}/a/b:t: {first}")
    assert found["message"].endswith(last or first)
    assert image_content.requested_manifests(reg) == ["t"]


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
def test_transient_failure_is_requested_three_times(harness, reg, status, body, text):
    reg.fail_next(TAG, status=status, body=body, times=9)
    found = result(harness, f"{reg.host}/a/b:t")
    assert is_internal(found)
    assert found["message"] == f"Internal error occurred: {reg.host}/a/b:t: {text}"
    assert len(reg.requests) == 3


@pytest.mark.case("import 4-4", "import 4-5")
@pytest.mark.parametrize(
    ("status", "headers"), [(429, {"Retry_After": "1"}), (503, {})], ids=["429", "503"]
)
def test_recovered_transient_failure_is_success(harness, reg, status, headers):
    reg.fail_next(TAG, status=status, body=errors("UNAVAILABLE"), times=2, **headers)
    assert result(harness, f"{reg.host}/a/b:t")["status"] == "Success"
    assert image_content.requested_manifests(reg) == ["t"] * 3


@pytest.mark.case("import 4-2")
def test_non_manifest_responses_are_internal_errors(harness, reg):
    reg.replace_body(TAG, b"<html>")
    reg.replace_body("/a/b/manifests/u", b"")
    web_page, nothing = results(harness, *(img(f"{reg.host}/a/b:{tag}") for tag in ("t", "u")))
    lead = f"{reg.host}/a/b:"
    assert is_internal(web_page, f"{lead}t: ", "invalid character '<'")
    assert is_internal(nothing, f"{lead}u: ", "unexpected end of JSON input")


@pytest.mark.case("import 4-2")
def test_closed_connection_is_reported_with_url(harness, reg):
    reg.raw(TAG, b"")
    status = result(harness, f"{reg.host}/a/b:t")
    assert is_internal(status, f"{reg.host}/a/b:t: Get ", f"{reg.host}/v2/a/b/manifests/t", "EOF")


@pytest.mark.case("import 4-2")
@pytest.mark.parametrize(
    ("status", "text", "request_count"),
    [
        (404, "unknown blob", 1),
        (500, "received unexpected HTTP status: 500 Internal Server Error", 3),
    ],
)
def test_config_failure_is_reported_for_tag(harness, reg, status, text, request_count):
    reg.fail_next(CONFIG, status=status, body=errors("BLOB_UNKNOWN"), times=9)
    found = result(harness, f"{reg.host}/a/b:t")
    assert is_internal(found)
    assert found["message"] == f"Internal error occurred: {reg.host}/a/b:t: {text}"
    assert len(image_content.requested_blobs(reg)) == request_count


@pytest.mark.case("import 4-2")
def test_unauthorized_config_is_reported_for_tag(harness, reg):
    reg.fail_next(CONFIG, status=401, body=errors("UNAUTHORIZED"), times=9)
    assert result(harness, f"{reg.host}/a/b:t") == unauthorized(f"{reg.host}/a/b:t")


@pytest.mark.case("import 4-6", "import 4-8")
@pytest.mark.parametrize("status", [200, 302, 401, 403, 404, 500])
def test_v2_status_is_ignored_when_manifest_is_served(harness, reg, status):
    reg.fail_next("/v2/", status=status, times=9, Location="/other/")
    assert result(harness, f"{reg.host}/a/b:t")["status"] == "Success"
    assert len(reg.requests) == 2


@pytest.mark.case("import 4-7")
@pytest.mark.parametrize("status", [404, 429, 500, 503])
def test_web_server_is_reported_as_unsupported_registry(harness, fake, status):
    page = b"<html>nothing here</html>"
    fake.fail_next(TAG, status=404, body=page, times=9)
    fake.fail_next("/v2/", status=status, body=page, times=9)
    found = result(harness, f"{fake.host}/a/b:t")
    assert is_internal(
        found, f"{fake.host}/a/b:t: endpoint ", "does not support v2 API", f"{status} "
    )


@pytest.mark.case("import 4-9")
def test_registry_without_tls_requires_insecure_policy(server, reg):
    text = "server gave HTTP response to HTTPS client"
    assert is_internal(result(server, f"{reg.host}/a/b:t"), f"{reg.host}/a/b:t: ", text)
    assert reg.requests == []
    assert result(server, f"{reg.host}/a/b:t", insecure=True)["status"] == "Success"


@pytest.mark.case("import 4-10")
def test_self_signed_certificate_requires_insecure_policy(server, open_fake):
    own = open_fake(tls=self_signed())
    own.push("a/b", tag="t", manifest=fx.S2, media_type=fx.S2_TYPE, config=fx.CFG_A)
    assert is_internal(result(server, f"{own.host}/a/b:t"), f"{own.host}/a/b:t: ", "x509")
    assert own.requests == []
    assert result(server, f"{own.host}/a/b:t", insecure=True)["status"] == "Success"


@pytest.mark.case("import 4-11")
@pytest.mark.parametrize("insecure_element", ["image", "repository"])
def test_insecure_policy_applies_to_its_element_only(server, reg, insecure_element):
    reg.push("c/d", tag="t", manifest=fx.S2, media_type=fx.S2_TYPE, config=fx.CFG_A)
    repository = {
        "from": {"kind": "DockerImage", "name": f"{reg.host}/c/d"},
        "importPolicy": {"insecure": insecure_element == "repository"},
    }
    image = img(f"{reg.host}/a/b:t", insecure=insecure_element == "image")
    answer = server.import_status(isi(image, repository=repository, do=False))
    statuses = {
        "image": answer["images"][0]["status"],
        "repository": answer["repository"]["status"],
    }
    assert statuses.pop(insecure_element)["status"] == "Success"
    (refused,) = statuses.values()
    assert is_internal(refused, "server gave HTTP response to HTTPS client")


@pytest.mark.case("import 4-12")
@pytest.mark.parametrize(("insecure", "scheme"), [(False, "https"), (True, "http")])
def test_closed_port_is_reported_with_tried_url(server, insecure, scheme):
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
def test_failed_listing_has_its_own_message(harness, reg, status, body, message):
    reg.fail_next("/a/b/tags/list.*", status=status, body=body, times=9)
    found = listing(harness, f"{reg.host}/a/b")
    assert found["status"]["code"] == (status if status in {401, 404} else 500)
    assert found["status"]["message"] == message.replace("REG", reg.host)
    assert not found.get("images")
    assert not found.get("additionalTags")


@pytest.mark.case("import 4-2")
def test_unknown_host_is_reported_with_url(harness):
    status = result(harness, "nosuch.invalid/a/b:t")
    lead = 'nosuch.invalid/a/b:t: Get "https://nosuch.invalid/v2/'
    assert is_internal(status, lead, "dial tcp: lookup nosuch.invalid", "no such host")


@pytest.mark.case("import 4-21")
@pytest.mark.parametrize("body", [b'{"name":"a/b","tags":null}', b'{"name":"a/b","tags":[]}'])
def test_repository_without_tags_is_success(harness, reg, body):
    reg.replace_body("/a/b/tags/list.*", body)
    found = listing(harness, f"{reg.host}/a/b")
    assert found["status"]["status"] == "Success"
    assert not found.get("images")


@pytest.mark.case("import 4-21")
def test_invalid_repository_name_fails_before_requests(harness):
    status = listing(harness, "quay.io")["status"]
    assert (status["reason"], status["code"]) == ("Invalid", 422)
    assert status["message"] == (
        '.image.openshift.io "repository" is invalid: from.name: Invalid value: "": the provided '
        "repository name is not valid"
    )
    status = listing(harness, "Foo/bar")["status"]
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
def test_invalid_image_name_fails_before_requests(harness, name, text):
    status = result(harness, name)
    assert is_internal(status)
    assert status["message"] == f"Internal error occurred: {text}"


@pytest.mark.case("import 4-25")
def test_unknown_sha512_is_not_found_by_name(harness, reg):
    name = f"{reg.host}/a/b@sha512:{'a' * 128}"
    assert result(harness, name) == not_found(name)


@pytest.mark.case("import 9-4")
def test_failing_registry_receives_no_requests_while_breaker_open(harness, reg):
    def import_tag(number):
        return result(harness, f"{reg.host}/a/b:t{number}")

    reg.fail_next(".*", status=503, times=99)
    before = [import_tag(number) for number in range(3)]
    request_count = len(reg.requests)
    after = import_tag(4)
    assert request_count >= 8
    assert len(reg.requests) == request_count
    assert before[0]["message"].split(": ")[-1] == after["message"].split(": ")[-1]
