"""The real servers behind the tests are what the tests believe them to be."""

import os
import subprocess
import time

import httpx
import psycopg
import pytest

from tests import corpora
from tests import fixtures as fx
from tests.servers import Redis, Server, find_binary

B1 = b"layer-one-bytes"
CONFIG = b'{"architecture":"amd64","os":"linux"}'


def manifest_of(config, *layers, media_type=fx.OCI_TYPE):
    def point(kind, content):
        return {"mediaType": kind, "digest": fx.digest_of(content), "size": len(content)}

    return fx.compact(
        {
            "schemaVersion": 2,
            "mediaType": media_type,
            "config": point("application/vnd.oci.image.config.v1+json", config),
            "layers": [
                point("application/vnd.oci.image.layer.v1.tar+gzip", each) for each in layers
            ],
        }
    )


def push(registry, repository, tag="t"):
    return registry.push(
        repository, tag=tag, manifest=manifest_of(CONFIG, B1), config=CONFIG, blobs=[B1]
    )


def get(registry, path, **how):
    return httpx.get(f"{registry.url}/v2/{path}", trust_env=False, **how)


OCI_ONLY = {"Accept": fx.OCI_TYPE}


def test_the_open_registry_serves_what_was_pushed(registry):
    digest = push(registry, "servers/open")
    answer = get(registry, "servers/open/manifests/t", headers=OCI_ONLY)
    assert answer.headers["docker-content-digest"] == digest == fx.digest_of(answer.content)
    assert get(registry, "servers/open/tags/list").json()["tags"] == ["t"]


def test_the_open_registry_deletes(registry):
    digest = push(registry, "servers/gone")
    registry.delete("servers/gone", digest)
    assert get(registry, "servers/gone/manifests/t", headers=OCI_ONLY).status_code == 404


def test_the_access_log_names_the_requests_of_one_repository(registry):
    push(registry, "servers/logged")
    get(registry, "servers/logged/tags/list?n=1000")
    get(registry, "servers/other/tags/list")
    seen = registry.requests("servers/logged")
    assert seen[-1] == "GET /v2/servers/logged/tags/list?n=1000"
    assert all("servers/logged" in line for line in seen)


def test_the_password_registry_refuses_everybody_but_its_user(registry_basic):
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


def test_the_token_registry_believes_its_token_service(registry_token):
    push(registry_token, "servers/token")
    challenge = get(registry_token, "servers/token/manifests/t").headers["www-authenticate"]
    assert f'realm="{registry_token.tokens.realm}"' in challenge
    assert 'scope="repository:servers/token:pull"' in challenge
    registry_token.tokens.allow("team", "pass", "servers/*")
    _, token = token_for(registry_token, "servers/token", auth=("team", "pass"))
    assert read_with(registry_token, "servers/token", token).status_code == 200


def test_the_token_service_gives_strangers_an_empty_token_and_liars_none(registry_token):
    push(registry_token, "servers/token")
    status, token = token_for(registry_token, "servers/token")
    refused = read_with(registry_token, "servers/token", token)
    assert status == 200
    assert 'error="insufficient_scope"' in refused.headers["www-authenticate"]
    assert token_for(registry_token, "servers/token", auth=("team", "pass"))[0] == 401


def test_the_token_registry_refuses_a_token_that_ran_out(registry_token):
    push(registry_token, "servers/token")
    registry_token.tokens.allow("", "", "*")
    registry_token.tokens.lifetime = -120
    _, token = token_for(registry_token, "servers/token")
    refused = read_with(registry_token, "servers/token", token)
    assert 'error="invalid_token"' in refused.headers["www-authenticate"]


def test_redis_is_empty_for_each_test(redis_server, redis_url):
    import redis

    with redis.Redis.from_url(redis_url) as client:
        client.set("a", "1")
        redis_server.clear()
        assert client.keys() == []


@pytest.mark.parametrize("turn", [1, 2])
def test_each_test_has_a_database_of_its_own(postgres_url, turn):
    with psycopg.connect(postgres_url) as connection:
        connection.execute("CREATE TABLE only_here (a int)")


def test_a_fresh_database_is_quick(postgres_server):
    begun = time.monotonic()
    for _ in range(5):
        postgres_server.drop_database(postgres_server.create_database())
    assert time.monotonic() - begun < 5


def test_a_server_that_stopped_is_gone_with_its_data():
    with Redis() as server:
        pid, directory = server.pid, server.directory
        assert directory.exists()
    assert not directory.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_server_comes_back_on_its_port():
    with Redis() as server:
        port = server.port
        server.stop(keep=True)
        server.restart()
        server.clear()
        assert server.port == port


def test_a_missing_server_fails_the_test():
    with pytest.raises(pytest.fail.Exception, match="no-such-binary is not installed"):
        find_binary("no-such-binary")


def test_a_server_that_cannot_start_says_what_it_said():
    class Broken(Server):
        name = "broken"

        def command(self):
            return ["sh", "-c", "echo my disk is full; exit 1"]

    with pytest.raises(pytest.fail.Exception, match="my disk is full"):
        Broken().start()


@pytest.mark.parametrize("server", ["registry", "fake"])
def test_what_oras_pushed_skopeo_reads(request, server, tmp_path):
    """Two second opinions on the real registry and on the fake one."""
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
def test_a_corpus_pushed_to_a_real_registry_is_served(request, kind):
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
