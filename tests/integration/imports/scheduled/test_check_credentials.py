"""Tags share a check only if each could have made it with its own credentials."""

import pytest
from cryptography.fernet import Fernet

from tests import fixtures as fx
from tests.fakeregistry.certificates import self_signed
from tests.integration.imports.import_requests import img, isi, save_pull_secret

SOURCE = "src.invalid/org"


@pytest.fixture
def ready_database_url(tmp_path):
    """One kind of database is enough: credentials do not depend on the store."""
    return f"sqlite:///{tmp_path}/tagstream.db"


def tag_mirror(reg):
    return {"kind": "tag", "source": SOURCE, "mirrors": [f"{reg.host}/a"]}


def follow_tag(harness, name, namespace, *, to="t"):
    harness.run(isi(img(name, to=to, scheduled=True), namespace=namespace, name=f"in-{namespace}"))


def update_tag(reg, repository="a/b"):
    return reg.push(
        repository, tag="t", manifest=fx.OCI_BARE, media_type=fx.OCI_TYPE, config=fx.CFG_A
    )


def images_by_tag(harness, namespace):
    stream = harness.stream(f"in-{namespace}", namespace)
    return {
        history.tag: history.items[0].image if history.items else None
        for history in stream.status.tags
    }


@pytest.mark.parametrize("order", [("one", "two"), ("two", "one")])
def test_mirror_result_is_not_shared_across_credentials(open_harness, reg, order):
    harness = open_harness(mirrors=[tag_mirror(reg)])
    for namespace in order:
        follow_tag(harness, f"{SOURCE}/b:t", namespace)
    save_pull_secret(harness, {reg.host: ("me", "word")}, namespace="one")
    reg.require_basic("me", "word")
    digest = update_tag(reg)
    harness.check_now()
    assert images_by_tag(harness, "one") == {"t": digest}
    assert digest not in images_by_tag(harness, "two").values()
    rows = harness.schedule_rows()
    assert rows["in-one:t"].reason == "Updated"
    assert rows["in-two:t"].last_outcome == "failed"


@pytest.mark.parametrize("order", [("one", "two"), ("two", "one")])
def test_shared_check_does_not_lend_credentials(harness, reg, open_fake, order):
    """Both follow a public tag; the second has a pending tag of the first one's private image."""
    private = open_fake()
    private.push("p/q", tag="t", manifest=fx.S2, media_type=fx.S2_TYPE, config=fx.CFG_A)
    private.require_basic("me", "word")
    for namespace in order:
        follow_tag(harness, f"{reg.host}/a/b:t", namespace)
    save_pull_secret(harness, {private.host: ("me", "word")}, namespace="one")
    old = harness.stream("in-two", "two")
    [spec_tag] = old.spec.tags
    private_tag = spec_tag.replace(
        name="spied",
        from_=spec_tag.from_.replace(name=f"{private.host}/p/q:t"),
        generation=old.metadata.generation + 1,
        import_policy=spec_tag.import_policy.replace(scheduled=False),
    )
    harness.save_stream(old, old.replace(spec=old.spec.replace(tags=[private_tag, spec_tag])))
    digest = update_tag(reg)
    harness.check_now("in-one:t", "in-two:t")
    assert images_by_tag(harness, "two")["t"] == digest
    assert images_by_tag(harness, "two").get("spied") is None
    assert [request for request in private.log if "authorization" in request.headers] == []


def open_server(open_harness, **allowed):
    """Open a harness in a server role: loopback is a registry like any other."""
    return open_harness(
        broker_url="memory://",
        key=Fernet.generate_key().decode(),
        egress_allow=[{"host": "127.0.0.1", "port": 0, **allowed}],
    )


def test_insecure_tag_does_not_relax_tls_of_another(open_harness, open_fake):
    """Same source, one stream; `loose` is imported as insecure, `strict` is not."""
    server = open_server(open_harness)
    own = open_fake(tls=self_signed())
    own.push("a/b", tag="t", manifest=fx.S2, media_type=fx.S2_TYPE, config=fx.CFG_A)
    name = f"{own.host}/a/b:t"
    loose = img(name, to="loose", scheduled=True, insecure=True)
    server.run(isi(loose, img(name, to="strict", scheduled=True)))
    digest = update_tag(own)
    server.check_now()
    found = {each.tag: each for each in server.stream().status.tags}
    rows = server.schedule_rows()
    assert found["loose"].items[0].image == digest
    assert not found["strict"].items
    assert (rows["is:loose"].error_code, rows["is:strict"].error_code) == ("", "tls.untrusted")
    assert (rows["is:loose"].reason, rows["is:strict"].last_outcome) == ("Updated", "failed")


def test_egress_of_one_namespace_is_not_used_for_another(open_harness, reg):
    """Only namespace `one` may connect to loopback."""
    harness = open_server(open_harness, namespace="one")
    for namespace in ("one", "two"):
        image = img(f"{reg.host}/a/b:t", to="t", scheduled=True, insecure=True)
        harness.run(isi(image, namespace=namespace, name=f"in-{namespace}"))
    assert images_by_tag(harness, "two") == {"t": None}
    digest = update_tag(reg)
    harness.check_now()
    assert images_by_tag(harness, "one") == {"t": digest}
    assert images_by_tag(harness, "two") == {"t": None}


@pytest.mark.parametrize("scheduled", [True, False])
def test_secret_saved_during_refused_check_is_used(harness, reg, scheduled):
    """The check started without it."""
    reg.require_basic("me", "word")
    harness.run(isi(img(f"{reg.host}/a/b:t", to="t", scheduled=scheduled)))
    if not scheduled:
        save_pull_secret(harness, {reg.host: ("me", "wrong")})

    def save_matching_secret(_request):
        save_pull_secret(harness, {reg.host: ("me", "word")})

    reg.on("/a/b/manifests/t", save_matching_secret, times=1)
    harness.check_now() if scheduled else harness.tick()
    harness.tick()
    assert harness.stream().status.tags[0].items[0].image == fx.digest_of(fx.S2)
