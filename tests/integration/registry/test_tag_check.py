"""Checks of a tag: a HEAD if it gives a digest, otherwise a conditional GET."""

import pytest

from models.errors import ManifestUnknownError, ProtocolError, RateLimitedError, RegistryError
from tests import fixtures as fx
from tests.fakeregistry.wire import Reply
from tests.integration.registry.client_helpers import request_context
from tests.manual_clock import ManualClock
from worker.registry.registry_types import SourceRepository
from worker.registry.request_context import RequestContext
from worker.registry.tag_check import UNRELIABLE_HEAD_TTL_SECONDS

T = "/v2/a/b/manifests/t"
HEAD, GET = f"HEAD {T}", f"GET {T}"
S2_DIGEST, OCI_DIGEST = fx.digest_of(fx.S2), fx.digest_of(fx.OCI)
OTHER = f"sha256:{'e' * 64}"


@pytest.fixture
def source(fake):
    fake.push("a/b", tag="t", manifest=fx.S2, media_type=fx.S2_TYPE, config=fx.CFG_A)
    return SourceRepository(fake.host, "a/b")


def update_tag(fake):
    fake.push("a/b", tag="t", manifest=fx.OCI, media_type=fx.OCI_TYPE, config=fx.CFG_A)


def omit_head_digests(fake):
    fake.content.head_digest = False


def check(client, source, *, known=S2_DIGEST, etag="", reference="t", context=None):
    return client.check_tag(
        source, reference, context or request_context(), known_digest=known, etag=etag
    )


def if_none_match_headers(fake):
    """Return the If-None-Match header of each GET."""
    return [r.headers.get("if-none-match") for r in fake.log if r.method == "GET"]


async def test_head_with_digest_completes_tag_check(fake, client, source):
    seen = await check(client, source)
    assert (seen.digest, seen.unchanged, seen.fetched, seen.repository) == (
        S2_DIGEST,
        True,
        None,
        source.name,
    )
    update_tag(fake)
    seen = await check(client, source)
    assert (seen.digest, seen.unchanged) == (OCI_DIGEST, False)
    assert fake.requests == [HEAD, HEAD]


@pytest.mark.parametrize("length", [0, 77])
async def test_tag_check_ignores_head_content_length(fake, client, source, length):
    fake.on(
        T,
        Reply(200, b"", [("Docker-Content-Digest", S2_DIGEST)], length=length),
        method="HEAD",
    )
    assert (await check(client, source)).unchanged


@pytest.mark.case("registry 46")
async def test_head_without_digest_fetches_and_returns_manifest(fake, client, source):
    omit_head_digests(fake)
    seen = await check(client, source)
    assert (seen.digest, seen.unchanged) == (S2_DIGEST, True)
    assert seen.fetched.content == fx.S2
    assert fake.requests == [HEAD, GET]
    await check(client, source)
    assert fake.requests == [HEAD, GET, GET]


async def test_unreliable_head_is_retried_after_a_day(fake, open_client, source):
    clock = ManualClock()
    client = open_client(dependencies={"clock": clock})
    omit_head_digests(fake)
    await check(client, source)
    fake.content.head_digest = True
    await clock.advance(UNRELIABLE_HEAD_TTL_SECONDS - 1)
    await check(client, source)
    assert fake.requests == [HEAD, GET, GET]
    await clock.advance(2)
    await check(client, source)
    assert fake.requests == [HEAD, GET, GET, HEAD]


@pytest.mark.case("registry 47")
@pytest.mark.parametrize(
    ("status", "next_request"),
    [*((status, HEAD) for status in (400, 401, 403, 404, 406, 415)), (405, GET), (501, GET)],
)
async def test_refused_head_is_confirmed_by_one_get(fake, client, source, status, next_request):
    fake.fail_next(T, status=status, method="HEAD")
    seen = await check(client, source)
    assert (seen.digest, seen.unchanged) == (S2_DIGEST, True)
    await check(client, source)
    assert [line for line in fake.requests if T in line] == [HEAD, GET, next_request]


