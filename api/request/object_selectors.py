"""Which objects a list or a watch is about: label selectors and field selectors (`api.md` C14)."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import NoReturn

from models.api_errors import BadRequestError

MOST_REQUIREMENTS = 1000
_TOKEN = re.compile(r"[ \t\r\n]*([(),]|[=!<>]+|[^ \t\r\n=!(),<>]+)", re.ASCII)
_MARKS = ("==", "!=", "=", "!", "<", ">")
_END = ""
_SYNTAX = frozenset({*_MARKS, "(", ")", ",", _END})
_NAME_PART = r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_PREFIX = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
_INTEGER = re.compile(r"[+-]?[0-9]{1,19}", re.ASCII)
_BAD_NAME = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end "
    "with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for "
    f"validation is '{_NAME_PART}')"
)
_BAD_VALUE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or "
    "'.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  "
    f"or '12345', regex used for validation is '({_NAME_PART})?')"
)
_BAD_PREFIX = (
    "prefix part a lowercase RFC 1123 subdomain must consist of lower case alphanumeric "
    "characters, '-' or '.', and must start and end with an alphanumeric character (e.g. "
    f"'example.com', regex used for validation is '{_PREFIX}')"
)
_OPERATORS: dict[str, Callable[[str | None, frozenset[str]], bool]] = {
    "exists": lambda value, _: value is not None,
    "!": lambda value, _: value is None,
    "in": lambda value, wanted: value in wanted,
    "notin": lambda value, wanted: value is None or value not in wanted,
    ">": lambda value, wanted: _compare(value, wanted) > 0,
    "<": lambda value, wanted: _compare(value, wanted) < 0,
}
_SAME = {"=": "in", "==": "in", "!=": "notin"}


@dataclass(frozen=True, slots=True)
class Requirement:
    """One part of a label selector; `operator` is exists, !, in, notin, > or <."""

    key: str
    operator: str
    values: frozenset[str] = frozenset()

    def matches(self, labels: Mapping[str, str]) -> bool:
        return _OPERATORS[self.operator](labels.get(self.key), self.values)


@dataclass(frozen=True, slots=True)
class LabelSelector:
    """All requirements must hold; false where there are none."""

    requirements: tuple[Requirement, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.requirements)

    def matches(self, labels: Mapping[str, str]) -> bool:
        return all(each.matches(labels) for each in self.requirements)


@dataclass(frozen=True, slots=True)
class FieldSelector:
    """Terms of field, whether it shall be equal, and value; false where there are none."""

    terms: tuple[tuple[str, bool, str], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.terms)

    def matches(self, fields: Mapping[str, str]) -> bool:
        """A field that an object does not have counts as empty."""
        return all((fields.get(key, "") == value) is equal for key, equal, value in self.terms)

    def exact(self, field: str) -> str | None:
        """The one value that `field` must have, if the selector names one."""
        return next((value for key, equal, value in self.terms if equal and key == field), None)


def parse_label_selector(text: str) -> LabelSelector:
    """`a=b,c!=d,e in (f,g),h notin (i),j,!k,l>1`. BadRequestError for anything else."""
    return LabelSelector(tuple(_Parser(text).parse()))


def parse_field_selector(text: str, known: Collection[str]) -> FieldSelector:
    """`k=v`, `k==v`, `k!=v`, joined by commas; a backslash escapes comma, equals and itself.

    A key outside `known` is refused with upstream's text, which names two keys for every kind.
    """
    terms = []
    for part in _split_terms(text):
        if not part:
            continue
        key, operator, value = _split_term(text, part)
        if key not in known:
            raise BadRequestError(
                f'"{_cut(key)}" is not a known field selector: '
                'only "metadata.name", "metadata.namespace"'
            )
        terms.append((key, operator != "!=", value))
        if len(terms) > MOST_REQUIREMENTS:
            raise BadRequestError(f"a selector has at most {MOST_REQUIREMENTS} terms")
    return FieldSelector(tuple(terms))


class _Parser:
    """Upstream's grammar, one token of look-ahead."""

    def __init__(self, text: str) -> None:
        self._tokens = _tokenize(text)
        self._next = next(self._tokens)

    def parse(self) -> Iterator[Requirement]:
        if self._next == _END:
            return
        for _ in range(MOST_REQUIREMENTS):
            yield self._requirement()
            found = self._take()
            if found == _END:
                return
            if found != ",":
                _refuse(f"found '{_cut(found)}', expected: ',' or 'end of string'")
            if self._next in _SYNTAX - {"!"}:
                _refuse(f"found '{self._next}', expected: identifier after ','")
        _refuse(f"a selector has at most {MOST_REQUIREMENTS} requirements")

    def _requirement(self) -> Requirement:
        absent = self._next == "!"
        if absent:
            self._take()
        key = self._identifier()
        _check_key(key)
        if absent or self._next in {_END, ","}:
            return Requirement(key, "!" if absent else "exists")
        operator = self._take()
        if operator in {"in", "notin"}:
            values = self._values()
        elif operator in {"=", "==", "!=", "<", ">"}:
            values = ["" if self._next in {_END, ","} else self._identifier()]
        else:
            _refuse(f"found '{_cut(operator)}', expected: in, notin, =, ==, !=, <, >")
        for position, value in enumerate(values):
            _check_value(key, position, value, ordered=operator in {"<", ">"})
        return Requirement(key, _SAME.get(operator, operator), frozenset(values))

    def _values(self) -> list[str]:
        if (found := self._take()) != "(":
            _refuse(f"found '{_cut(found)}' expected: '('")
        if self._next == ")":
            _refuse(
                "values: Invalid value: []: for 'in', 'notin' operators, values set can't be empty"
            )
        values = []
        while True:
            values.append("" if self._next in {",", ")"} else self._identifier())
            found = self._take()
            if found == ")":
                return values
            if found != ",":
                _refuse(f"found '{_cut(found)}', expected: ',' or ')'")

    def _identifier(self) -> str:
        found = self._take()
        if found in _SYNTAX:
            _refuse(f"found '{found}', expected: identifier")
        return found

    def _take(self) -> str:
        found, self._next = self._next, next(self._tokens, _END)
        return found


