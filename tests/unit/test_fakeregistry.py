"""Tests of the fake registry: content, faults, access control, TLS, and the tools beside it."""

import asyncio
import gzip
import logging
import re
import socket
import ssl
import threading
import time

import aiohttp
import httpx
import pytest

from tests import corpora
from tests import fixtures as fx
from tests.fakeregistry import certificates
from tests.fakeregistry.content import manifest_digest
from tests.fakeregistry.latency_proxy import LatencyProxy
from tests.fakeregistry.leak_detector import LeakDetector
from tests.fakeregistry.server import FakeRegistry
from tests.fakeregistry.wire import Raw, Reply

TAG = "/v2/a/b/manifests/t"


@pytest.fixture
def reg(fake):
    fake.push("a/b", tag="t", manifest=fx.S2, media_type=fx.S2_TYPE, config=fx.CFG_A)
    return fake


@pytest.fixture
def client(reg):
    with httpx.Client(base_url=reg.url, trust_env=False, timeout=5) as session:
        yield session


def send_bytes(fake, text):
    """Send bytes; return all bytes until the server closes the connection."""
    with socket.create_connection(("127.0.0.1", fake.port), timeout=5) as connection:
        connection.sendall(text)
        return b"".join(iter(lambda: connection.recv(65536), b""))


# content


def test_manifest_is_served_by_tag_and_by_digest(reg, client):
    digest = fx.digest_of(fx.S2)
    for name in ("t", digest):
        answer = client.get(f"/v2/a/b/manifests/{name}")
        assert answer.content == fx.S2
        assert answer.headers["content-type"] == fx.S2_TYPE
        assert answer.headers["docker-content-digest"] == digest
    assert reg.requests == [f"GET {TAG}", f"GET /v2/a/b/manifests/{digest}"]


def test_digest_of_signed_schema1_is_that_of_its_payload():
    assert manifest_digest(fx.SCHEMA1_RAW) == fx.digest_of(fx.SCHEMA1_PAYLOAD)


def test_head_response_has_length_but_no_body(client):
    answer = client.head(TAG)
    assert (answer.status_code, answer.content) == (200, b"")
    assert int(answer.headers["content-length"]) == len(fx.S2)


def test_unknown_manifest_blob_and_repository_have_their_error_codes(client):
    codes = {
        "/v2/a/b/manifests/none": "MANIFEST_UNKNOWN",
        f"/v2/a/b/blobs/{fx.L1}": "BLOB_UNKNOWN",
        "/v2/no/where/tags/list": "NAME_UNKNOWN",
    }
    for path, code in codes.items():
        answer = client.get(path)
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (404, code)


def test_matching_etag_is_answered_with_304_without_digest(client):
    etag = client.get(TAG).headers["etag"]
    answer = client.get(TAG, headers={"If-None-Match": etag})
    assert answer.status_code == 304
    assert "docker-content-digest" not in answer.headers
    assert client.get(TAG, headers={"If-None-Match": f"W/{etag}"}).status_code == 200


def test_head_digest_option_removes_digest_from_head(reg, client):
    reg.content.head_digest = False
    assert "docker-content-digest" not in client.head(TAG).headers
    assert "docker-content-digest" in client.get(TAG).headers


def test_tag_list_pages_link_to_the_next_page(reg, client):
    for number in range(5):
        reg.tag("a/b", f"v{number}", fx.digest_of(fx.S2))
    reg.page_size = 2
    found, path = [], "/v2/a/b/tags/list?n=1000"
    while path:
        answer = client.get(path)
        found += answer.json()["tags"]
        path = answer.links.get("next", {}).get("url")
    assert found == ["t", "v0", "v1", "v2", "v3", "v4"]
    assert len(reg.requests) == 3


def test_blob_range_request_returns_206(client):
    path = f"/v2/a/b/blobs/{fx.digest_of(fx.CFG_A)}"
    answer = client.get(path, headers={"Range": "bytes=0-0"})
    assert (answer.status_code, answer.content) == (206, b"{")
    assert answer.headers["content-range"] == f"bytes 0-0/{len(fx.CFG_A)}"


def test_deleted_manifest_loses_its_tags(reg, client):
    reg.delete("a/b", fx.digest_of(fx.S2))
    assert client.get("/v2/a/b/tags/list").json()["tags"] is None


def test_referrers_are_listed_by_subject(reg, client):
    subject = {"digest": fx.digest_of(fx.S2)}
    reg.push("a/b", manifest=fx.compact({"subject": subject, "artifactType": "x/y"}))
    path = f"/v2/a/b/referrers/{subject['digest']}"
    assert client.get(path).status_code == 404
    reg.content.has_referrers = True
    assert [each["artifactType"] for each in client.get(path).json()["manifests"]] == ["x/y"]


