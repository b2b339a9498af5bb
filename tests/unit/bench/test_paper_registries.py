"""The simulation's registries: what they answer when, and what workers make of it."""

from bench.scheduling.simulated_registries import (
    DEADLINE,
    LATENCY,
    LONGEST_LOOK,
    Known,
    Registry,
    Trouble,
)


def look(known, now):
    """When a look is over, and the code of its failure."""
    steps = known.look(now)
    sent = None
    while True:
        try:
            now = sent = steps.send(sent)
        except StopIteration as end:
            return now, None if end.value is None else end.value.code


def registry(kind):
    return Registry(Trouble(kind, 100.0, 400.0))


def test_a_registry_that_is_well_answers_soon():
    assert look(Known(registry("hung")), 10.0) == (10.0 + LATENCY, None)


def test_a_look_at_a_hung_registry_ends_at_its_deadline():
    known = Known(registry("hung"))
    at, code = look(known, 100.0)
    assert (at, code) == (100.0 + LONGEST_LOOK, "net.deadline")
    assert known.registry.requests == LONGEST_LOOK // DEADLINE


def test_a_retry_after_is_kept():
    known = Known(registry("limited"))
    assert look(known, 100.0)[1] == "ratelimit.quota"
    for now in (101.0, 399.0):
        assert look(known, now)[0] == now
    assert (known.registry.requests, known.registry.too_soon) == (1, 0)
    assert look(known, 401.0)[1] is None


def test_a_registry_that_flaps_is_left_alone_after_some_failures():
    known = Known(registry("flapping"))
    ends = [look(known, 100.0 + number)[1] for number in range(20)]
    assert ends[0] == "http.5xx"
    assert ends[-1] == "circuit.open"
    assert known.registry.requests < 20