def _tokenize(text: str) -> Iterator[str]:
    for match in _TOKEN.finditer(text.rstrip(" \t\r\n")):
        rest = match.group(1)
        while rest and rest[0] in "=!<>":
            mark = next(each for each in _MARKS if rest.startswith(each))
            yield mark
            rest = rest[len(mark) :]
        if rest:
            yield rest
    yield _END


def _check_key(key: str) -> None:
    prefix, slash, name = key.rpartition("/")
    problem = ""
    if len(name) > 63:
        problem = "name part must be no more than 63 bytes"
    elif not re.fullmatch(_NAME_PART, name, re.ASCII):
        problem = _BAD_NAME if name else "name part must be non-empty"
    elif slash and (len(prefix) > 253 or not re.fullmatch(_PREFIX, prefix, re.ASCII)):
        problem = _BAD_PREFIX if prefix else "prefix part must be non-empty"
    if problem:
        _refuse(f'key: Invalid value: "{_cut(key)}": {problem}')


def _check_value(key: str, position: int, value: str, *, ordered: bool) -> None:
    problem = ""
    if len(value) > 63:
        problem = "must be no more than 63 bytes"
    elif value and not re.fullmatch(_NAME_PART, value, re.ASCII):
        problem = _BAD_VALUE
    elif ordered and not _INTEGER.fullmatch(value):
        problem = "for 'Gt', 'Lt' operators, the value must be an integer"
    if problem:
        _refuse(f'values[{position}][{key}]: Invalid value: "{_cut(value)}": {problem}')


def _compare(value: str | None, wanted: frozenset[str]) -> int:
    """-1, 0 or 1; 0 where the label is no integer, which then matches neither way."""
    if value is None or not _INTEGER.fullmatch(value):
        return 0
    left, right = int(value), int(next(iter(wanted)))
    return (left > right) - (left < right)


def _refuse(detail: str) -> NoReturn:
    raise BadRequestError(f"unable to parse requirement: {detail}")


def _split_terms(text: str) -> Iterator[str]:
    """The text between commas, escapes left in."""
    yield from (found.group(0) for found in re.finditer(r"(?:[^\\,]|\\.|\\$)+", text, re.DOTALL))


def _split_term(whole: str, part: str) -> tuple[str, str, str]:
    found = re.match(r"((?:[^\\=!]|\\.|!(?!=))*)(!=|==|=)(.*)", part, re.DOTALL)
    if found is None:
        raise BadRequestError(f"invalid selector: '{_cut(whole)}'; can't understand '{_cut(part)}'")
    key, operator, value = found.groups()
    if not re.fullmatch(r"(?:[^\\=]|\\[\\,=])*", value, re.DOTALL):
        raise BadRequestError(f"invalid selector: '{_cut(whole)}'; can't understand '{_cut(part)}'")
    return key, operator, re.sub(r"\\([\\,=])", r"\1", value)


def _cut(text: str) -> str:
    return text if len(text) <= 200 else text[:200] + "..."