def test_corpus_pushed_over_http_is_served(fake):
    corpus = corpora.multi(2, platforms=3, attestations=2)
    corpora.push(fake.url, corpus, "team/multi")
    held = fake.content.at("team/multi")
    assert held.tags == corpus.tags
    assert len(held.manifests) == 2 * (1 + 3 + 2)
    assert set(held.blobs) == set(corpus.blobs)


def test_corpora_have_their_documented_sizes():
    assert [len(make().tags) for make in (corpora.single, corpora.unchanged, corpora.multi)] == [
        200,
        300,
        100,
    ]
    assert len(corpora.multi().manifests) == 100 * (1 + 8 + 8)
    assert corpora.single() == corpora.single()
    assert corpora.single(3).tags.keys() == corpora.single(3, generation=1).tags.keys()
    assert corpora.single(3).tags != corpora.single(3, generation=1).tags


# faults


def test_fail_next_rules_apply_in_order_of_creation(reg, client):
    reg.fail_next("/a/b/manifests/t", status=500)
    reg.fail_next("/a/b/manifests/t", status=429, Retry_After="0", body=b"slow down")
    limited = [client.get(TAG) for _ in range(3)]
    assert [each.status_code for each in limited] == [500, 429, 200]
    assert (limited[1].headers["retry-after"], limited[1].content) == ("0", b"slow down")


@pytest.mark.parametrize(
    ("path", "fits"),
    [
        ("/a/b/manifests/t", True),
        ("/v2/a/b/manifests/t?x=1", True),
        (".*/manifests/.*", True),
        (re.compile(r"\?x="), True),
        ("/b/manifests/t", False),
        ("/a/b/manifests", False),
    ],
)
def test_rule_path_matches_whole_path_and_pattern_is_searched(reg, client, path, fits):
    reg.fail_next(path, status=418)
    assert (client.get(f"{TAG}?x=1").status_code == 418) is fits


def test_newest_uncounted_rule_wins_until_dropped(reg, client):
    reg.on(TAG, Reply(201))
    newer = reg.on(TAG, Reply(202))
    assert client.get(TAG).status_code == 202
    reg.drop(newer)
    assert client.get(TAG).status_code == 201
    reg.clear()
    assert client.get(TAG).status_code == 200


def test_responder_sees_request_and_may_return_none(reg, client):
    seen = []

    async def record(request):
        seen.append((request.method, request.query["x"], request.headers["accept"]))

    reg.on(TAG, record)
    assert client.get(f"{TAG}?x=1&x=2", headers={"Accept": "a/b"}).content == fx.S2
    assert seen == [("GET", ["1", "2"], "a/b")]


def test_error_in_responder_is_raised_by_close():
    fake = FakeRegistry().start()
    fake.on("/v2/", lambda _: 1 / 0)
    assert httpx.get(f"{fake.url}/v2/", trust_env=False).status_code == 500
    with pytest.raises(ZeroDivisionError):
        fake.close()


def test_fake_registry_sends_false_digests_and_lengths(reg, client):
    reg.claim_digest(TAG, fx.L1, times=1)
    reg.claim_digest(TAG, [fx.L1, fx.L2], times=1)
    first = client.get(TAG).headers.get_list("docker-content-digest")
    assert first == [fx.L1, fx.L2]
    assert client.get(TAG).headers["docker-content-digest"] == fx.digest_of(fx.S2)
    reg.claim_length(TAG, 10**12)
    assert b"Content-Length: 1000000000000\r\n" in send_bytes(
        reg, f"GET {TAG} HTTP/1.1\r\n\r\n".encode()
    )


def test_truncated_response_ends_before_its_length(reg, client):
    reg.truncate(TAG, keep=10)
    with pytest.raises(httpx.RemoteProtocolError):
        client.get(TAG)


@pytest.mark.parametrize("after", [None, 3])
def test_stalled_response_never_ends(reg, client, after):
    reg.stall(TAG, after=after)
    with pytest.raises(httpx.ReadTimeout):
        client.get(TAG, timeout=0.2)


def test_raw_rule_sends_bytes_unchanged(reg):
    reg.raw(TAG, [b"HTTP/1.1 2", b"00 \x00\xff\r\n", b"junk"], [0.01, 0.01])
    assert (
        send_bytes(reg, f"GET {TAG} HTTP/1.1\r\n\r\n".encode()) == b"HTTP/1.1 200 \x00\xff\r\njunk"
    )


def test_raw_response_can_keep_connection_open(reg):
    reg.on(TAG, Raw([b"HTTP/1.1 204 X\r\n\r\n"], end="keep"), times=1)
    get = f"GET {TAG} HTTP/1.1\r\n"
    received = send_bytes(reg, f"{get}\r\n{get}Connection: close\r\n\r\n".encode())
    assert received.startswith(b"HTTP/1.1 204 X\r\n\r\nHTTP/1.1 200 OK")
    assert reg.connections == 1


