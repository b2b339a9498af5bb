"""Whether a tag is what it was: HEAD where that tells, a conditional GET where it does not."""

import pytest

from models.errors import ManifestUnknownError, ProtocolError, RateLimitedError, RegistryError
from tests import fixtures as fx
from tests.fakeregistry.wire import Reply
from tests.integration.registry.rights import access
from tests.manual_clock import HandClock
from worker.registry.registry_types import Place
from worker.registry.request_context import Access
from worker.registry.tag_check import NO_HEAD_KEPT

T = "/v2/a/b/manifests/t"
HEAD, GET = f"HEAD {T}", f"GET {T}"
D1, D2 = fx.digest_of(fx.S2), fx.digest_of(fx.OCI)
OTHER = f"sha256:{'e' * 64}"


@pytest.fixture
def place(fake):
    fake.push("a/b", tag="t", manifest=fx.S2, media_type=fx.S2_TYPE, config=fx.CFG_A)
    return Place(fake.host, "a/b")


def move(fake):
    fake.push("a/b", tag="t", manifest=fx.OCI, media_type=fx.OCI_TYPE, config=fx.CFG_A)


def without_digests(fake):
    fake.content.head_digest = False


def check(client, place, *, known=D1, etag="", wanted="t", rights=None):
    return client.check_manifest(place, wanted, rights or access(), known=known, etag=etag)


def conditions(fake):
    """What each GET was made to depend on."""
    return [r.headers.get("if-none-match") for r in fake.log if r.method == "GET"]


async def test_a_head_with_a_digest_is_the_whole_answer(fake, client, place):
    seen = await check(client, place)
    assert (seen.digest, seen.unchanged, seen.fetched, seen.place) == (D1, True, None, place.name)
    move(fake)
    seen = await check(client, place)
    assert (seen.digest, seen.unchanged) == (D2, False)
    assert fake.requests == [HEAD, HEAD]


@pytest.mark.parametrize("length", [0, 77])
async def test_the_length_that_a_head_tells_is_nothing_to_us(fake, client, place, length):
    fake.on(
        T,
        Reply(200, b"", [("Docker-Content-Digest", D1)], length=length),
        method="HEAD",
    )
    assert (await check(client, place)).unchanged


@pytest.mark.case("registry 46")
async def test_without_a_digest_the_manifest_is_fetched_and_handed_out(fake, client, place):
    without_digests(fake)
    seen = await check(client, place)
    assert (seen.digest, seen.unchanged) == (D1, True)
    assert seen.fetched.content == fx.S2
    assert fake.requests == [HEAD, GET]
    await check(client, place)
    assert fake.requests == [HEAD, GET, GET]


async def test_what_a_head_is_good_for_is_tried_again_after_a_day(fake, open_client, place):
    clock = HandClock()
    client = open_client(world={"clock": clock})
    without_digests(fake)
    await check(client, place)
    fake.content.head_digest = True
    await clock.advance(NO_HEAD_KEPT - 1)
    await check(client, place)
    assert fake.requests == [HEAD, GET, GET]
    await clock.advance(2)
    await check(client, place)
    assert fake.requests == [HEAD, GET, GET, HEAD]


@pytest.mark.case("registry 47")
@pytest.mark.parametrize(
    ("status", "later"),
    [*((status, HEAD) for status in (400, 401, 403, 404, 406, 415)), (405, GET), (501, GET)],
)
async def test_a_head_that_is_refused_is_confirmed_by_one_get(fake, client, place, status, later):
    fake.fail_next(T, status=status, method="HEAD")
    seen = await check(client, place)
    assert (seen.digest, seen.unchanged) == (D1, True)
    await check(client, place)
    assert [line for line in fake.requests if T in line] == [HEAD, GET, later]


@pytest.mark.case("registry 48")
async def test_a_tag_that_is_gone_is_told_after_one_get(fake, client, place):
    fake.delete("a/b", "t")
    with pytest.raises(ManifestUnknownError) as gone:
        await check(client, place)
    assert gone.value.code == "notfound.tag"
    assert fake.requests == [HEAD, GET]


@pytest.mark.case("registry 49")
async def test_a_limit_on_heads_is_not_tried_out_with_a_get(fake, client, place):
    fake.on(T, Reply(429, b"", [("Retry-After", "60")]))
    with pytest.raises(RateLimitedError):
        await check(client, place)
    assert set(fake.requests) == {HEAD}


async def test_an_outage_is_not_tried_out_with_a_get(fake, client, place):
    fake.on(T, Reply(503))
    with pytest.raises(RegistryError) as down:
        await check(client, place)
    assert down.value.code == "http.5xx"
    assert set(fake.requests) == {HEAD}


@pytest.mark.case("registry 56")
@pytest.mark.parametrize("etag", [None, 'W/"x-1"', "unquoted"])
async def test_an_etag_goes_back_exactly_as_it_came(fake, client, place, etag):
    without_digests(fake)
    if etag is not None:
        fake.header(T, "Etag", etag, method="GET")
        fake.on(T, lambda r: Reply(304) if r.headers.get("if-none-match") == etag else None)
    first = await check(client, place)
    second = await check(client, place, etag=first.etag)
    assert conditions(fake) == [None, etag or f'"{D1}"']
    assert (second.digest, second.unchanged, second.fetched) == (D1, True, None)
    assert second.etag == first.etag


