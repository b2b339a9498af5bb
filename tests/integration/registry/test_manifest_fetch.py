"""HEAD and GET of manifests: requests, verification and retries."""

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
from tests.integration.registry.client_helpers import make_client, request_context
from worker.registry.client_config import user_agent
from worker.registry.registry_types import SourceRepository

T = "/v2/a/b/manifests/t"
S2_DIGEST = fx.digest_of(fx.S2)
OTHER = f"sha256:{'e' * 64}"


@pytest.fixture
async def client():
    fetched = make_client(user_agent=user_agent())
    yield fetched
    await fetched.close()


@pytest.fixture
def source(fake):
    fake.push("a/b", tag="t", manifest=fx.S2, media_type=fx.S2_TYPE, config=fx.CFG_A)
    return SourceRepository(fake.host, "a/b")


@pytest.mark.case("registry 43")
async def test_head_and_get_send_identical_accept_header(fake, client, source):
    await client.head_manifest(source, "t", request_context())
    await client.fetch_manifest(source, "t", request_context())
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
async def test_docker_registry_returns_manifest_as_pushed(registry, client):
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
        source = SourceRepository(registry.host, "case39/app")
        fetched = await client.fetch_manifest(source, tag, request_context())
        seen = await client.head_manifest(source, tag, request_context())
        assert fetched.digest == seen.digest == fx.digest_of(manifest)
        assert fetched.content == manifest


@pytest.mark.case("registry 46")
async def test_head_without_digest_is_not_repeated(fake, client, source):
    fake.claim_digest(T, None)
    for _ in range(2):
        assert (await client.head_manifest(source, "t", request_context())).digest is None
    assert fake.requests == ["HEAD /v2/a/b/manifests/t"]


@pytest.mark.case("registry 47", "registry 48")
@pytest.mark.parametrize("status", [400, 403, 404, 405, 501])
async def test_refused_head_leaves_digest_to_get(fake, client, source, status):
    fake.fail_next(T, status=status, method="HEAD")
    assert (await client.head_manifest(source, "t", request_context())).digest is None
    assert (await client.fetch_manifest(source, "t", request_context())).digest == S2_DIGEST


@pytest.mark.case("registry 49", "registry 160")
@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'{"errors":[{"code":"TOOMANYREQUESTS","message":"x"}]}', "ratelimit.quota"),
        (b"Too Many Requests", "ratelimit.abuse"),
    ],
)
async def test_429_is_classified_and_not_followed_by_get(fake, client, source, body, code):
    fake.on(T, Reply(429, body))
    with pytest.raises(RateLimitedError) as caught:
        await client.fetch_manifest(source, "t", request_context())
    assert caught.value.code == code
    fake.forget_requests()
    with pytest.raises(RateLimitedError):
        await client.head_manifest(source, "t", request_context())
    assert {line.split()[0] for line in fake.requests} <= {"HEAD"}


@pytest.mark.case("registry 50")
@pytest.mark.parametrize("claimed", ["nonsense", [S2_DIGEST, OTHER], "sha256:ABC"])
async def test_malformed_or_conflicting_digest_header_is_none(fake, client, source, claimed):
    fake.claim_digest(T, claimed)
    assert (await client.head_manifest(source, "t", request_context())).digest is None


@pytest.mark.case("registry 51", "registry 57")
@pytest.mark.parametrize(
    ("claimed", "warns"),
    [(OTHER, True), (f"sha512:{'f' * 128}", True), ("sha512", False), (S2_DIGEST, False)],
)
async def test_manifest_digest_is_computed_and_wrong_header_warned(
    fake, client, source, claimed, warns
):
    if claimed == "sha512":
        claimed = "sha512:" + hashlib.sha512(fx.S2).hexdigest()
    fake.claim_digest(T, claimed)
    fetched = await client.fetch_manifest(source, "t", request_context())
    assert fetched.digest == S2_DIGEST
    assert bool(fetched.warnings) is warns


@pytest.mark.case("registry 52")
async def test_manifest_with_digest_mismatch_is_fetched_once_more(fake, client, source):
    path = f"/v2/a/b/manifests/{S2_DIGEST}"
    fake.replace_body(path, fx.OCI)
    with pytest.raises(ContentError) as caught:
        await client.fetch_manifest(source, S2_DIGEST, request_context())
    assert caught.value.code == "protocol.digest_mismatch"
    assert fake.requests == [f"GET {path}"] * 2


@pytest.mark.case("registry 53")
async def test_truncated_manifest_is_fetched_again(fake, client, source):
    fake.truncate(T, keep=100, times=1)
    assert (await client.fetch_manifest(source, "t", request_context())).digest == S2_DIGEST
    assert len(fake.requests) == 2


