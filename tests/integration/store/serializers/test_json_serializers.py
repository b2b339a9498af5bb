"""JSON that the database prints equals the JSON of the resources."""

import json

from models.resources.meta import ObjectReference
from models.resources.stream import ImageLookupPolicy, TagImportPolicy, TagReferencePolicy
from models.store.database.session import read_connection, transaction
from models.store.images.image_store import load_image, save_images
from models.store.serializers.stream_json import list_stream_texts, load_stream_text
from models.store.serializers.tag_json import load_tag_text
from models.store.streams.stream_list import MAX_SHOWN_HISTORY, list_stream_wires
from models.streams.tags.tag_views import require_istag
from tests.integration.store.sample_objects import (
    NOW,
    after,
    commit_stream,
    event,
    image,
    index,
    read_stream,
    spec_tag,
    stream,
    with_event,
)

ODD_TEXT = 'quote " backslash \\ tab \t line \n bell \x07 é \u2028 😀 </script> %s :name {}'


def no_address(_namespace, _name, repository):
    return repository, ""


def rich_stream():
    spec_tags = [
        spec_tag("1", annotations={"a": ODD_TEXT}, reference=True),
        spec_tag("2", kind="ImageStreamTag", source="other:1", generation=None),
        spec_tag("3", import_policy=TagImportPolicy(insecure=True, scheduled=True)),
        spec_tag("4", reference_policy=TagReferencePolicy(type="Local"), annotations={}),
        spec_tag("5", import_policy=TagImportPolicy(import_mode="PreserveOriginal")),
        spec_tag("6").replace(from_=None),
        spec_tag("7").replace(from_=ObjectReference(kind="", name=ODD_TEXT, namespace="far")),
        spec_tag("8").replace(from_=ObjectReference()),
    ]
    found = stream(
        "rich",
        spec=spec_tags,
        status={"1": ["a", "b", "c"], "9": [], "5": [event("x").replace(image=ODD_TEXT)]},
        labels={"l": ODD_TEXT},
        annotations={"x": "y"},
        finalizers=["example.com/hold"],
        deletion_timestamp=NOW,
        generate_name="ri",
        managed_fields=[{"manager": ODD_TEXT}],
        owner_references=[{"name": "o"}],
    )
    policy = ImageLookupPolicy(local=True)
    spec = found.spec.replace(lookup_policy=policy, docker_image_repository="quay.io/a/b")
    return found.replace(spec=spec, status=found.status.replace(docker_image_repository="r"))


def printed_stream(engine, name, namespace="ns"):
    with read_connection(engine) as connection:
        text = load_stream_text(connection, namespace, name, lambda *_: ("r", "p"))
    return None if text is None else json.loads("{" + text)


def test_stream_text_equals_stream_wire_with_addresses(engine):
    many = stream("many", spec=[spec_tag("1")], status={"1": ["a"]})
    for number in range(MAX_SHOWN_HISTORY + 5):
        many = with_event(many, "1", event(f"{number}", created=after(number)))
    for new in (rich_stream(), stream("bare"), many):
        commit_stream(engine, None, new)
        name = new.metadata.name
        wire = read_stream(engine, name, history=MAX_SHOWN_HISTORY).wire()
        wire["status"] |= {"dockerImageRepository": "r", "publicDockerImageRepository": "p"}
        assert printed_stream(engine, name) == wire
        assert list(printed_stream(engine, name)["metadata"]) == list(wire["metadata"])
    assert printed_stream(engine, "missing") is None
    assert printed_stream(engine, "bare", "other") is None


def test_stream_text_is_none_for_source_with_rare_keys(engine):
    source = ObjectReference(kind="DockerImage", name="a:b", uid="u")
    commit_stream(
        engine, None, stream("odd", spec=[spec_tag("1"), spec_tag("2").replace(from_=source)])
    )
    commit_stream(engine, None, stream("plain", spec=[spec_tag("1")]))
    assert printed_stream(engine, "odd") is None
    assert printed_stream(engine, "plain") is not None
    with read_connection(engine) as connection:
        assert list_stream_texts(connection, limit=9, addresses=no_address) is None


def test_list_stream_texts_equals_list_stream_wires(engine):
    for namespace in ("a", "b", "ns"):
        for name in ("one", "two", "three"):
            new = stream(name, namespace=namespace, spec=[spec_tag("1")], status={"1": ["a"]})
            commit_stream(engine, None, new)
    for namespace in (None, "a", "b"):
        for last in (None, ("a", "two"), ("b", "one"), ("b", "two"), ("c", "")):
            if namespace and last and last[0] != namespace:
                continue
            for limit in (1, 2, 99):
                page = {"namespace": namespace, "after": last, "limit": limit}
                with transaction(engine, write=False) as session:
                    wires = list_stream_wires(session, **page)
                    texts = list_stream_texts(session.connection(), addresses=no_address, **page)
                assert [json.loads("{" + each.text) for each in texts] == wires
                keys = [(w["metadata"]["namespace"], w["metadata"]["name"]) for w in wires]
                assert [(each.namespace, each.name) for each in texts] == keys


def tag_text(engine, tag, name="web"):
    with read_connection(engine) as connection:
        text = load_tag_text(connection, "ns", name, tag)
    return None if text is None else json.loads("{" + text)


def view_tag(engine, tag):
    with transaction(engine, write=False) as session:
        found = read_stream(engine, "web", history=1)
        head = found.status_tag(tag).items[0]
        return require_istag(found, "web", tag, load_image(session, head.image)).wire()


def test_tag_text_equals_image_stream_tag(engine):
    odd_image = image("b", docker_image_metadata={"Id": ODD_TEXT, "n": None, "l": [1.5, {}]})
    with transaction(engine) as session:
        save_images(session, [image("a"), odd_image, index("i", "a", ""), index("bare")], now=NOW)
    spec_tags = [
        spec_tag(
            "1", annotations={"of": "the tag", "image.openshift.io/dockerLayersOrder": "mine"}
        ),
        spec_tag("2", annotations={}),
        spec_tag("4"),
    ]
    status = {"1": ["a", "b"], "2": ["b"], "3": ["i"], "4": ["bare"]}
    web = stream("web", spec=spec_tags, status=status, labels={"l": ODD_TEXT})
    commit_stream(engine, None, web)
    for tag in status:
        assert tag_text(engine, tag) == view_tag(engine, tag)
        assert list(tag_text(engine, tag)["image"]) == list(view_tag(engine, tag)["image"])


def test_tag_text_is_none_for_tag_that_needs_rules_or_is_missing(engine):
    without_order = image("u")
    without_order = without_order.replace(metadata=without_order.metadata.replace(annotations={}))
    signed = image("s").replace(docker_image_signatures=["x"])
    with transaction(engine) as session:
        save_images(session, [image("a"), without_order, signed], now=NOW)
    local_tag = spec_tag("local", reference_policy=TagReferencePolicy(type="Local"))
    status = {"local": ["a"], "unmarked": ["u"], "signed": ["s"], "gone": ["g"], "empty": []}
    commit_stream(engine, None, stream("web", spec=[local_tag, spec_tag("wanted")], status=status))
    for tag in (*status, "wanted", "none"):
        assert tag_text(engine, tag) is None
    assert tag_text(engine, "1", "missing") is None
