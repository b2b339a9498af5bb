"""Tests of the real servers that other tests use: docker-registry, Redis, PostgreSQL."""

import os
import subprocess
import time

import httpx
import psycopg
import pytest

from tests import corpora
from tests import fixtures as fx
from tests.servers import Redis, Server, find_binary

LAYER = b"layer-one-bytes"
CONFIG = b'{"architecture":"amd64","os":"linux"}'


def manifest_of(config, *layers, media_type=fx.OCI_TYPE):
    def descriptor(media_type, content):
        return {"mediaType": media_type, "digest": fx.digest_of(content), "size": len(content)}

    return fx.compact(
        {
            "schemaVersion": 2,
            "mediaType": media_type,
            "config": descriptor("application/vnd.oci.image.config.v1+json", config),
            "layers": [
                descriptor("application/vnd.oci.image.layer.v1.tar+gzip", each) for each in layers
            ],
        }
    )


def push(registry, repository, tag="t"):
    return registry.push(
        repository, tag=tag, manifest=manifest_of(CONFIG, LAYER), config=CONFIG, blobs=[LAYER]
    )


def get(registry, path, **options):
    return httpx.get(f"{registry.url}/v2/{path}", trust_env=False, **options)


OCI_ONLY = {"Accept": fx.OCI_TYPE}


def test_registry_serves_pushed_manifest(registry):
    digest = push(registry, "servers/open")
    answer = get(registry, "servers/open/manifests/t", headers=OCI_ONLY)
    assert answer.headers["docker-content-digest"] == digest == fx.digest_of(answer.content)
    assert get(registry, "servers/open/tags/list").json()["tags"] == ["t"]


def test_registry_deletes_manifest(registry):
    digest = push(registry, "servers/gone")
    registry.delete("servers/gone", digest)
    assert get(registry, "servers/gone/manifests/t", headers=OCI_ONLY).status_code == 404


def test_registry_requests_lists_those_of_one_repository(registry):
    push(registry, "servers/logged")
    get(registry, "servers/logged/tags/list?n=1000")
    get(registry, "servers/other/tags/list")
    seen = registry.requests("servers/logged")
    assert seen[-1] == "GET /v2/servers/logged/tags/list?n=1000"
    assert all("servers/logged" in line for line in seen)


def test_registry_basic_admits_only_its_user(registry_basic):
    push(registry_basic, "servers/basic")
    path = "servers/basic/tags/list"
    refused = get(registry_basic, path)
    assert refused.status_code == 401
    assert refused.headers["www-authenticate"] == 'Basic realm="tests"'
    assert get(registry_basic, path, auth=("team", "wrong")).status_code == 401
    login = b"team", registry_basic.users["team"].encode()
    assert get(registry_basic, path, auth=login).status_code == 200


def token_for(registry, repository, auth=None):
    scope = {"service": "svc", "scope": f"repository:{repository}:pull"}
    answer = httpx.get(registry.tokens.realm, params=scope, auth=auth, trust_env=False)
    return answer.status_code, answer.json().get("token")


def read_with(registry, repository, token):
    headers = {**OCI_ONLY, "Authorization": f"Bearer {token}"}
    return get(registry, f"{repository}/manifests/t", headers=headers)


def test_registry_token_accepts_tokens_of_its_token_service(registry_token):
    push(registry_token, "servers/token")
    challenge = get(registry_token, "servers/token/manifests/t").headers["www-authenticate"]
    assert f'realm="{registry_token.tokens.realm}"' in challenge
    assert 'scope="repository:servers/token:pull"' in challenge
    registry_token.tokens.allow("team", "pass", "servers/*")
    _, token = token_for(registry_token, "servers/token", auth=("team", "pass"))
    assert read_with(registry_token, "servers/token", token).status_code == 200


def test_token_service_gives_anonymous_an_empty_token_and_refuses_wrong_password(registry_token):
    push(registry_token, "servers/token")
    status, token = token_for(registry_token, "servers/token")
    refused = read_with(registry_token, "servers/token", token)
    assert status == 200
    assert 'error="insufficient_scope"' in refused.headers["www-authenticate"]
    assert token_for(registry_token, "servers/token", auth=("team", "pass"))[0] == 401


def test_registry_token_refuses_expired_token(registry_token):
    push(registry_token, "servers/token")
    registry_token.tokens.allow("", "", "*")
    registry_token.tokens.lifetime = -120
    _, token = token_for(registry_token, "servers/token")
    refused = read_with(registry_token, "servers/token", token)
    assert 'error="invalid_token"' in refused.headers["www-authenticate"]


def test_redis_clear_deletes_all_keys(redis_server, redis_url):
    import redis

    with redis.Redis.from_url(redis_url) as client:
        client.set("a", "1")
        redis_server.clear()
        assert client.keys() == []


@pytest.mark.parametrize("number", [1, 2])
def test_postgres_url_is_a_new_database_for_each_test(postgres_url, number):
    with psycopg.connect(postgres_url) as connection:
        connection.execute("CREATE TABLE only_here (a int)")


def test_postgres_creates_and_drops_five_databases_in_five_seconds(postgres_server):
    started = time.monotonic()
    for _ in range(5):
        postgres_server.drop_database(postgres_server.create_database())
    assert time.monotonic() - started < 5


def test_stopped_server_has_no_process_and_no_data():
    with Redis() as server:
        pid, directory = server.pid, server.directory
        assert directory.exists()
    assert not directory.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_restarted_server_keeps_its_port():
    with Redis() as server:
        port = server.port
        server.stop(keep=True)
        server.restart()
        server.clear()
        assert server.port == port


def test_find_binary_fails_where_program_is_missing():
    with pytest.raises(pytest.fail.Exception, match="no-such-binary is not installed"):
        find_binary("no-such-binary")


def test_server_start_failure_shows_its_output():
    class Broken(Server):
        name = "broken"

        def command(self):
            return ["sh", "-c", "echo my disk is full; exit 1"]

    with pytest.raises(pytest.fail.Exception, match="my disk is full"):
        Broken().start()


@pytest.mark.parametrize("server", ["registry", "fake"])
def test_skopeo_reads_artifact_pushed_with_oras(request, server, tmp_path):
    """Foreign clients agree with the real registry and with the fake one."""
    host = request.getfixturevalue(server).host
    (tmp_path / "note.txt").write_text("hello")
    digest = corpora.push_with_oras(host, "servers/note", "1", [tmp_path / "note.txt"])
    skopeo = [find_binary("skopeo"), "inspect", "--raw", "--tls-verify=false"]
    shown = subprocess.run(
        [*skopeo, f"docker://{host}/servers/note:1"], capture_output=True, timeout=30
    )
    assert shown.returncode == 0, shown.stderr
    assert fx.digest_of(shown.stdout) == digest


@pytest.mark.parametrize("kind", ["registry", "registry_token"])
def test_real_registry_serves_pushed_corpus(request, kind):
    registry = request.getfixturevalue(kind)
    corpus = corpora.multi(2, platforms=2, attestations=1)
    repository = "servers/multi"
    corpora.push(registry.url, corpus, repository, headers=registry.authorization(repository))
    answer = registry.request("GET", f"{repository}/tags/list", repository=repository)
    assert sorted(answer.json()["tags"]) == sorted(corpus.tags)
    for tag, digest in corpus.tags.items():
        head = registry.request(
            "HEAD",
            f"{repository}/manifests/{tag}",
            repository=repository,
            headers={"Accept": fx.INDEX_TYPE},
        )
        assert head.headers["Docker-Content-Digest"] == digest