@pytest.mark.case("registry 48")
async def test_missing_tag_is_reported_after_one_get(fake, client, source):
    fake.delete("a/b", "t")
    with pytest.raises(ManifestUnknownError) as caught:
        await check(client, source)
    assert caught.value.code == "notfound.tag"
    assert fake.requests == [HEAD, GET]


@pytest.mark.case("registry 49")
async def test_429_on_head_is_not_followed_by_get(fake, client, source):
    fake.on(T, Reply(429, b"", [("Retry-After", "60")]))
    with pytest.raises(RateLimitedError):
        await check(client, source)
    assert set(fake.requests) == {HEAD}


async def test_503_on_head_is_not_followed_by_get(fake, client, source):
    fake.on(T, Reply(503))
    with pytest.raises(RegistryError) as caught:
        await check(client, source)
    assert caught.value.code == "http.5xx"
    assert set(fake.requests) == {HEAD}


@pytest.mark.case("registry 56")
@pytest.mark.parametrize("etag", [None, 'W/"x-1"', "unquoted"])
async def test_etag_is_sent_back_unchanged(fake, client, source, etag):
    omit_head_digests(fake)
    if etag is not None:
        fake.header(T, "Etag", etag, method="GET")
        fake.on(T, lambda r: Reply(304) if r.headers.get("if-none-match") == etag else None)
    first = await check(client, source)
    second = await check(client, source, etag=first.etag)
    assert if_none_match_headers(fake) == [None, etag or f'"{S2_DIGEST}"']
    assert (second.digest, second.unchanged, second.fetched) == (S2_DIGEST, True, None)
    assert second.etag == first.etag


@pytest.mark.case("registry 56")
async def test_docker_registry_answers_304_to_its_etag(registry, open_client):
    config = registry.push_blob("case56/app", fx.CFG_A)
    described = {"mediaType": "x/y", "size": len(fx.CFG_A), "digest": config}
    manifest = fx.compact(
        {"schemaVersion": 2, "mediaType": fx.S2_TYPE, "config": described, "layers": []}
    )
    registry.push("case56/app", tag="t", manifest=manifest, media_type=fx.S2_TYPE)
    source, client = SourceRepository(registry.host, "case56/app"), open_client()
    digest = fx.digest_of(manifest)
    client.tag_checker.report_mismatch(source, "t", claimed_digest=OTHER, actual_digest=digest)
    client.tag_checker.report_mismatch(
        source, "t", claimed_digest=OTHER, actual_digest=digest
    )  # no HEADs from here on
    first = await check(client, source, known=digest)
    assert first.fetched is not None
    second = await check(client, source, known=digest, etag=first.etag)
    assert (second.digest, second.unchanged, second.fetched) == (digest, True, None)
    address, known, etag = first.etag.split(" ")
    third = await check(client, source, known=digest, etag=f"{address} {known} W/{etag}")
    assert (third.unchanged, third.fetched.digest) == (True, digest)


async def test_updated_tag_returns_manifest_and_new_etag(fake, client, source):
    omit_head_digests(fake)
    first = await check(client, source)
    update_tag(fake)
    second = await check(client, source, etag=first.etag)
    assert (second.digest, second.unchanged) == (OCI_DIGEST, False)
    assert second.fetched.digest == OCI_DIGEST
    assert second.etag.endswith(f'"{OCI_DIGEST}"')


async def test_304_resolves_to_digest_stored_with_etag(fake, client, source):
    """The last import may have seen something else than the last check."""
    omit_head_digests(fake)
    first = await check(client, source)
    seen = await check(client, source, known=OTHER, etag=first.etag)
    assert (seen.digest, seen.unchanged, seen.fetched) == (S2_DIGEST, False, None)