@pytest.mark.case("registry 55")
async def test_manifest_fetch_treats_304_as_protocol_error(fake, client, source):
    fake.on(T, Reply(304))
    with pytest.raises(ProtocolError, match="manifest not modified"):
        await client.fetch_manifest(source, "t", request_context())


@pytest.mark.case("registry 59")
async def test_gzip_manifest_is_decompressed_before_hashing(fake, client, source):
    packed = Reply(200, gzip.compress(fx.S2), [("Content-Encoding", "gzip")])
    fake.on(T, packed)
    assert (await client.fetch_manifest(source, "t", request_context())).digest == S2_DIGEST


@pytest.mark.case("registry 60")
@pytest.mark.parametrize("coding", ["br", "gzip, gzip", "zstd"])
async def test_unsupported_content_encodings_are_refused(fake, client, source, coding):
    fake.on(T, Reply(200, b"x", [("Content-Encoding", coding)]))
    with pytest.raises(ProtocolError) as caught:
        await client.fetch_manifest(source, "t", request_context())
    assert caught.value.code == "protocol.encoding"


@pytest.mark.case("registry 128", "registry 182")
@pytest.mark.parametrize("kind", ["one byte more", "endless", "declared"])
async def test_manifest_body_above_cap_is_refused(fake, client, source, kind):
    if kind == "endless":
        fake.endless(T)
    elif kind == "declared":
        fake.claim_length(T, 10**12)
    else:
        fake.on(T, Reply(200, b" " * (4 * 1024 * 1024 + 1)))
    with pytest.raises(ContentError) as caught:
        await client.fetch_manifest(source, "t", request_context())
    assert caught.value.code == "content.too_large"


@pytest.mark.case("registry 179")
async def test_gzip_bomb_manifest_is_refused(fake, client, source):
    fake.gzip_bomb(T)
    with pytest.raises(ContentError) as caught:
        await client.fetch_manifest(source, "t", request_context())
    assert caught.value.code == "content.too_large"


@pytest.mark.case("registry 162")
async def test_manifest_fetch_retries_two_failures(fake, client, source):
    fake.fail_next(T, status=500)
    fake.fail_next(T, status=503)
    assert (await client.fetch_manifest(source, "t", request_context())).digest == S2_DIGEST
    assert len(fake.requests) == 3


@pytest.mark.case("registry 163")
async def test_eight_failures_open_breaker_of_one_registry(fake, open_fake, client, source):
    other = open_fake()
    other.push("a/b", tag="t", manifest=fx.S2, media_type=fx.S2_TYPE, config=fx.CFG_A)
    fake.on(T, Reply(503))
    for _ in range(3):
        with pytest.raises(TransientRegistryError):
            await client.fetch_manifest(source, "t", request_context())
    fake.forget_requests()
    with pytest.raises(TransientRegistryError) as caught:
        await client.fetch_manifest(source, "t", request_context())
    assert (caught.value.code, fake.requests) == ("circuit.open", [])
    fetched = await client.fetch_manifest(
        SourceRepository(other.host, "a/b"), "t", request_context()
    )
    assert fetched.digest == S2_DIGEST


@pytest.mark.case("registry 164")
@pytest.mark.parametrize("status", [401, 403, 404])
async def test_refusals_do_not_open_breaker(fake, client, source, status):
    rule = fake.on(T, Reply(status, b'{"errors":[{"code":"DENIED"}]}'))
    for _ in range(50):
        with pytest.raises(RegistryError):
            await client.fetch_manifest(source, "t", request_context())
    fake.drop(rule)
    assert (await client.fetch_manifest(source, "t", request_context())).digest == S2_DIGEST


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
async def test_manifest_error_class_follows_status_not_body(fake, client, source, answer):
    status, body, kind = answer
    fake.on(T, Reply(status, body))
    with pytest.raises(kind) as caught:
        await client.fetch_manifest(source, "t", request_context())
    assert type(caught.value) is kind or kind is RegistryError
    assert len(caught.value.message) < 2000


@pytest.mark.case("registry 185")
async def test_registry_error_text_has_no_control_characters(fake, client, source):
    text = "a\x1b[2Jb\u202ec\\nFAKE <script>"
    fake.on(T, Reply(403, f'{{"errors":[{{"code":"DENIED","message":"{text}"}}]}}'.encode()))
    with pytest.raises(RegistryError) as caught:
        await client.fetch_manifest(source, "t", request_context())
    assert "\x1b" not in caught.value.message
    assert "\u202e" not in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.case("registry 186")
@pytest.mark.parametrize(
    "reference", ["../x", "t?x", "t#x", "sha256:../../etc", "%2e%2e", f"sha256:{'A' * 64}"]
)
async def test_unsafe_tag_or_digest_is_never_requested(fake, client, source, reference):
    with pytest.raises(Exception) as caught:
        await client.fetch_manifest(source, reference, request_context())
    assert type(caught.value).__module__ == "models.errors"
    assert fake.requests == []