def test_dripped_response_is_complete_in_the_end(reg, client):
    reg.drip(TAG, pause=0.001, size=100)
    assert client.get(TAG).content == fx.S2


def test_gzip_bomb_is_small_on_the_wire(reg, client):
    reg.gzip_bomb(TAG, 5_000_000)
    with client.stream("GET", TAG) as answer:
        packed = b"".join(answer.iter_raw())
    assert len(packed) < 10_000
    assert len(gzip.decompress(packed)) == 5_000_000


def test_endless_body_ends_when_client_stops_reading(reg, client):
    reg.endless(TAG)
    with client.stream("GET", TAG) as answer:
        taken = sum(len(piece) for piece, _ in zip(answer.iter_raw(), range(50), strict=False))
    assert taken > 50_000
    assert client.get("/v2/").status_code == 200


def test_redirect_and_delay_rules_apply_together(reg, client):
    reg.redirect(TAG, "https://elsewhere.example/x?sig=1", 303)
    reg.delay(0.1, TAG)
    started = time.monotonic()
    answer = client.get(TAG)
    assert time.monotonic() - started >= 0.1
    assert (answer.status_code, answer.headers["location"]) == (
        303,
        "https://elsewhere.example/x?sig=1",
    )


def test_rate_limit_counts_down_and_then_refuses_only_gets(reg, client):
    reg.rate_limit(2, retry_after="7")
    left = [client.get(TAG).headers["ratelimit-remaining"] for _ in range(2)]
    assert left == ["1;w=21600", "0;w=21600"]
    refused = client.get(TAG)
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "7")
    assert client.head(TAG).status_code == 200


def test_cut_connections_ends_stalled_response(reg, client):
    reg.stall(TAG)
    threading.Timer(0.05, reg.cut_connections).start()
    with pytest.raises(httpx.TransportError):
        client.get(TAG)


# access control


def test_basic_access_admits_only_its_users(reg, client):
    reg.require_basic("team", "s3:crèt")
    refused = client.get(TAG)
    assert (refused.status_code, refused.headers["www-authenticate"]) == (401, 'Basic realm="fake"')
    assert client.get(TAG, auth=(b"team", "s3:crèt".encode())).status_code == 200
    reg.require_basic("other", "pass")
    assert client.get(TAG, auth=("other", "pass")).status_code == 200


def token(answer, **options):
    """Fetch the token that the challenge of `answer` asks for."""
    challenge = dict(re.findall(r'(\w+)="([^"]*)"', answer.headers["www-authenticate"]))
    query = {"service": challenge["service"], "scope": challenge["scope"]}
    return httpx.get(challenge["realm"], params=query, trust_env=False, **options)


def bearer(answer):
    return {"Authorization": f"Bearer {answer.json()['token']}"}


def test_token_grants_its_repository_until_it_expires(reg, client):
    reg.push("c/d", tag="t", manifest=fx.S2)
    reg.require_token()
    shown = bearer(token(client.get(TAG)))
    assert client.get(TAG, headers=shown).status_code == 200
    elsewhere = client.get("/v2/c/d/manifests/t", headers=shown)
    assert 'error="insufficient_scope"' in elsewhere.headers["www-authenticate"]
    reg.expire_tokens()
    stale = client.get(TAG, headers=shown)
    assert 'error="invalid_token"' in stale.headers["www-authenticate"]
    assert len(reg.token_requests) == 1


def test_only_known_users_get_tokens_with_grants(reg, client):
    reg.require_token(users={"team": "pass"})
    challenge = client.get(TAG)
    assert client.get(TAG, headers=bearer(token(challenge))).status_code == 401
    assert token(challenge, auth=("team", "wrong")).status_code == 401
    shown = bearer(token(challenge, auth=("team", "pass")))
    assert client.get(TAG, headers=shown).status_code == 200


def test_identity_token_is_accepted_by_post_unless_disabled(reg, client):
    access = reg.require_token(identity_tokens={"refresh-me": "team"})
    form = {
        "grant_type": "refresh_token",
        "refresh_token": "refresh-me",
        "scope": "repository:a/b:pull",
    }
    assert client.get(TAG, headers=bearer(client.post("/token", data=form))).status_code == 200
    access.accepts_post = False
    assert client.post("/token", data=form).status_code == 404


def test_token_service_can_be_another_fake_registry(reg, client, open_fake):
    elsewhere = open_fake()
    reg.require_token(at=elsewhere)
    assert client.get(TAG, headers=bearer(token(client.get(TAG)))).status_code == 200
    assert len(elsewhere.token_requests) == 1
    assert reg.token_requests == []


