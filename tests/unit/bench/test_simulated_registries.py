"""Tests of the simulated registries of the bench: their responses, faults and checks."""

from bench.scheduling.simulated_registries import (
    CHECK_TIMEOUT_SECONDS,
    LATENCY_SECONDS,
    REQUEST_TIMEOUT_SECONDS,
    Fault,
    RegistryState,
    SimulatedRegistry,
)


def check(state, now):
    """Return the time at which a check ends, and the code of its failure or None."""
    steps = state.check(now)
    sent = None
    while True:
        try:
            now = sent = steps.send(sent)
        except StopIteration as end:
            return now, None if end.value is None else end.value.code


def registry(kind):
    return SimulatedRegistry(Fault(kind, 100.0, 400.0))


def test_healthy_registry_answers_after_its_latency():
    assert check(RegistryState(registry("hung")), 10.0) == (10.0 + LATENCY_SECONDS, None)


def test_check_of_hung_registry_ends_at_its_deadline():
    state = RegistryState(registry("hung"))
    at, code = check(state, 100.0)
    assert (at, code) == (100.0 + CHECK_TIMEOUT_SECONDS, "net.deadline")
    assert state.registry.requests == CHECK_TIMEOUT_SECONDS // REQUEST_TIMEOUT_SECONDS


def test_check_sends_no_request_before_retry_after():
    state = RegistryState(registry("limited"))
    assert check(state, 100.0)[1] == "ratelimit.quota"
    for now in (101.0, 399.0):
        assert check(state, now)[0] == now
    assert (state.registry.requests, state.registry.requests_before_retry_after) == (1, 0)
    assert check(state, 401.0)[1] is None


def test_flapping_registry_opens_circuit_after_some_failures():
    state = RegistryState(registry("flapping"))
    ends = [check(state, 100.0 + number)[1] for number in range(20)]
    assert ends[0] == "http.5xx"
    assert ends[-1] == "circuit.open"
    assert state.registry.requests < 20
