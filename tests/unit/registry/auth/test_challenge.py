"""`WWW-Authenticate` is parsed as RFC 9110 defines it and as registries write it (registry-9.1)."""

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from worker.registry.auth.challenge import (
    MAX_CHALLENGES,
    MAX_PARAMETERS,
    TokenScope,
    choose_scopes,
    parse_challenges,
    parse_scope,
)

COMPLETE = 'Bearer realm="https://auth.io/token",service="reg.io",scope="repository:a/b:pull"'
PARAMETERS = {"realm": "https://auth.io/token", "service": "reg.io", "scope": "repository:a/b:pull"}


def read(*lines):
    return [(each.scheme, dict(each.parameters)) for each in parse_challenges(lines)]


@pytest.mark.case("registry 68")
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (COMPLETE, [("bearer", PARAMETERS)]),
        ('Bearer realm="a\\"b\\\\c"', [("bearer", {"realm": 'a"b\\c'})]),
        (
            'Bearer realm="r",scope="repository:a/b:pull,push other"',
            [("bearer", {"realm": "r", "scope": "repository:a/b:pull,push other"})],
        ),
        (
            "Bearer realm=https://a.io/t?x=1,service=reg.io:5000",
            [("bearer", {"realm": "https://a.io/t?x=1", "service": "reg.io:5000"})],
        ),
        ('BEARER REALM="r",Service="s"', [("bearer", {"realm": "r", "service": "s"})]),
        ('Bearer realm = "r" , service\t=\t"s"', [("bearer", {"realm": "r", "service": "s"})]),
        ('Bearer a="x",,b="y",', [("bearer", {"a": "x", "b": "y"})]),
        ('Bearer realm="r"', [("bearer", {"realm": "r"})]),
        ("Basic", [("basic", {})]),
        ('Bearer realm="first",realm="second"', [("bearer", {"realm": "first"})]),
        ('Basic realm="caf\xe9"', [("basic", {"realm": "caf\xe9"})]),
        ('Basic realm="b", Bearer realm="never ends', [("basic", {"realm": "b"})]),
        ('Bearer realm="never ends, Basic', []),
        (
            'Basic realm="b", Bearer realm="r",service="s"',
            [("basic", {"realm": "b"}), ("bearer", {"realm": "r", "service": "s"})],
        ),
        ('Negotiate, Bearer realm="r"', [("negotiate", {}), ("bearer", {"realm": "r"})]),
        ('Bearer realm="r", Negotiate', [("bearer", {"realm": "r"}), ("negotiate", {})]),
        ('Bearer realm="r" service="s"', [("bearer", {"realm": "r", "service": "s"})]),
        ('Bearer realm="", scope=', [("bearer", {"realm": "", "scope": ""})]),
        ('realm="no scheme"', []),
        ("", []),
        (", ,,", []),
    ],
)
def test_parse_challenges_reads_schemes_and_parameters(line, expected):
    assert read(line) == expected


def test_token68_does_not_corrupt_next_challenge():
    found = read('Negotiate dG9rZW4=, Basic realm="b"')
    assert [scheme for scheme, _ in found] == ["negotiate", "basic"]
    assert found[1][1] == {"realm": "b"}


def test_challenge_headers_are_parsed_in_order():
    assert [scheme for scheme, _ in read('Basic realm="b"', COMPLETE)] == ["basic", "bearer"]


def test_unterminated_quote_discards_only_its_header():
    assert read('Bearer realm="open', 'Basic realm="b"') == [("basic", {"realm": "b"})]


def test_parse_challenges_limits_headers_challenges_and_parameters():
    assert len(parse_challenges(["Basic"] * 100)) == MAX_CHALLENGES
    assert len(parse_challenges([", ".join(["Basic"] * 100)])) == MAX_CHALLENGES
    many = ",".join(f"p{n}=v" for n in range(100))
    assert len(parse_challenges([f"Bearer {many}"])[0].parameters) == MAX_PARAMETERS
    assert read(f'Bearer realm="{"r" * 2049}"') == [("bearer", {})]
    assert read(f'Bearer scope="{"s" * 4097}"') == [("bearer", {})]
    assert read("Basic " + "x" * 17_000, "Basic") == []


