"""Pull secrets: who is shown which, and what becomes of a wrong one (`import.md` 2.6, 4.6)."""

import base64

import pytest

from tests import fixtures as fx
from tests.fakeregistry.wire import Reply
from tests.integration.imports.conftest import img, isi, save

D1 = fx.digest_of(fx.S2)


def results(house, *names, do=False):
    return house.answer(isi(*(img(name) for name in names), do=do))["images"]


def status(house, name):
    (found,) = results(house, name)
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
def test_a_secret_that_is_kept_from_imports_is_not_shown(house, reg):
    reg.require_basic("u", "good")
    save(house, {reg.host: ("u", "good")})
    save(house, {f"{reg.host}/a": ("other", "kept")}, name="kept", excludeSecret="true")
    assert status(house, f"{reg.host}/a/b:t")["status"] == "Success"
    shown = {request.headers.get("authorization", "") for request in reg.log}
    assert shown == {"", basic("u", "good")}


@pytest.mark.case("import 2-52")
def test_a_secret_is_for_its_path_and_for_nothing_beside_it(house, reg):
    for name in ("org/x", "other/x"):
        reg.push(name, tag="t", manifest=fx.S2, media_type=fx.S2_TYPE, config=fx.CFG_A)
    reg.require_basic("u", "good")
    save(house, {f"https://{reg.host}/v1/org": ("u", "good")})
    mine, others = results(house, f"{reg.host}/org/x:t", f"{reg.host}/other/x:t")
    assert mine["status"]["status"] == "Success"
    assert others["status"]["reason"] == "Unauthorized"
    with_rights = {r.path for r in reg.log if "authorization" in r.headers}
    assert all(path.startswith("/v2/org/x/") for path in with_rights)


@pytest.mark.case("import 4-13")
@pytest.mark.parametrize("known", [False, True], ids=["anonymous", "credential"])
def test_a_token_is_asked_for_one_repository_by_whoever_asks(house, reg, known):
    reg.require_token(users={"u": "good"} if known else {}, service="svc")
    if known:
        save(house, {reg.host: ("u", "good")})
    assert status(house, f"{reg.host}/a/b:t")["status"] == "Success"
    (request,) = reg.token_requests
    assert request.method == "GET"
    wanted = {"scope": ["repository:a/b:pull"], "service": ["svc"]}
    assert request.query == ({**wanted, "account": ["u"]} if known else wanted)
    assert request.headers.get("authorization") == (basic("u", "good") if known else None)
    served = [r for r in reg.log if r.headers.get("authorization", "").startswith("Bearer ")]
    assert [r.path.split("/")[-2] for r in served] == ["manifests", "blobs"]


@pytest.mark.case("import 4-14")
def test_without_a_credential_basic_is_a_refusal_at_once(house, reg):
    reg.require_basic("u", "good")
    assert status(house, f"{reg.host}/a/b:t") == no_access(f"{reg.host}/a/b:t")
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
def test_a_token_server_that_refuses_means_no_access(house, reg, code, body):
    reg.require_token()
    reg.fail_next("/token.*", status=code, body=body, times=99)
    assert status(house, f"{reg.host}/a/b:t") == no_access(f"{reg.host}/a/b:t")


@pytest.mark.case("import 4-2", "import 4-15")
@pytest.mark.parametrize(
    ("code", "body", "text"),
    [
        (200, b"{}", "authorization server did not include a token in the response"),
        (500, b"", "received unexpected HTTP status: 500 Internal Server Error"),
        (429, b'{"details":"too many"}', "toomanyrequests: too many"),
    ],
)
def test_a_token_server_that_fails_is_told_with_the_url(house, reg, code, body, text):
    reg.require_token()
    reg.fail_next("/token.*", status=code, body=body, times=99)
    found = status(house, f"{reg.host}/a/b:t")
    assert (found["reason"], found["code"]) == ("InternalError", 500)
    url = f"{reg.url}/v2/a/b/manifests/t"
    lead = f'Internal error occurred: {reg.host}/a/b:t: Get "{url}": '
    assert found["message"] == f"{lead}{text}"


def refuse_tokens(reg, error, body):
    """Issue tokens and find fault with every one of them."""
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
def test_a_token_that_is_not_enough_means_no_access(house, reg, error, body):
    refuse_tokens(reg, error, body)
    assert status(house, f"{reg.host}/a/b:t") == no_access(f"{reg.host}/a/b:t")


