"""Tag lists: all pages of the registry itself, and incomplete lists are marked."""

import json

import pytest

from models.errors import ContentError, ManifestUnknownError, ProtocolError
from tests.fakeregistry.wire import Reply
from tests.integration.registry.client_helpers import make_client, request_context
from worker.registry.registry_types import SourceRepository

LIST = "/v2/a/b/tags/list"
D = f"sha256:{'d' * 64}"


def page(tags, link=None, **more):
    """Return a page of a list; `link` is one Link header or several."""
    links = [link] if isinstance(link, str) else link or []
    body = json.dumps({"name": "a/b", "tags": tags, **more}).encode()
    return Reply(
        200, body, [("Content-Type", "application/json"), *(("Link", each) for each in links)]
    )


def serve_pages(fake, pages):
    """Serve pages by query; any other query is an empty 404."""
    fake.on(LIST, lambda request: pages.get(request.target.partition("?")[2], Reply(404)))


async def fetch_list(fake, **config):
    client = make_client(**config)
    try:
        return await client.fetch_tags(SourceRepository(fake.host, "a/b"), request_context())
    finally:
        await client.close()


@pytest.mark.case("registry 14")
async def test_docker_registry_lists_thirty_tags_at_once(registry):
    names = {f"v{number}" for number in range(30)}
    config = b"{}"
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {
                "mediaType": "application/vnd.oci.empty.v1+json",
                "size": 2,
                "digest": registry.push_blob("case14/app", config),
            },
            "layers": [],
        }
    ).encode()
    for name in names:
        registry.push("case14/app", tag=name, manifest=manifest)
    client = make_client()
    found = await client.fetch_tags(
        SourceRepository(registry.host, "case14/app"), request_context()
    )
    await client.close()
    assert (set(found.tags), found.complete) == (names, True)


@pytest.mark.case("registry 15", "registry 16", "registry 18", "registry 19")
@pytest.mark.parametrize(
    "target",
    [
        "/v2/a/b/tags/list?n=2&last=b",
        "http://{host}/v2/a/b/tags/list?n=2&last=b",
        "/v2/a/b/tags/list?last=b,c;d&x=%2Fe",
        "/v2/a/b/tags/list?next_page=AAAA%3D%3D&n=50",
    ],
)
async def test_next_page_is_requested_by_exact_link(fake, target):
    target = target.format(host=fake.host)
    query = target.partition("?")[2]
    serve_pages(fake, {"n=1000": page(["a"], f'<{target}>; rel="next"'), query: page(["b"])})
    found = await fetch_list(fake)
    assert (found.tags, found.complete) == (("a", "b"), True)
    assert fake.requests == [f"GET {LIST}?n=1000", f"GET {LIST}?{query}"]


@pytest.mark.case("registry 17", "registry 20")
@pytest.mark.parametrize(
    ("links", "follows"),
    [
        (["</v2/a/b/tags/list?p=2>; rel=next"], True),
        (['</v2/a/b/tags/list?p=2>; REL="Next"'], True),
        (['</v2/a/b/tags/list?p=2>; rel="prev next"'], True),
        (['</x>; rel="prev"', '</v2/a/b/tags/list?p=2>; rel="next"'], True),
        (['</x>; rel="prev", </v2/a/b/tags/list?p=2>; rel="next"'], True),
        (["</v2/a/b/tags/list?p=2>"], True),
        (['</v2/a/b/tags/list?p=2>; rel="last"'], False),
    ],
)
async def test_only_rel_next_link_is_followed(fake, links, follows):
    serve_pages(fake, {"n=1000": page(["a"], links), "p=2": page(["b"])})
    found = await fetch_list(fake)
    assert (found.tags, found.complete) == (("a", "b") if follows else ("a",), True)


@pytest.mark.case("registry 21", "registry 22", "registry 23")
@pytest.mark.parametrize(
    "target",
    [
        "http://{other}/v2/a/b/tags/list?p=2",
        "https://{host}/v2/a/b/tags/list?p=2",
        "/v2/c/d/tags/list?p=2",
        "/v2/_catalog?p=2",
    ],
)
async def test_foreign_link_makes_tag_list_incomplete(fake, open_fake, target):
    other = open_fake()
    link = f'<{target.format(host=fake.host, other=other.host)}>; rel="next"'
    serve_pages(fake, {"n=1000": page(["a"], link)})
    found = await fetch_list(fake)
    assert (found.tags, found.complete) == (("a",), False)
    assert (other.requests, len(fake.requests)) == ([], 1)


@pytest.mark.case("registry 24", "registry 25", "registry 26")
@pytest.mark.parametrize(
    ("pages", "request_count"),
    [
        ({"n=1000": (["a"], "n=1000")}, 1),
        ({"n=1000": (["a"], "p=2"), "p=2": (["b"], "n=1000")}, 2),
        ({"n=1000": (["a"], "p=2"), "p=2": (["a"], "p=3"), "p=3": (["a"], "p=4")}, 2),
    ],
)
async def test_looping_pages_make_tag_list_incomplete(fake, pages, request_count):
    serve_pages(
        fake, {at: page(tags, f"<{LIST}?{to}>; rel=next") for at, (tags, to) in pages.items()}
    )
    found = await fetch_list(fake)
    assert not found.complete
    assert len(fake.requests) == request_count


