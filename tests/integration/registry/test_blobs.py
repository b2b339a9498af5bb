"""Configs are read and verified; of layers only the size is asked for."""

import pytest

from models.errors import ContentError, RegistryError
from models.oci import compute_digest
from tests import fixtures as fx
from tests.fakeregistry.wire import Raw, Reply
from tests.integration.registry.rights import access
from worker.registry.registry_types import Place

CONFIG = fx.digest_of(fx.CFG_A)
BLOB = f"/v2/a/b/blobs/{CONFIG}"
ANYBODY = access()


@pytest.fixture
def place(fake):
    fake.push_blob("a/b", fx.CFG_A)
    return Place(fake.host, "a/b")


@pytest.mark.case("registry 107")
async def test_a_size_is_found_where_signed_addresses_refuse_head(fake, open_fake, client, place):
    storage = open_fake()
    large = b"x" * 12345

    def serve(request):
        if request.method == "HEAD":
            return Reply(403, b"")
        if request.headers.get("range") != "bytes=0-0":
            return Reply(500, b"")
        return Reply(206, b"x", [("Content-Range", "bytes 0-0/12345")])

    storage.on("/cdn", serve)
    fake.redirect(BLOB, f"{storage.url}/cdn")
    assert await client.blob_size(place, CONFIG, ANYBODY) == 12345
    storage.on("/cdn", lambda r: Reply(403 if r.method == "HEAD" else 200, large))
    assert await client.blob_size(place, CONFIG, ANYBODY) == 12345


@pytest.mark.case("registry 107")
async def test_a_server_that_knows_no_ranges_is_not_read_to_the_end(fake, client, place):
    block = bytes(1 << 16)
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 5000000000\r\n\r\n"
    sent = []

    def flood():
        yield head
        while True:
            sent.append(1)
            yield block

    fake.fail_next(BLOB, status=405, method="HEAD")
    fake.on(BLOB, lambda _: Raw(flood()), method="GET")
    assert await client.blob_size(place, CONFIG, ANYBODY) == 5_000_000_000
    assert len(sent) < 200


async def test_a_proxy_that_does_not_know_a_blob_by_head_is_asked_by_get(fake, client, place):
    fake.fail_next(BLOB, status=404, method="HEAD")
    assert await client.blob_size(place, CONFIG, ANYBODY) == len(fx.CFG_A)


async def test_a_blob_that_is_gone_is_unknown(fake, client, place):
    for ask in (client.blob_size, client.fetch_blob):
        with pytest.raises(RegistryError, match="unknown blob") as caught:
            await ask(place, fx.L1, ANYBODY)
        assert caught.value.code == "notfound.blob"
        assert caught.value.reason == "InternalError"


@pytest.mark.case("registry 108")
async def test_a_real_registry_tells_the_size_both_ways(registry, client):
    digest = registry.push_blob("blobs/size", b"z" * 4321)
    place = Place(registry.host, "blobs/size")
    by_head = await client.blob_size(place, digest, ANYBODY)
    by_range = await client._probe_size(
        place, f"/v2/blobs/size/blobs/{digest}", ANYBODY, reference="x"
    )
    assert by_head == by_range == 4321


@pytest.mark.case("registry 112")
async def test_a_config_that_is_declared_too_large_is_not_asked_for(fake, client, place):
    with pytest.raises(ContentError) as caught:
        await client.fetch_blob(place, CONFIG, ANYBODY, declared=5 * 1024 * 1024)
    assert caught.value.code == "content.too_large"
    assert fake.log == []


@pytest.mark.case("registry 112")
async def test_a_config_without_end_is_cut_at_the_cap(fake, client, place):
    fake.endless(BLOB)
    with pytest.raises(ContentError) as caught:
        await client.fetch_blob(place, CONFIG, ANYBODY, declared=100)
    assert caught.value.code == "content.too_large"


@pytest.mark.case("registry 123")
async def test_a_wrong_size_is_a_warning_for_the_digest_proves_the_bytes(client, place):
    fetched = await client.fetch_blob(place, CONFIG, ANYBODY, declared=7)
    assert fetched.content == fx.CFG_A
    assert "not 7" in fetched.warnings[0]
    exact = await client.fetch_blob(place, CONFIG, ANYBODY, declared=len(fx.CFG_A))
    assert exact.warnings == ()


async def test_a_blob_that_came_broken_once_is_asked_for_again(fake, client, place):
    fake.replace_body(BLOB, b"{}", times=1)
    assert (await client.fetch_blob(place, CONFIG, ANYBODY)).content == fx.CFG_A
    assert len(fake.log) == 2


async def test_a_blob_by_sha512_is_verified_by_sha512(fake, client):
    content = b"by another sum"
    digest = fx.digest_of(content)
    longer = compute_digest(content, "sha512")
    fake.push_blob("a/b", content)
    fake.on(f"/v2/a/b/blobs/{longer}", lambda _: Reply(200, content))
    fetched = await client.fetch_blob(Place(fake.host, "a/b"), longer, ANYBODY)
    assert fetched.digest == longer
    assert digest != longer