async def test_etag_is_not_sent_to_another_url(fake, client, source):
    omit_head_digests(fake)
    first = await check(client, source)
    fake.tag("a/b", "u", S2_DIGEST)
    await check(client, source, reference="u", etag=first.etag)
    await check(client, source, etag=f'"{S2_DIGEST}"')
    assert if_none_match_headers(fake) == [None, None, None]


@pytest.mark.parametrize("etag_header", ["x" * 600, 'a"b', ['"1"', '"2"'], "\xe9", None])
async def test_unusable_etag_is_dropped(fake, client, source, etag_header):
    omit_head_digests(fake)
    fake.header(T, "Etag", etag_header, method="GET")
    seen = await check(client, source)
    assert (seen.unchanged, seen.etag) == (True, "")


@pytest.mark.parametrize("status", [400, 412])
async def test_refused_conditional_get_is_retried_unconditionally(fake, client, source, status):
    omit_head_digests(fake)
    first = await check(client, source)
    fake.on(T, lambda r: Reply(status) if "if-none-match" in r.headers else None)
    seen = await check(client, source, etag=first.etag)
    assert (seen.digest, seen.unchanged) == (S2_DIGEST, True)
    assert if_none_match_headers(fake) == [None, f'"{S2_DIGEST}"', None]


@pytest.mark.case("registry 55")
async def test_unrequested_304_is_protocol_error(fake, client, source):
    fake.on(T, Reply(304))
    with pytest.raises(ProtocolError) as caught:
        await check(client, source)
    assert caught.value.code == "protocol.status"
    assert fake.requests == [HEAD, GET]


async def test_tag_check_accepts_digest_as_reference(fake, client, source):
    omit_head_digests(fake)
    seen = await check(client, source, reference=S2_DIGEST)
    assert (seen.digest, seen.unchanged, seen.etag) == (S2_DIGEST, True, "")


async def test_heads_with_two_wrong_digests_are_distrusted_for_day(fake, open_client, source):
    clock = ManualClock()
    client = open_client(dependencies={"clock": clock})
    fake.claim_digest(T, OTHER, method="HEAD")
    for _ in range(2):
        assert (await check(client, source)).digest == OTHER
        client.tag_checker.report_mismatch(
            source, "t", claimed_digest=OTHER, actual_digest=S2_DIGEST
        )
    seen = await check(client, source)
    assert (seen.digest, seen.unchanged) == (S2_DIGEST, True)
    other_source = SourceRepository(fake.host, "c/d")
    fake.push("c/d", tag="t", manifest=fx.S2, media_type=fx.S2_TYPE)
    await check(client, other_source)
    assert fake.requests == [HEAD, HEAD, GET, "HEAD /v2/c/d/manifests/t"]
    await clock.advance(UNRELIABLE_HEAD_TTL_SECONDS + 1)
    assert (await check(client, source)).digest == OTHER


async def test_single_or_differing_digest_mismatches_leave_heads_trusted(fake, client, source):
    client.tag_checker.report_mismatch(source, "t", claimed_digest=OTHER, actual_digest=S2_DIGEST)
    client.tag_checker.report_mismatch(
        source, "t", claimed_digest=OCI_DIGEST, actual_digest=S2_DIGEST
    )
    assert (await check(client, source)).unchanged
    assert fake.requests == [HEAD]


async def test_scheduled_gets_respect_quota(fake, client, source):
    omit_head_digests(fake)
    fake.header(T, "ratelimit-limit", "100;w=21600", method="GET")
    fake.header(T, "ratelimit-remaining", "1;w=21600", method="GET")
    context = RequestContext(priority="scheduled")
    assert (await check(client, source, context=context)).unchanged
    with pytest.raises(RateLimitedError):
        await check(client, source, context=context)
    assert fake.requests == [HEAD, GET]


@pytest.mark.parametrize("status", [500, 503, 504])
async def test_scheduled_check_does_not_retry_transient_failure(fake, client, source, status):
    fake.on(T, Reply(status))
    with pytest.raises(RegistryError):
        await check(client, source, context=RequestContext(priority="scheduled"))
    assert fake.requests == [HEAD]
