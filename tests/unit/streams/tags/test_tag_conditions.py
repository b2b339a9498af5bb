"""One failure is recorded once, whatever a registry varies in its text (imports-5.7)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import RegistryError, TransientRegistryError
from models.streams.tags.tag_conditions import stable_message
from tests.unit.streams.import_simulation import (
    REG,
    InMemoryStore,
    RegistryContents,
    failure,
    img,
    isi,
    items,
)

T = f"{REG}/a/b:t"


@pytest.mark.case("import 9-10")
def test_failure_from_other_local_port_is_recorded_once():
    contents = RegistryContents()
    memory = InMemoryStore(contents)
    for port in (41234, 50123, 60001):
        text = (
            f'Get "https://{REG}/v2/": dial tcp: lookup reg.example on 10.0.0.1:53: '
            f"read udp 10.0.0.5:{port}->10.0.0.1:53: i/o timeout"
        )
        contents.put(T, RegistryError(text, code="net.dns", reference=T))
        memory.run(isi(img(T)))
    assert memory.writes == 1
    assert memory.stream.metadata.generation == 1
    assert items(memory.stream, "t") == []
    assert failure(memory.stream, "t")[1] == (
        f'Internal error occurred: {T}: Get "https://{REG}/v2/": dial tcp: lookup reg.example: '
        "read udp: i/o timeout"
    )


@pytest.mark.parametrize(
    ("text", "stable"),
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
def test_stable_message_removes_volatile_parts(text, stable):
    assert stable_message(text) == stable
    assert stable_message(stable) == stable


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
def test_stable_message_keeps_reference_and_status(text):
    assert stable_message(text) == text


@pytest.mark.parametrize(
    "other",
    [
        f'Head "https://{REG}/v2/a/b/manifests/t": EOF',
        f'Head "https://{REG}/v2/c/d/manifests/other": EOF',
        f'Get "https://{REG}/v2/": EOF',
    ],
)
def test_unreachable_registry_is_recorded_once_for_any_request(other):
    """By an import, by a check, or by a check of another tag that opened the circuit breaker."""
    contents = RegistryContents()
    memory = InMemoryStore(contents)
    for text in (f'Get "https://{REG}/v2/a/b/manifests/t": EOF', other):
        contents.put(T, TransientRegistryError(text, code="net.reset", reference=T))
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
def test_stable_message_is_idempotent(text):
    """Otherwise a stored message would not equal the next one."""
    assert stable_message(stable_message(text)) == stable_message(text)