@pytest.mark.case("registry 27")
async def test_endless_tag_list_ends_at_cap(fake):
    def endless(request):
        number = int(request.query.get("p", ["0"])[0])
        tags = [f"t{number}-{index}" for index in range(100)]
        return page(tags, f"<{LIST}?p={number + 1}>; rel=next")

    fake.on(LIST, endless)
    client = make_client()
    found = await client.fetch_tags(
        SourceRepository(fake.host, "a/b"), request_context(), max_tags=1000
    )
    await client.close()
    assert not found.complete
    assert len(found.tags) == 1000
    assert len(fake.requests) == 10


@pytest.mark.case("registry 28")
async def test_null_tags_are_empty_and_missing_tags_refused(fake):
    fake.on(LIST, page(None))
    assert (await fetch_list(fake)).tags == ()
    for body in (b"{}", b"[]"):
        fake.on(LIST, Reply(200, body, [("Content-Type", "application/json")]))
        with pytest.raises(ContentError) as caught:
            await fetch_list(fake)
        assert caught.value.code == "content.invalid"


@pytest.mark.case("registry 29")
async def test_invalid_tags_are_dropped_and_counted(fake):
    fake.on(LIST, page([None, "", "ok", D, "bad tag", 5, "ok"]))
    found = await fetch_list(fake)
    assert (found.tags, found.dropped, found.complete) == (("ok",), 6, True)


@pytest.mark.case("registry 30")
async def test_failed_page_makes_tag_list_incomplete(fake):
    serve_pages(fake, {"n=1000": page(["a"], f"<{LIST}?p=2>; rel=next"), "p=2": Reply(500)})
    found = await fetch_list(fake)
    assert (found.tags, found.complete) == (("a",), False)
    assert len(fake.requests) == 4


@pytest.mark.case("registry 31")
async def test_token_expired_between_pages_is_replaced(fake):
    fake.require_token()
    fake.page_size = 1
    for tag in ("x", "y"):
        fake.push("a/b", tag=tag, manifest=b"{}", media_type="application/json")
    expired = []

    def expire(_request):
        if not expired:
            expired.append(1)
            fake.expire_tokens()

    fake.on(f"{LIST}.*last.*", expire)
    found = await fetch_list(fake)
    assert (set(found.tags), found.complete) == ({"x", "y"}, True)


@pytest.mark.case("registry 32")
@pytest.mark.parametrize(("wait", "complete"), [("1", True), ("120", False)])
async def test_429_on_later_page_is_waited_out_or_incomplete(fake, wait, complete):
    serve_pages(fake, {"n=1000": page(["a"], f"<{LIST}?p=2>; rel=next"), "p=2": page(["b"])})
    fake.fail_next(rf"{LIST}\?p=2", status=429, Retry_After=wait)
    found = await fetch_list(fake)
    assert (found.complete, "b" in found.tags) == (complete, complete)


@pytest.mark.case("registry 33")
async def test_tag_list_accepts_text_plain_but_no_html(fake):
    body = b'{"tags": ["a"]}'
    fake.on(LIST, Reply(200, body, [("Content-Type", "text/plain")]))
    assert (await fetch_list(fake)).tags == ("a",)
    fake.on(LIST, Reply(200, b"<html>", [("Content-Type", "text/html")]))
    with pytest.raises(ProtocolError) as caught:
        await fetch_list(fake)
    assert caught.value.code == "protocol.unexpected_type"


@pytest.mark.case("registry 34")
async def test_tag_list_digests_become_hints(fake):
    digests = {D: {"tag": ["a", "b"]}, "nonsense": {"tag": ["c"]}}
    fake.on(LIST, page(["a", "b", "c"], manifest=digests))
    assert (await fetch_list(fake)).digest_hints == {"a": D, "b": D}


@pytest.mark.case("registry 35")
async def test_unknown_repository_of_docker_registry_is_not_found(registry):
    client = make_client()
    with pytest.raises(ManifestUnknownError) as caught:
        await client.fetch_tags(
            SourceRepository(registry.host, "case35/nothing"), request_context()
        )
    await client.close()
    assert caught.value.code == "notfound.repo"


@pytest.mark.case("registry 36")
async def test_tag_list_page_above_cap_is_refused(fake):
    fake.on(LIST, page(["x" * 100 + str(number) for number in range(90_000)]))
    with pytest.raises(ContentError) as caught:
        await fetch_list(fake)
    assert caught.value.code == "content.too_large"


@pytest.mark.case("registry 37")
async def test_cosign_tags_are_listed_as_artifact_tags(fake):
    name = f"sha256-{'c' * 64}"
    companions = [name, f"{name}.sig", f"{name}.att", f"{name}.sbom"]
    fake.on(LIST, page([*companions, "v1"]))
    found = await fetch_list(fake)
    assert (found.tags, set(found.artifact_tags)) == (("v1",), set(companions))
