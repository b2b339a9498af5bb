"""One failure is told once, whatever a registry varies in its words (Q39, Q40, B21)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import RegistryError, TransientRegistryError
from models.streams.tags.tag_conditions import steady_text
from tests.unit.streams.scenes import REG, Memory, World, failure, img, isi, items

T = f"{REG}/a/b:t"


@pytest.mark.case("import 9-10")
def test_the_same_failure_from_another_local_port_is_one_condition_and_one_generation():
    world = World()
    memory = Memory(world)
    for port in (41234, 50123, 60001):
        text = (
            f'Get "https://{REG}/v2/": dial tcp: lookup reg.example on 10.0.0.1:53: '
            f"read udp 10.0.0.5:{port}->10.0.0.1:53: i/o timeout"
        )
        world.put(T, RegistryError(text, code="net.dns", reference=T))
        memory.run(isi(img(T)))
    assert memory.writes == 1
    assert memory.stream.metadata.generation == 1
    assert items(memory.stream, "t") == []
    assert failure(memory.stream, "t")[1] == (
        f'Internal error occurred: {T}: Get "https://{REG}/v2/": dial tcp: lookup reg.example: '
        "read udp: i/o timeout"
    )


@pytest.mark.parametrize(
    ("text", "steady"),
    [
        (
            "read tcp 10.0.0.5:41234->93.184.216.34:443: read: connection reset by peer",
            "read tcp 93.184.216.34:443: read: connection reset by peer",
        ),
        (
            "write tcp [fd00::5]:41234->[fd00::1]:443: broken pipe",
            "write tcp [fd00::1]:443: broken pipe",
        ),
        ('Head "https://a.b/v2/c/manifests/t": EOF', 'Get "https://a.b/v2/c/manifests/t": EOF'),
        ("lookup no.such on [fd00::1]:53: no such host", "lookup no.such: no such host"),
        ("denied (request id: 5f3c-77aa)", "denied (request id (id))"),
        ('denied {"requestId":"5f3c77aa"}', 'denied {"requestId (id)"}'),
        ("x-amz-request-id=ABC123== denied", "x-amz-request-id (id) denied"),
        ("trace-id 0af7651916cd43dd8448eb211c80319c", "trace-id (id)"),
        ("quota until 2026-01-02T03:04:05.678Z reached", "quota until (time) reached"),
    ],
)
def test_what_differs_at_each_attempt_goes(text, steady):
    assert steady_text(text) == steady
    assert steady_text(steady) == steady


@pytest.mark.parametrize(
    "text",
    [
        'dockerimage.image.openshift.io "127.0.0.1:5000/a/b:t" not found',
        'dockerimage.image.openshift.io "docker.io/library/requestid:1.0.0" not found',
        'dockerimage.image.openshift.io "ttl.sh/0af76519-16cd-43dd-8448-eb211c80319c:1h" not found',
        'Get "https://127.0.0.1:1/v2/": dial tcp 127.0.0.1:1: connect: connection refused',
        "received unexpected HTTP status: 500 Internal Server Error",
    ],
)
def test_what_was_asked_for_stays(text):
    assert steady_text(text) == text


@pytest.mark.parametrize(
    "other",
    [
        f'Head "https://{REG}/v2/a/b/manifests/t": EOF',
        f'Head "https://{REG}/v2/c/d/manifests/other": EOF',
        f'Get "https://{REG}/v2/": EOF',
    ],
)
def test_a_registry_that_is_away_is_told_of_once_whoever_found_out_and_how(other):
    """By an import, by a look, or by a look at something else that opened the breaker."""
    world = World()
    memory = Memory(world)
    for text in (f'Get "https://{REG}/v2/a/b/manifests/t": EOF', other):
        world.put(T, TransientRegistryError(text, code="net.reset", reference=T))
        memory.run(isi(img(T)))
    assert memory.writes == 1
    assert failure(memory.stream, "t")[1].endswith('/v2/a/b/manifests/t": EOF')


PIECES = st.sampled_from(
    [
        "request id: 5f3c",
        "requestId",
        "ray-id 404",
        "=",
        " ",
        "read udp 10.0.0.5:1->10.0.0.1:53: timeout",
        "lookup x on 10.0.0.1:53",
        "2026-01-02T03:04:05Z",
        "404",
        "not found",
    ]
)


@given(st.lists(PIECES | st.text(max_size=5), max_size=8).map("".join))
def test_a_steady_text_stays_as_it_is(text):
    """Or else a stored message would not be known again."""
    assert steady_text(steady_text(text)) == steady_text(text)