def test_challenge_and_token_response_can_be_overridden(reg, client):
    reg.require_token(
        challenge=lambda request, error: ["Negotiate", 'Basic realm="x"'],
        answer=lambda usual, request: {"access_token": usual["token"], "expires_in": -5},
    )
    assert client.get(TAG).headers.get_list("www-authenticate") == ["Negotiate", 'Basic realm="x"']
    assert client.get("/token").json()["expires_in"] == -5


# received requests


def test_received_finds_secret_in_header_and_query(reg, client):
    client.get(TAG, auth=("team", "canary-1"))
    client.get("/v2/", params={"x": "canary 2"})
    assert [str(request) for request in reg.received("canary-1")] == [f"GET {TAG}"]
    assert len(reg.received("nothing")) == 0


async def test_fake_registry_counts_requests_in_flight(reg):
    reg.delay(0.1)
    async with aiohttp.ClientSession() as session:

        async def send():
            async with session.get(reg.url + TAG) as answer:
                return answer.status

        assert await asyncio.gather(*(send() for _ in range(7))) == [200] * 7
    assert (reg.in_flight, reg.in_flight_peak, reg.connections) == (0, 7, 7)
    reg.forget_requests()
    assert (reg.requests, reg.in_flight_peak) == ([], 0)


async def test_fake_registry_answers_500_requests_a_second(reg):
    """Imports of 200 tags must not wait for the fake registry; it is far faster than this bound."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=16)) as session:

        async def send():
            async with session.get(reg.url + TAG) as answer:
                await answer.read()

        started = time.monotonic()
        for _ in range(4):
            await asyncio.gather(*(send() for _ in range(250)))
        assert 1000 / (time.monotonic() - started) > 500


# TLS


def open_tls(fake, certificate, name="reg.test"):
    with (
        socket.create_connection(("127.0.0.1", fake.port), timeout=5) as plain,
        certificate.client_context().wrap_socket(plain, server_hostname=name) as connection,
    ):
        connection.sendall(b"GET /v2/ HTTP/1.1\r\nConnection: close\r\n\r\n")
        return connection.recv(100)


def test_tls_connection_records_server_name(tls_fake):
    assert open_tls(tls_fake, tls_fake.tls).startswith(b"HTTP/1.1 200")
    assert tls_fake.log[0].sni == "reg.test"
    assert tls_fake.url.startswith("https://127.0.0.1:")


def test_self_signed_certificate_is_its_own_authority(open_fake):
    certificate = certificates.self_signed()
    assert open_tls(open_fake(tls=certificate), certificate).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (certificates.expired, "certificate has expired"),
        (certificates.misnamed, "Hostname mismatch"),
    ],
)
def test_invalid_certificate_fails_with_its_own_reason(open_fake, make, message):
    certificate = make()
    fake = open_fake(tls=certificate)
    with pytest.raises(ssl.SSLCertVerificationError, match=message):
        open_tls(fake, certificate)


def test_certificate_of_unknown_authority_is_refused(tls_fake):
    with pytest.raises(ssl.SSLCertVerificationError, match="unable to get local issuer"):
        open_tls(tls_fake, certificates.valid())


# latency


def test_latency_proxy_delays_response_by_a_round_trip(reg):
    with (
        LatencyProxy.in_front_of(reg.host, round_trip=0.05) as proxy,
        httpx.Client(base_url=f"http://{proxy.host}", trust_env=False) as client,
    ):
        client.get(TAG)
        started = time.monotonic()
        assert client.get(TAG).content == fx.S2
        assert 0.045 <= time.monotonic() - started < 0.5


# leak detector


@pytest.mark.parametrize(
    "leak",
    [
        lambda secret: f"password={secret}",
        lambda secret: secret.encode(),
        lambda secret: httpx.BasicAuth("team", secret)._auth_header,
        lambda secret: {"token": secret},
        ValueError,
    ],
)
def test_leak_detector_finds_secret(leak):
    detector = LeakDetector()
    with pytest.raises(AssertionError, match="leaked"):
        detector.check(leak(detector.secret))


def test_leak_detector_finds_secret_in_causes_and_files(tmp_path):
    detector = LeakDetector()
    error = RuntimeError("harmless")
    error.__cause__ = ValueError(f"token {detector.secret}")
    (tmp_path / "store.db").write_bytes(b"\x00" + detector.secret.encode())
    for value in (error, tmp_path):
        with pytest.raises(AssertionError, match="leaked"):
            detector.check(value)


def test_leak_detector_passes_where_nothing_leaked(no_secret_leaks, tmp_path):
    logging.getLogger("tests").info("nothing to see")
    no_secret_leaks.check("harmless", b"harmless", ValueError("x"), {"a": 1}, tmp_path)
