"""HEAD and GET: what is asked, what is believed, and what is asked once more."""

import gzip
import hashlib

import pytest

from models.errors import (
    ContentError,
    ManifestUnknownError,
    ProtocolError,
    RateLimitedError,
    RegistryError,
    TransientRegistryError,
)
from tests import fixtures as fx
from tests.fakeregistry.wire import Reply
from tests.integration.registry.rights import access, open_client
from worker.registry.client_config import user_agent
from worker.registry.registry_types import Place

T = "/v2/a/b/manifests/t"
D1 = fx.digest_of(fx.S2)
OTHER = f"sha256:{'e' * 64}"


@pytest.fixture
async def client():
    found = open_client(user_agent=user_agent())
    yield found
    await found.close()


@pytest.fixture
def place(fake):
    fake.push("a/b", tag="t", manifest=fx.S2, media_type=fx.S2_TYPE, config=fx.CFG_A)
    return Place(fake.host, "a/b")


@pytest.mark.case("registry 43")
async def test_head_and_get_send_the_same_single_accept_line(fake, client, place):
    await client.head_manifest(place, "t", access())
    await client.fetch_manifest(place, "t", access())
    seen = [request.headers.get_list("accept") for request in fake.log]
    assert seen[0] == seen[1]
    assert len(seen[0]) == 1
    assert "q=" not in seen[0][0]
    assert "*/*" not in seen[0][0]
    for request in fake.log:
        assert request.headers["accept-encoding"] == "identity"
        assert request.headers["user-agent"].startswith("tagstream/")
        assert "cookie" not in request.headers


@pytest.mark.case("registry 39", "registry 44", "registry 45")
async def test_a_real_registry_gives_each_manifest_as_it_was_pushed(registry, client):
    layer = registry.push_blob("case39/app", b"layer")
    config = registry.push_blob("case39/app", fx.CFG_ARM)
    for tag, kind, config_type in (
        ("docker", fx.S2_TYPE, "application/vnd.docker.container.image.v1+json"),
        ("oci", fx.OCI_TYPE, "application/vnd.oci.image.config.v1+json"),
    ):
        manifest = fx.compact(
            {
                "schemaVersion": 2,
                "mediaType": kind,
                "config": {"mediaType": config_type, "size": 70, "digest": config},
                "layers": [{"mediaType": "x/y", "size": 5, "digest": layer}],
            }
        )
        registry.push("case39/app", tag=tag, manifest=manifest, media_type=kind)
        place = Place(registry.host, "case39/app")
        found = await client.fetch_manifest(place, tag, access())
        seen = await client.head_manifest(place, tag, access())
        assert found.digest == seen.digest == fx.digest_of(manifest)
        assert found.content == manifest


@pytest.mark.case("registry 46")
async def test_a_registry_whose_head_tells_no_digest_is_not_asked_so_again(fake, client, place):
    fake.claim_digest(T, None)
    for _ in range(2):
        assert (await client.head_manifest(place, "t", access())).digest is None
    assert fake.requests == ["HEAD /v2/a/b/manifests/t"]


@pytest.mark.case("registry 47", "registry 48")
@pytest.mark.parametrize("status", [400, 403, 404, 405, 501])
async def test_a_head_that_is_refused_leaves_the_word_to_a_get(fake, client, place, status):
    fake.fail_next(T, status=status, method="HEAD")
    assert (await client.head_manifest(place, "t", access())).digest is None
    assert (await client.fetch_manifest(place, "t", access())).digest == D1


@pytest.mark.case("registry 49", "registry 160")
@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'{"errors":[{"code":"TOOMANYREQUESTS","message":"x"}]}', "ratelimit.quota"),
        (b"Too Many Requests", "ratelimit.abuse"),
    ],
)
async def test_a_429_is_told_by_its_kind_and_asks_for_no_get(fake, client, place, body, code):
    fake.on(T, Reply(429, body))
    with pytest.raises(RateLimitedError) as limited:
        await client.fetch_manifest(place, "t", access())
    assert limited.value.code == code
    fake.forget_requests()
    with pytest.raises(RateLimitedError):
        await client.head_manifest(place, "t", access())
    assert {line.split()[0] for line in fake.requests} <= {"HEAD"}


