"""Pull secrets: which registry receives which, and the effect of a wrong one.

Rules: imports-2.22, imports-2.23, imports-2.24.
"""

import base64

import pytest

from tests import fixtures as fx
from tests.fakeregistry.wire import Reply
from tests.integration.imports.import_requests import img, isi, save_pull_secret

S2_DIGEST = fx.digest_of(fx.S2)


def results(harness, *names, do=False):
    return harness.import_status(isi(*(img(name) for name in names), do=do))["images"]


def status(harness, name):
    (found,) = results(harness, name)
    return found["status"]


def basic(user, password):
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def unauthorized(message):
    return {
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": "Unauthorized",
        "code": 401,
    }


def no_access(name):
    return unauthorized(f'you may not have access to the container image "{name}"')


@pytest.mark.case("import 2-51")
def test_excluded_secret_is_not_used(harness, reg):
    reg.require_basic("u", "good")
    save_pull_secret(harness, {reg.host: ("u", "good")})
    save_pull_secret(
        harness, {f"{reg.host}/a": ("other", "excluded")}, name="excluded", excludeSecret="true"
    )
    assert status(harness, f"{reg.host}/a/b:t")["status"] == "Success"
    sent_credentials = {request.headers.get("authorization", "") for request in reg.log}
    assert sent_credentials == {"", basic("u", "good")}


@pytest.mark.case("import 2-52")
def test_secret_applies_to_its_path_only(harness, reg):
    for name in ("org/x", "other/x"):
        reg.push(name, tag="t", manifest=fx.S2, media_type=fx.S2_TYPE, config=fx.CFG_A)
    reg.require_basic("u", "good")
    save_pull_secret(harness, {f"https://{reg.host}/v1/org": ("u", "good")})
    mine, others = results(harness, f"{reg.host}/org/x:t", f"{reg.host}/other/x:t")
    assert mine["status"]["status"] == "Success"
    assert others["status"]["reason"] == "Unauthorized"
    authenticated_paths = {r.path for r in reg.log if "authorization" in r.headers}
    assert all(path.startswith("/v2/org/x/") for path in authenticated_paths)


@pytest.mark.case("import 4-13")
@pytest.mark.parametrize("has_secret", [False, True], ids=["anonymous", "credential"])
def test_token_is_requested_for_one_repository(harness, reg, has_secret):
    reg.require_token(users={"u": "good"} if has_secret else {}, service="svc")
    if has_secret:
        save_pull_secret(harness, {reg.host: ("u", "good")})
    assert status(harness, f"{reg.host}/a/b:t")["status"] == "Success"
    (request,) = reg.token_requests
    assert request.method == "GET"
    expected_query = {"scope": ["repository:a/b:pull"], "service": ["svc"]}
    assert request.query == ({**expected_query, "account": ["u"]} if has_secret else expected_query)
    assert request.headers.get("authorization") == (basic("u", "good") if has_secret else None)
    served = [r for r in reg.log if r.headers.get("authorization", "").startswith("Bearer ")]
    assert [r.path.split("/")[-2] for r in served] == ["manifests", "blobs"]


@pytest.mark.case("import 4-14")
def test_basic_challenge_without_credential_is_refused_at_once(harness, reg):
    reg.require_basic("u", "good")
    assert status(harness, f"{reg.host}/a/b:t") == no_access(f"{reg.host}/a/b:t")
    assert reg.requests == ["GET /v2/a/b/manifests/t"]


@pytest.mark.case("import 4-15")
@pytest.mark.parametrize(
    ("code", "body"),
    [
        (401, b"<html>login</html>"),
        (401, b'{"errors":[{"code":"UNAUTHORIZED","message":""}]}'),
        (401, b'{"errors":[{"code":"UNAUTHORIZED","message":"Invalid Username or Password"}]}'),
        (403, b'{"errors":[{"code":"DENIED","message":"denied"}]}'),
    ],
)
def test_token_server_refusal_is_unauthorized(harness, reg, code, body):
    reg.require_token()
    reg.fail_next("/token.*", status=code, body=body, times=99)
    assert status(harness, f"{reg.host}/a/b:t") == no_access(f"{reg.host}/a/b:t")


@pytest.mark.case("import 4-2", "import 4-15")
@pytest.mark.parametrize(
    ("code", "body", "text"),
    [
        (200, b"{}", "authorization server did not include a token in the response"),
        (500, b"", "received unexpected HTTP status: 500 Internal Server Error"),
        (429, b'{"details":"too many"}', "toomanyrequests: too many"),
    ],
)
def test_token_server_failure_is_reported_with_url(harness, reg, code, body, text):
    reg.require_token()
    reg.fail_next("/token.*", status=code, body=body, times=99)
    found = status(harness, f"{reg.host}/a/b:t")
    assert (found["reason"], found["code"]) == ("InternalError", 500)
    url = f"{reg.url}/v2/a/b/manifests/t"
    lead = f'Internal error occurred: {reg.host}/a/b:t: Get "{url}": '
    assert found["message"] == f"{lead}{text}"


def refuse_tokens(reg, error, body):
    """Issue tokens and refuse every one of them."""
    reg.require_token()
    challenge = f'Bearer realm="{reg.url}/token",service="s",error="{error}"'
    reg.on("/a/b/.*", lambda _: Reply(401, body, [("WWW-Authenticate", challenge)]))