@pytest.mark.case("import 4-2")
def test_a_token_without_the_scope_and_a_web_page_is_a_denial(house, reg):
    refuse_tokens(reg, "insufficient_scope", b"<html>")
    found = status(house, f"{reg.host}/a/b:t")
    assert (found["reason"], found["code"]) == ("InternalError", 500)
    assert found["message"].startswith(
        f"Internal error occurred: {reg.host}/a/b:t: errors:\n"
        "denied: requested access to the resource is denied\n"
        "error parsing HTTP 401 response body: invalid character '<'"
    )


@pytest.mark.case("import 4-16")
def test_a_stale_secret_does_not_keep_a_public_image_away(house, reg):
    reg.require_token(users={"u": "good"}, access={"": ["a/*"], "u": ["*"]})
    save(house, {reg.host: ("u", "stale")})
    assert status(house, f"{reg.host}/a/b:t")["status"] == "Success"


@pytest.mark.case("import 4-17")
def test_a_wrong_password_is_told_as_such(house, reg):
    reg.require_token(users={"u": "good"})
    save(house, {reg.host: ("u", "stale")})
    name = f"{reg.host}/a/b:t"
    assert status(house, name) == unauthorized(f'incorrect username or password for image "{name}"')


@pytest.mark.case("import 4-18")
def test_a_public_image_with_a_bad_secret_takes_nothing_from_a_private_one(house, reg):
    reg.push("a/private", tag="t", manifest=fx.OCI, media_type=fx.OCI_TYPE, config=fx.CFG_A)
    reg.require_token(users={"u": "good"}, access={"": ["a/b"], "u": ["*"]})
    save(house, {f"{reg.host}/a/private": ("u", "good"), f"{reg.host}/a/b": ("u", "stale")})
    request = isi(img(f"{reg.host}/a/private:t", to="priv"), img(f"{reg.host}/a/b:t", to="pub"))
    for found in house.answer(request)["images"]:
        assert found["status"]["status"] == "Success"
    events = {tag.tag: tag.items[0].image for tag in house.stream().status.tags}
    assert events == {"priv": fx.digest_of(fx.OCI), "pub": D1}
    assert not any(tag.conditions for tag in house.stream().status.tags)


@pytest.mark.case("import 4-19")
def test_a_private_image_without_a_secret_may_be_out_of_reach(house, reg):
    reg.require_token(users={"u": "good"})
    reg.push("a/private", tag="t", manifest=fx.S2, media_type=fx.S2_TYPE, config=fx.CFG_A)
    name = f"{reg.host}/a/private:t"
    assert status(house, name) == no_access(name)


@pytest.mark.case("import 4-20", "import 4-21")
@pytest.mark.parametrize("public", [True, False])
def test_a_stale_secret_does_not_keep_a_public_repository_away(house, reg, public):
    reg.require_token(users={"u": "good"}, access={"": ["a/*"] if public else [], "u": ["*"]})
    save(house, {reg.host: ("u", "stale")})
    found = house.answer(isi(repository=f"{reg.host}/a/b", do=False))["repository"]
    if public:
        assert found["status"]["status"] == "Success"
        assert [each["tag"] for each in found["images"]] == ["t", "u"]
    else:
        assert (found["status"]["reason"], found["status"]["code"]) == ("Unauthorized", 401)
        assert f"{reg.host}/a/b" in found["status"]["message"]


def test_a_second_secret_is_tried_where_the_first_is_refused(house, reg):
    reg.require_basic("u", "good")
    save(house, {reg.host: ("u", "good")}, name="good")
    save(house, {f"{reg.host}/a": ("v", "stale")}, name="stale")
    assert status(house, f"{reg.host}/a/b:t")["status"] == "Success"


def test_what_one_secret_fetched_is_not_given_to_those_without_it(house, reg):
    reg.require_basic("u", "good")
    save(house, {reg.host: ("u", "good")})
    house.run(isi(img(f"{reg.host}/a/b:t", to="t")))
    request = isi(img(f"{reg.host}/a/b:t", to="t"), namespace="other")
    (found,) = house.answer(request)["images"]
    assert found["status"] == no_access(f"{reg.host}/a/b:t")


def test_no_secret_is_written_into_an_answer_or_a_stream(house, reg, no_secret_leaks):
    reg.require_token(users={"u": "good"})
    save(house, {reg.host: ("u", no_secret_leaks.secret)})
    done = house.run(isi(img(f"{reg.host}/a/b:t"), repository=f"{reg.host}/a/b"))
    assert reg.received(no_secret_leaks.secret)
    no_secret_leaks.check(done, house.stream())
