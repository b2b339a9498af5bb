"""Configs are read and verified; of layers only the size is requested."""

import pytest

from models.errors import ContentError, RegistryError
from models.oci import compute_digest
from tests import fixtures as fx
from tests.fakeregistry.wire import Raw, Reply
from tests.integration.registry.client_helpers import request_context
from worker.registry.registry_types import SourceRepository

CONFIG = fx.digest_of(fx.CFG_A)
BLOB = f"/v2/a/b/blobs/{CONFIG}"
ANONYMOUS = request_context()


@pytest.fixture
def source(fake):
    fake.push_blob("a/b", fx.CFG_A)
    return SourceRepository(fake.host, "a/b")


@pytest.mark.case("registry 107")
async def test_blob_size_is_found_when_head_is_refused(fake, open_fake, client, source):
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
    assert await client.fetch_blob_size(source, CONFIG, ANONYMOUS) == 12345
    storage.on("/cdn", lambda r: Reply(403 if r.method == "HEAD" else 200, large))
    assert await client.fetch_blob_size(source, CONFIG, ANONYMOUS) == 12345


@pytest.mark.case("registry 107")
async def test_blob_size_without_ranges_reads_no_full_body(fake, client, source):
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
    assert await client.fetch_blob_size(source, CONFIG, ANONYMOUS) == 5_000_000_000
    assert len(sent) < 200


async def test_blob_size_falls_back_to_get_after_head_404(fake, client, source):
    fake.fail_next(BLOB, status=404, method="HEAD")
    assert await client.fetch_blob_size(source, CONFIG, ANONYMOUS) == len(fx.CFG_A)


async def test_missing_blob_is_unknown_blob_error(fake, client, source):
    for fetch in (client.fetch_blob_size, client.fetch_blob):
        with pytest.raises(RegistryError, match="unknown blob") as caught:
            await fetch(source, fx.L1, ANONYMOUS)
        assert caught.value.code == "notfound.blob"
        assert caught.value.reason == "InternalError"


@pytest.mark.case("registry 108")
async def test_blob_size_by_head_equals_size_by_range(registry, client):
    digest = registry.push_blob("blobs/size", b"z" * 4321)
    source = SourceRepository(registry.host, "blobs/size")
    by_head = await client.fetch_blob_size(source, digest, ANONYMOUS)
    by_range = await client._fetch_size_by_range(
        source, f"/v2/blobs/size/blobs/{digest}", ANONYMOUS, reference="x"
    )
    assert by_head == by_range == 4321


@pytest.mark.case("registry 112")
async def test_config_declared_too_large_is_not_requested(fake, client, source):
    with pytest.raises(ContentError) as caught:
        await client.fetch_blob(source, CONFIG, ANONYMOUS, declared_size=5 * 1024 * 1024)
    assert caught.value.code == "content.too_large"
    assert fake.log == []


@pytest.mark.case("registry 112")
async def test_endless_config_is_cut_at_cap(fake, client, source):
    fake.endless(BLOB)
    with pytest.raises(ContentError) as caught:
        await client.fetch_blob(source, CONFIG, ANONYMOUS, declared_size=100)
    assert caught.value.code == "content.too_large"


@pytest.mark.case("registry 123")
async def test_wrong_declared_blob_size_is_a_warning(client, source):
    fetched = await client.fetch_blob(source, CONFIG, ANONYMOUS, declared_size=7)
    assert fetched.content == fx.CFG_A
    assert "not 7" in fetched.warnings[0]
    exact = await client.fetch_blob(source, CONFIG, ANONYMOUS, declared_size=len(fx.CFG_A))
    assert exact.warnings == ()


async def test_corrupt_blob_is_fetched_again(fake, client, source):
    fake.replace_body(BLOB, b"{}", times=1)
    assert (await client.fetch_blob(source, CONFIG, ANONYMOUS)).content == fx.CFG_A
    assert len(fake.log) == 2


async def test_blob_by_sha512_is_verified_by_sha512(fake, client):
    content = b"by another sum"
    digest = fx.digest_of(content)
    longer = compute_digest(content, "sha512")
    fake.push_blob("a/b", content)
    fake.on(f"/v2/a/b/blobs/{longer}", lambda _: Reply(200, content))
    fetched = await client.fetch_blob(SourceRepository(fake.host, "a/b"), longer, ANONYMOUS)
    assert fetched.digest == longer
    assert digest != longer