@pytest.mark.parametrize(
    "line",
    ["," * 16_000, '"' * 16_000, '"\\' * 8_000, "a=" * 8_000, "a " * 8_000, " " * 16_000 + "="],
)
def test_hostile_challenge_headers_parse_in_linear_time(line):
    started = time.perf_counter()
    parse_challenges([f"Bearer {line}"])
    assert time.perf_counter() - started < 0.5


@given(st.lists(st.text(max_size=200), max_size=20))
@example(['Bearer realm="\\'])
def test_parse_challenges_accepts_any_text(lines):
    for challenge in parse_challenges(lines):
        assert challenge.scheme == challenge.scheme.lower()
        assert all(name == name.lower() for name in challenge.parameters)


@given(st.lists(st.sampled_from(['"', ",", " ", "=", "\\", "Bearer", "realm", "x", "\t"])))
def test_parse_challenges_accepts_any_syntax_sequence(parts):
    parse_challenges(["".join(parts)])


values = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"))
names = st.from_regex(r"[a-z][a-z0-9_-]{0,10}", fullmatch=True)
challenges = st.tuples(
    st.sampled_from(["bearer", "basic", "digest"]),
    st.dictionaries(names, values.filter(lambda value: len(value) < 500), max_size=5),
)


@given(st.lists(challenges, min_size=1, max_size=4), st.booleans())
def test_quoted_challenge_parameters_round_trip(expected, on_one_line):
    lines = []
    for scheme, parameters in expected:
        quoted = [
            '{}="{}"'.format(name, value.replace("\\", "\\\\").replace('"', '\\"'))
            for name, value in parameters.items()
        ]
        lines.append(f"{scheme.title()} {', '.join(quoted)}")
    if on_one_line:
        lines = [", ".join(lines)]
    assert read(*lines) == expected


@pytest.mark.case("registry 73")
def test_scope_name_may_contain_colons():
    scope = parse_scope("repository:h:5000/a/b:pull,push")
    assert scope == TokenScope("repository", "h:5000/a/b", ("pull", "push"))
    assert str(scope) == "repository:h:5000/a/b:pull,push"


@pytest.mark.parametrize("text", ["", "aws", "repository:", "repository:a", "::", "a::"])
def test_parse_scope_of_invalid_text_is_none(text):
    assert parse_scope(text) is None


@given(st.text())
def test_parse_scope_accepts_any_text(text):
    scope = parse_scope(text)
    assert scope is None or scope.name


@pytest.mark.case("registry 71")
@pytest.mark.parametrize(
    ("challenged", "chosen"),
    [
        ("", ["repository:a/b:pull"]),
        ("repository:a/b:pull,push,delete,*", ["repository:a/b:pull"]),
        ("repository:a/b:metadata_read", ["repository:a/b:pull,metadata_read"]),
        ("repository:a/b:push", ["repository:a/b:pull"]),
        ("registry:catalog:* aws", ["repository:a/b:pull"]),
        ("repository:other:push", ["repository:a/b:pull"]),
        ("repository:up/a/b:pull,push", ["repository:up/a/b:pull", "repository:a/b:pull"]),
        ("repository(plugin):a/b:pull", ["repository(plugin):a/b:pull"]),
        ("repository:x:pull repository:x:pull", ["repository:x:pull", "repository:a/b:pull"]),
    ],
)
def test_choose_scopes_requests_pull_with_challenged_scope_first(challenged, chosen):
    assert list(choose_scopes("a/b", challenged)) == chosen


@given(st.text())
def test_choose_scopes_ends_with_own_read_only_scope(challenged):
    *others, own = choose_scopes("a/b", challenged)
    assert own.split(":")[1] == "a/b"
    assert len(others) <= 4
    for scope in [*others, own]:
        assert set(scope.rpartition(":")[2].split(",")) <= {"pull", "metadata_read"}