@pytest.mark.case("import 4-2")
@pytest.mark.parametrize(
    ("error", "body"),
    [
        ("insufficient_scope", b'{"errors":[{"code":"UNAUTHORIZED","message":"no"}]}'),
        ("invalid_token", b'{"errors":[{"code":"UNAUTHORIZED","message":"no"}]}'),
        ("invalid_token", b"<html>"),
    ],
)
def test_insufficient_token_is_unauthorized(harness, reg, error, body):
    refuse_tokens(reg, error, body)
    assert status(harness, f"{reg.host}/a/b:t") == no_access(f"{reg.host}/a/b:t")


@pytest.mark.case("import 4-2")
def test_insufficient_scope_with_web_page_is_denied(harness, reg):
    refuse_tokens(reg, "insufficient_scope", b"<html>")
    found = status(harness, f"{reg.host}/a/b:t")
    assert (found["reason"], found["code"]) == ("InternalError", 500)
    assert found["message"].startswith(
        f"Internal error occurred: {reg.host}/a/b:t: errors:\n"
        "denied: requested access to the resource is denied\n"
        "error parsing HTTP 401 response body: invalid character '<'"
    )


@pytest.mark.case("import 4-16")
def test_stale_secret_does_not_block_public_image(harness, reg):
    reg.require_token(users={"u": "good"}, access={"": ["a/*"], "u": ["*"]})
    save_pull_secret(harness, {reg.host: ("u", "stale")})
    assert status(harness, f"{reg.host}/a/b:t")["status"] == "Success"


@pytest.mark.case("import 4-17")
def test_wrong_password_is_reported_as_such(harness, reg):
    reg.require_token(users={"u": "good"})
    save_pull_secret(harness, {reg.host: ("u", "stale")})
    name = f"{reg.host}/a/b:t"
    assert status(harness, name) == unauthorized(
        f'incorrect username or password for image "{name}"'
    )


@pytest.mark.case("import 4-18")
def test_bad_secret_for_public_image_spares_private_image(harness, reg):
    reg.push("a/private", tag="t", manifest=fx.OCI, media_type=fx.OCI_TYPE, config=fx.CFG_A)
    reg.require_token(users={"u": "good"}, access={"": ["a/b"], "u": ["*"]})
    save_pull_secret(
        harness, {f"{reg.host}/a/private": ("u", "good"), f"{reg.host}/a/b": ("u", "stale")}
    )
    request = isi(img(f"{reg.host}/a/private:t", to="priv"), img(f"{reg.host}/a/b:t", to="pub"))
    for found in harness.import_status(request)["images"]:
        assert found["status"]["status"] == "Success"
    events = {tag.tag: tag.items[0].image for tag in harness.stream().status.tags}
    assert events == {"priv": fx.digest_of(fx.OCI), "pub": S2_DIGEST}
    assert not any(tag.conditions for tag in harness.stream().status.tags)


@pytest.mark.case("import 4-19")
def test_private_image_without_secret_is_unauthorized(harness, reg):
    reg.require_token(users={"u": "good"})
    reg.push("a/private", tag="t", manifest=fx.S2, media_type=fx.S2_TYPE, config=fx.CFG_A)
    name = f"{reg.host}/a/private:t"
    assert status(harness, name) == no_access(name)


@pytest.mark.case("import 4-20", "import 4-21")
@pytest.mark.parametrize("public", [True, False])
def test_stale_secret_does_not_block_public_repository(harness, reg, public):
    reg.require_token(users={"u": "good"}, access={"": ["a/*"] if public else [], "u": ["*"]})
    save_pull_secret(harness, {reg.host: ("u", "stale")})
    found = harness.import_status(isi(repository=f"{reg.host}/a/b", do=False))["repository"]
    if public:
        assert found["status"]["status"] == "Success"
        assert [each["tag"] for each in found["images"]] == ["t", "u"]
    else:
        assert (found["status"]["reason"], found["status"]["code"]) == ("Unauthorized", 401)
        assert f"{reg.host}/a/b" in found["status"]["message"]


def test_second_secret_is_tried_after_refusal(harness, reg):
    reg.require_basic("u", "good")
    save_pull_secret(harness, {reg.host: ("u", "good")}, name="good")
    save_pull_secret(harness, {f"{reg.host}/a": ("v", "stale")}, name="stale")
    assert status(harness, f"{reg.host}/a/b:t")["status"] == "Success"


def test_fetched_content_is_not_shared_across_namespaces(harness, reg):
    reg.require_basic("u", "good")
    save_pull_secret(harness, {reg.host: ("u", "good")})
    harness.run(isi(img(f"{reg.host}/a/b:t", to="t")))
    request = isi(img(f"{reg.host}/a/b:t", to="t"), namespace="other")
    (found,) = harness.import_status(request)["images"]
    assert found["status"] == no_access(f"{reg.host}/a/b:t")


def test_secrets_are_not_written_to_response_or_stream(harness, reg, no_secret_leaks):
    reg.require_token(users={"u": "good"})
    save_pull_secret(harness, {reg.host: ("u", no_secret_leaks.secret)})
    done = harness.run(isi(img(f"{reg.host}/a/b:t"), repository=f"{reg.host}/a/b"))
    assert reg.received(no_secret_leaks.secret)
    no_secret_leaks.check(done, harness.stream())
