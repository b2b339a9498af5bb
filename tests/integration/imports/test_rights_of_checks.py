"""A look is shared by those alone who could have had it by themselves."""

import pytest
from cryptography.fernet import Fernet

from tests import fixtures as fx
from tests.fakeregistry.certificates import self_signed
from tests.integration.imports.conftest import img, isi, save

SOURCE = "src.invalid/org"


@pytest.fixture
def ready_database_url(tmp_path):
    """One kind of database will do: rights are no matter of the store."""
    return f"sqlite:///{tmp_path}/tagstream.db"


def mirrored(reg):
    return {"kind": "tag", "source": SOURCE, "mirrors": [f"{reg.host}/a"]}


def follow(house, name, namespace, *, to="t"):
    house.run(isi(img(name, to=to, scheduled=True), namespace=namespace, name=f"in-{namespace}"))


def move(reg, repository="a/b"):
    return reg.push(
        repository, tag="t", manifest=fx.OCI_BARE, media_type=fx.OCI_TYPE, config=fx.CFG_A
    )


def heads(house, namespace):
    stream = house.stream(f"in-{namespace}", namespace)
    return {
        history.tag: history.items[0].image if history.items else None
        for history in stream.status.tags
    }


@pytest.mark.parametrize("order", [("one", "two"), ("two", "one")])
def test_what_a_mirror_tells_one_namespaces_credential_is_no_others(open_house, reg, order):
    house = open_house(mirrors=[mirrored(reg)])
    for namespace in order:
        follow(house, f"{SOURCE}/b:t", namespace)
    save(house, {reg.host: ("me", "word")}, namespace="one")
    reg.require_basic("me", "word")
    digest = move(reg)
    house.look()
    assert heads(house, "one") == {"t": digest}
    assert digest not in heads(house, "two").values()
    rows = house.calendar()
    assert rows["in-one:t"].decision == "moved"
    assert rows["in-two:t"].decision == "failed"


@pytest.mark.parametrize("order", [("one", "two"), ("two", "one")])
def test_nobody_fetches_by_the_keys_of_whom_they_share_a_look_with(house, reg, open_fake, order):
    """Both follow something public; the second one has a tag that waits, of the first one's own."""
    private = open_fake()
    private.push("p/q", tag="t", manifest=fx.S2, media_type=fx.S2_TYPE, config=fx.CFG_A)
    private.require_basic("me", "word")
    for namespace in order:
        follow(house, f"{reg.host}/a/b:t", namespace)
    save(house, {private.host: ("me", "word")}, namespace="one")
    old = house.stream("in-two", "two")
    [wish] = old.spec.tags
    spied = wish.replace(
        name="spied",
        from_=wish.from_.replace(name=f"{private.host}/p/q:t"),
        generation=old.metadata.generation + 1,
        import_policy=wish.import_policy.replace(scheduled=False),
    )
    house.save_stream(old, old.replace(spec=old.spec.replace(tags=[spied, wish])))
    digest = move(reg)
    house.look("in-one:t", "in-two:t")
    assert heads(house, "two")["t"] == digest
    assert heads(house, "two").get("spied") is None
    assert [request for request in private.log if "authorization" in request.headers] == []


def open_server(open_house, **allowed):
    """A House as a server keeps it: its own machine is a registry like any other."""
    return open_house(
        broker_url="memory://",
        key=Fernet.generate_key().decode(),
        egress_allow=[{"host": "127.0.0.1", "port": 0, **allowed}],
    )


def test_a_certificate_that_one_tag_does_not_mind_is_refused_to_the_other(open_house, open_fake):
    """Same source, one stream; `loose` is imported as insecure, `strict` is not."""
    server = open_server(open_house)
    own = open_fake(tls=self_signed())
    own.push("a/b", tag="t", manifest=fx.S2, media_type=fx.S2_TYPE, config=fx.CFG_A)
    name = f"{own.host}/a/b:t"
    loose = img(name, to="loose", scheduled=True, insecure=True)
    server.run(isi(loose, img(name, to="strict", scheduled=True)))
    digest = move(own)
    server.look()
    found = {each.tag: each for each in server.stream().status.tags}
    rows = server.calendar()
    assert found["loose"].items[0].image == digest
    assert not found["strict"].items
    assert (rows["is:loose"].reason, rows["is:strict"].reason) == ("", "tls.untrusted")
    assert (rows["is:loose"].decision, rows["is:strict"].decision) == ("moved", "failed")


def test_namespaces_that_may_not_go_to_the_same_places_do_not_share_a_look(open_house, reg):
    """Only `one` may go to the machine's own address."""
    house = open_server(open_house, namespace="one")
    for namespace in ("one", "two"):
        image = img(f"{reg.host}/a/b:t", to="t", scheduled=True, insecure=True)
        house.run(isi(image, namespace=namespace, name=f"in-{namespace}"))
    assert heads(house, "two") == {"t": None}
    digest = move(reg)
    house.look()
    assert heads(house, "one") == {"t": digest}
    assert heads(house, "two") == {"t": None}


@pytest.mark.parametrize("scheduled", [True, False])
def test_a_secret_that_comes_while_a_tag_is_refused_is_not_missed(house, reg, scheduled):
    """The look began without it."""
    reg.require_basic("me", "word")
    house.run(isi(img(f"{reg.host}/a/b:t", to="t", scheduled=scheduled)))
    if not scheduled:
        save(house, {reg.host: ("me", "wrong")})

    def rescue(_request):
        save(house, {reg.host: ("me", "word")})

    reg.on("/a/b/manifests/t", rescue, times=1)
    house.look() if scheduled else house.tick()
    house.tick()
    assert house.stream().status.tags[0].items[0].image == fx.digest_of(fx.S2)