@pytest.mark.case("registry 56")
async def test_a_real_registry_knows_its_own_etag(registry, open_client):
    config = registry.push_blob("case56/app", fx.CFG_A)
    described = {"mediaType": "x/y", "size": len(fx.CFG_A), "digest": config}
    manifest = fx.compact(
        {"schemaVersion": 2, "mediaType": fx.S2_TYPE, "config": described, "layers": []}
    )
    registry.push("case56/app", tag="t", manifest=manifest, media_type=fx.S2_TYPE)
    place, client = Place(registry.host, "case56/app"), open_client()
    digest = fx.digest_of(manifest)
    client.checker.report(place, "t", claimed=OTHER, found=digest)
    client.checker.report(place, "t", claimed=OTHER, found=digest)  # no HEADs from here on
    first = await check(client, place, known=digest)
    assert first.fetched is not None
    second = await check(client, place, known=digest, etag=first.etag)
    assert (second.digest, second.unchanged, second.fetched) == (digest, True, None)
    address, known, etag = first.etag.split(" ")
    third = await check(client, place, known=digest, etag=f"{address} {known} W/{etag}")
    assert (third.unchanged, third.fetched.digest) == (True, digest)


async def test_a_moved_tag_comes_with_its_manifest_and_a_new_etag(fake, client, place):
    without_digests(fake)
    first = await check(client, place)
    move(fake)
    second = await check(client, place, etag=first.etag)
    assert (second.digest, second.unchanged) == (D2, False)
    assert second.fetched.digest == D2
    assert second.etag.endswith(f'"{D2}"')


async def test_an_etag_is_only_word_of_what_came_with_it(fake, client, place):
    """The last import may have seen something else than the last check."""
    without_digests(fake)
    first = await check(client, place)
    seen = await check(client, place, known=OTHER, etag=first.etag)
    assert (seen.digest, seen.unchanged, seen.fetched) == (D1, False, None)


async def test_an_etag_is_never_sent_to_another_address(fake, client, place):
    without_digests(fake)
    first = await check(client, place)
    fake.tag("a/b", "u", D1)
    await check(client, place, wanted="u", etag=first.etag)
    await check(client, place, etag=f'"{D1}"')
    assert conditions(fake) == [None, None, None]


@pytest.mark.parametrize("told", ["x" * 600, 'a"b', ['"1"', '"2"'], "\xe9", None])
async def test_an_etag_that_cannot_be_sent_back_is_none(fake, client, place, told):
    without_digests(fake)
    fake.header(T, "Etag", told, method="GET")
    seen = await check(client, place)
    assert (seen.unchanged, seen.etag) == (True, "")


@pytest.mark.parametrize("status", [400, 412])
async def test_a_registry_that_dislikes_conditions_is_asked_once_without(
    fake, client, place, status
):
    without_digests(fake)
    first = await check(client, place)
    fake.on(T, lambda r: Reply(status) if "if-none-match" in r.headers else None)
    seen = await check(client, place, etag=first.etag)
    assert (seen.digest, seen.unchanged) == (D1, True)
    assert conditions(fake) == [None, f'"{D1}"', None]


@pytest.mark.case("registry 55")
async def test_a_304_that_was_not_asked_for_is_an_error(fake, client, place):
    fake.on(T, Reply(304))
    with pytest.raises(ProtocolError) as odd:
        await check(client, place)
    assert odd.value.code == "protocol.status"
    assert fake.requests == [HEAD, GET]


async def test_a_digest_is_looked_at_like_a_tag(fake, client, place):
    without_digests(fake)
    seen = await check(client, place, wanted=D1)
    assert (seen.digest, seen.unchanged, seen.etag) == (D1, True, "")


async def test_heads_that_lied_twice_are_not_believed_for_a_day(fake, open_client, place):
    clock = HandClock()
    client = open_client(world={"clock": clock})
    fake.claim_digest(T, OTHER, method="HEAD")
    for _ in range(2):
        assert (await check(client, place)).digest == OTHER
        client.checker.report(place, "t", claimed=OTHER, found=D1)
    seen = await check(client, place)
    assert (seen.digest, seen.unchanged) == (D1, True)
    elsewhere = Place(fake.host, "c/d")
    fake.push("c/d", tag="t", manifest=fx.S2, media_type=fx.S2_TYPE)
    await check(client, elsewhere)
    assert fake.requests == [HEAD, HEAD, GET, "HEAD /v2/c/d/manifests/t"]
    await clock.advance(NO_HEAD_KEPT + 1)
    assert (await check(client, place)).digest == OTHER


async def test_one_lie_or_two_different_ones_may_be_a_race(fake, client, place):
    client.checker.report(place, "t", claimed=OTHER, found=D1)
    client.checker.report(place, "t", claimed=D2, found=D1)
    assert (await check(client, place)).unchanged
    assert fake.requests == [HEAD]


async def test_gets_of_the_schedule_keep_to_the_quota(fake, client, place):
    without_digests(fake)
    fake.header(T, "ratelimit-limit", "100;w=21600", method="GET")
    fake.header(T, "ratelimit-remaining", "1;w=21600", method="GET")
    rights = Access(lane="scheduled")
    assert (await check(client, place, rights=rights)).unchanged
    with pytest.raises(RateLimitedError):
        await check(client, place, rights=rights)
    assert fake.requests == [HEAD, GET]


@pytest.mark.parametrize("status", [500, 503, 504])
async def test_what_fails_for_a_moment_is_left_to_the_calendar(fake, client, place, status):
    fake.on(T, Reply(status))
    with pytest.raises(RegistryError):
        await check(client, place, rights=Access(lane="scheduled"))
    assert fake.requests == [HEAD]