@pytest.mark.case("registry 50")
@pytest.mark.parametrize("claimed", ["nonsense", [D1, OTHER], "sha256:ABC"])
async def test_a_digest_that_is_malformed_or_disputed_is_none(fake, client, place, claimed):
    fake.claim_digest(T, claimed)
    assert (await client.head_manifest(place, "t", access())).digest is None


@pytest.mark.case("registry 51", "registry 57")
@pytest.mark.parametrize(
    ("claimed", "warns"),
    [(OTHER, True), (f"sha512:{'f' * 128}", True), ("sha512", False), (D1, False)],
)
async def test_the_bytes_name_the_manifest_and_a_wrong_header_is_warned_of(
    fake, client, place, claimed, warns
):
    if claimed == "sha512":
        claimed = "sha512:" + hashlib.sha512(fx.S2).hexdigest()
    fake.claim_digest(T, claimed)
    found = await client.fetch_manifest(place, "t", access())
    assert found.digest == D1
    assert bool(found.warnings) is warns


@pytest.mark.case("registry 52")
async def test_other_bytes_than_those_asked_for_are_asked_for_once_more(fake, client, place):
    path = f"/v2/a/b/manifests/{D1}"
    fake.replace_body(path, fx.OCI)
    with pytest.raises(ContentError) as refused:
        await client.fetch_manifest(place, D1, access())
    assert refused.value.code == "protocol.digest_mismatch"
    assert fake.requests == [f"GET {path}"] * 2


@pytest.mark.case("registry 53")
async def test_a_body_that_ends_early_is_asked_for_again(fake, client, place):
    fake.truncate(T, keep=100, times=1)
    assert (await client.fetch_manifest(place, "t", access())).digest == D1
    assert len(fake.requests) == 2


@pytest.mark.case("registry 55")
async def test_a_304_that_nobody_asked_for_is_a_protocol_error(fake, client, place):
    fake.on(T, Reply(304))
    with pytest.raises(ProtocolError, match="manifest not modified"):
        await client.fetch_manifest(place, "t", access())


@pytest.mark.case("registry 59")
async def test_a_gzip_answer_is_unpacked_before_it_is_hashed(fake, client, place):
    packed = Reply(200, gzip.compress(fx.S2), [("Content-Encoding", "gzip")])
    fake.on(T, packed)
    assert (await client.fetch_manifest(place, "t", access())).digest == D1


@pytest.mark.case("registry 60")
@pytest.mark.parametrize("coding", ["br", "gzip, gzip", "zstd"])
async def test_other_codings_are_refused(fake, client, place, coding):
    fake.on(T, Reply(200, b"x", [("Content-Encoding", coding)]))
    with pytest.raises(ProtocolError) as refused:
        await client.fetch_manifest(place, "t", access())
    assert refused.value.code == "protocol.encoding"


@pytest.mark.case("registry 128", "registry 182")
@pytest.mark.parametrize("kind", ["one byte more", "endless", "declared"])
async def test_a_body_above_the_cap_is_cut(fake, client, place, kind):
    if kind == "endless":
        fake.endless(T)
    elif kind == "declared":
        fake.claim_length(T, 10**12)
    else:
        fake.on(T, Reply(200, b" " * (4 * 1024 * 1024 + 1)))
    with pytest.raises(ContentError) as refused:
        await client.fetch_manifest(place, "t", access())
    assert refused.value.code == "content.too_large"


