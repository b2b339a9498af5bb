"""What the database prints itself is what the resources would have printed."""

import json

from models.resources.meta import ObjectReference
from models.resources.stream import ImageLookupPolicy, TagImportPolicy, TagReferencePolicy
from models.store.database.session import looking, transaction
from models.store.images.image_store import load_image, save_images
from models.store.serializers.stream_json import list_stream_texts, read_stream_text
from models.store.serializers.tag_json import read_tag_text
from models.store.streams.stream_list import SHOWN_HISTORY, list_stream_wires
from models.streams.tags.tag_views import read_istag
from tests.integration.store.things import (
    NOW,
    after,
    event,
    image,
    index,
    loaded,
    stored,
    stream,
    wish,
    with_event,
)

ODD_WORDS = 'quote " backslash \\ tab \t line \n bell \x07 é \u2028 😀 </script> %s :name {}'


def no_address(_namespace, _name, repository):
    return repository, ""


def rich():
    wishes = [
        wish("1", annotations={"a": ODD_WORDS}, reference=True),
        wish("2", kind="ImageStreamTag", source="other:1", generation=None),
        wish("3", import_policy=TagImportPolicy(insecure=True, scheduled=True)),
        wish("4", reference_policy=TagReferencePolicy(type="Local"), annotations={}),
        wish("5", import_policy=TagImportPolicy(import_mode="PreserveOriginal")),
        wish("6").replace(from_=None),
        wish("7").replace(from_=ObjectReference(kind="", name=ODD_WORDS, namespace="far")),
        wish("8").replace(from_=ObjectReference()),
    ]
    found = stream(
        "rich",
        spec=wishes,
        status={"1": ["a", "b", "c"], "9": [], "5": [event("x").replace(image=ODD_WORDS)]},
        labels={"l": ODD_WORDS},
        annotations={"x": "y"},
        finalizers=["example.com/hold"],
        deletion_timestamp=NOW,
        generate_name="ri",
        managed_fields=[{"manager": ODD_WORDS}],
        owner_references=[{"name": "o"}],
    )
    policy = ImageLookupPolicy(local=True)
    spec = found.spec.replace(lookup_policy=policy, docker_image_repository="quay.io/a/b")
    return found.replace(spec=spec, status=found.status.replace(docker_image_repository="r"))


def printed(engine, name, namespace="ns"):
    with looking(engine) as connection:
        text = read_stream_text(connection, namespace, name, lambda *_: ("r", "p"))
    return None if text is None else json.loads("{" + text)


def test_a_printed_stream_is_the_stream_with_its_addresses(engine):
    many = stream("many", spec=[wish("1")], status={"1": ["a"]})
    for place in range(SHOWN_HISTORY + 5):
        many = with_event(many, "1", event(f"{place}", created=after(place)))
    for new in (rich(), stream("bare"), many):
        stored(engine, None, new)
        name = new.metadata.name
        wire = loaded(engine, name, history=SHOWN_HISTORY).wire()
        wire["status"] |= {"dockerImageRepository": "r", "publicDockerImageRepository": "p"}
        assert printed(engine, name) == wire
        assert list(printed(engine, name)["metadata"]) == list(wire["metadata"])
    assert printed(engine, "nobody") is None
    assert printed(engine, "bare", "other") is None


def test_a_source_with_rare_keys_goes_the_long_way(engine):
    source = ObjectReference(kind="DockerImage", name="a:b", uid="u")
    stored(engine, None, stream("odd", spec=[wish("1"), wish("2").replace(from_=source)]))
    stored(engine, None, stream("plain", spec=[wish("1")]))
    assert printed(engine, "odd") is None
    assert printed(engine, "plain") is not None
    with looking(engine) as connection:
        assert list_stream_texts(connection, limit=9, addresses=no_address) is None


def test_printed_pages_are_the_pages(engine):
    for namespace in ("a", "b", "ns"):
        for name in ("one", "two", "three"):
            new = stream(name, namespace=namespace, spec=[wish("1")], status={"1": ["a"]})
            stored(engine, None, new)
    for namespace in (None, "a", "b"):
        for behind in (None, ("a", "two"), ("b", "one"), ("b", "two"), ("c", "")):
            if namespace and behind and behind[0] != namespace:
                continue
            for limit in (1, 2, 99):
                place = {"namespace": namespace, "after": behind, "limit": limit}
                with transaction(engine, write=False) as session:
                    wires = list_stream_wires(session, **place)
                    texts = list_stream_texts(session.connection(), addresses=no_address, **place)
                assert [json.loads("{" + each.text) for each in texts] == wires
                keys = [(w["metadata"]["namespace"], w["metadata"]["name"]) for w in wires]
                assert [(each.namespace, each.name) for each in texts] == keys


def tag_text(engine, tag, name="web"):
    with looking(engine) as connection:
        text = read_tag_text(connection, "ns", name, tag)
    return None if text is None else json.loads("{" + text)


def view(engine, tag):
    with transaction(engine, write=False) as session:
        found = loaded(engine, "web", history=1)
        head = found.status_tag(tag).items[0]
        return read_istag(found, "web", tag, load_image(session, head.image)).wire()


def test_a_printed_tag_is_the_view_of_it(engine):
    strange = image("b", docker_image_metadata={"Id": ODD_WORDS, "n": None, "l": [1.5, {}]})
    with transaction(engine) as session:
        save_images(session, [image("a"), strange, index("i", "a", ""), index("bare")], now=NOW)
    wishes = [
        wish("1", annotations={"of": "the tag", "image.openshift.io/dockerLayersOrder": "mine"}),
        wish("2", annotations={}),
        wish("4"),
    ]
    status = {"1": ["a", "b"], "2": ["b"], "3": ["i"], "4": ["bare"]}
    web = stream("web", spec=wishes, status=status, labels={"l": ODD_WORDS})
    stored(engine, None, web)
    for tag in status:
        assert tag_text(engine, tag) == view(engine, tag)
        assert list(tag_text(engine, tag)["image"]) == list(view(engine, tag)["image"])


def test_what_takes_rules_or_is_not_there_goes_the_long_way(engine):
    unmarked = image("u")
    unmarked = unmarked.replace(metadata=unmarked.metadata.replace(annotations={}))
    signed = image("s").replace(docker_image_signatures=["x"])
    with transaction(engine) as session:
        save_images(session, [image("a"), unmarked, signed], now=NOW)
    local = wish("local", reference_policy=TagReferencePolicy(type="Local"))
    status = {"local": ["a"], "unmarked": ["u"], "signed": ["s"], "gone": ["g"], "empty": []}
    stored(engine, None, stream("web", spec=[local, wish("wanted")], status=status))
    for tag in (*status, "wanted", "none"):
        assert tag_text(engine, tag) is None
    assert tag_text(engine, "1", "nobody") is None