@pytest.mark.case("registry 179")
async def test_a_gzip_bomb_is_not_unpacked_to_its_end(fake, client, place):
    fake.gzip_bomb(T)
    with pytest.raises(ContentError) as refused:
        await client.fetch_manifest(place, "t", access())
    assert refused.value.code == "content.too_large"


@pytest.mark.case("registry 162")
async def test_two_failures_cost_two_more_requests_not_the_import(fake, client, place):
    fake.fail_next(T, status=500)
    fake.fail_next(T, status=503)
    assert (await client.fetch_manifest(place, "t", access())).digest == D1
    assert len(fake.requests) == 3


@pytest.mark.case("registry 163")
async def test_eight_failures_open_the_breaker_of_that_registry_alone(
    fake, open_fake, client, place
):
    other = open_fake()
    other.push("a/b", tag="t", manifest=fx.S2, media_type=fx.S2_TYPE, config=fx.CFG_A)
    fake.on(T, Reply(503))
    for _ in range(3):
        with pytest.raises(TransientRegistryError):
            await client.fetch_manifest(place, "t", access())
    fake.forget_requests()
    with pytest.raises(TransientRegistryError) as refused:
        await client.fetch_manifest(place, "t", access())
    assert (refused.value.code, fake.requests) == ("circuit.open", [])
    found = await client.fetch_manifest(Place(other.host, "a/b"), "t", access())
    assert found.digest == D1


@pytest.mark.case("registry 164")
@pytest.mark.parametrize("status", [401, 403, 404])
async def test_refusals_do_not_speak_against_a_registry(fake, client, place, status):
    rule = fake.on(T, Reply(status, b'{"errors":[{"code":"DENIED"}]}'))
    for _ in range(50):
        with pytest.raises(RegistryError):
            await client.fetch_manifest(place, "t", access())
    fake.drop(rule)
    assert (await client.fetch_manifest(place, "t", access())).digest == D1


CORPUS = [
    (404, b'{"errors":[{"code":"404","message":"x"}]}', ManifestUnknownError),
    (404, b"Not found\r\n", ManifestUnknownError),
    (404, b'{"errors":[{"code":"NOT_FOUND","message":"artifact x"}]}', ManifestUnknownError),
    (403, b'{"errors":[{"status":403,"message":"x"}]}', RegistryError),
    (404, b"<html>", ManifestUnknownError),
    (404, b"", ManifestUnknownError),
    (500, b"x" * 2**20, TransientRegistryError),
    (418, b"", ProtocolError),
]


@pytest.mark.case("registry 165")
@pytest.mark.parametrize("answer", CORPUS)
async def test_the_status_decides_whatever_the_body_is(fake, client, place, answer):
    status, body, kind = answer
    fake.on(T, Reply(status, body))
    with pytest.raises(kind) as refused:
        await client.fetch_manifest(place, "t", access())
    assert type(refused.value) is kind or kind is RegistryError
    assert len(refused.value.message) < 2000


@pytest.mark.case("registry 185")
async def test_a_strangers_words_steer_no_terminal(fake, client, place):
    said = "a\x1b[2Jb\u202ec\\nFAKE <script>"
    fake.on(T, Reply(403, f'{{"errors":[{{"code":"DENIED","message":"{said}"}}]}}'.encode()))
    with pytest.raises(RegistryError) as refused:
        await client.fetch_manifest(place, "t", access())
    assert "\x1b" not in refused.value.message
    assert "\u202e" not in refused.value.message
    assert "\n" not in refused.value.message


@pytest.mark.case("registry 186")
@pytest.mark.parametrize(
    "wanted", ["../x", "t?x", "t#x", "sha256:../../etc", "%2e%2e", f"sha256:{'A' * 64}"]
)
async def test_nothing_that_could_steer_a_path_reaches_the_wire(fake, client, place, wanted):
    with pytest.raises(Exception) as refused:
        await client.fetch_manifest(place, wanted, access())
    assert type(refused.value).__module__ == "models.errors"
    assert fake.requests == []
