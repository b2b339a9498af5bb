"""Label selectors and field selectors of lists and watches (api-11.2, api-11.3)."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import NoReturn

from models.api_errors import BadRequestError

MAX_REQUIREMENTS = 1000
_TOKEN = re.compile(r"[ \t\r\n]*([(),]|[=!<>]+|[^ \t\r\n=!(),<>]+)", re.ASCII)
_OPERATOR_TOKENS = ("==", "!=", "=", "!", "<", ">")
_END_OF_INPUT = ""
_SYNTAX = frozenset({*_OPERATOR_TOKENS, "(", ")", ",", _END_OF_INPUT})
_NAME_PART = r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_PREFIX = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
_INTEGER = re.compile(r"[+-]?[0-9]{1,19}", re.ASCII)
_INVALID_NAME = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end "
    "with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for "
    f"validation is '{_NAME_PART}')"
)
_INVALID_VALUE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or "
    "'.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  "
    f"or '12345', regex used for validation is '({_NAME_PART})?')"
)
_INVALID_PREFIX = (
    "prefix part a lowercase RFC 1123 subdomain must consist of lower case alphanumeric "
    "characters, '-' or '.', and must start and end with an alphanumeric character (e.g. "
    f"'example.com', regex used for validation is '{_PREFIX}')"
)
_OPERATORS: dict[str, Callable[[str | None, frozenset[str]], bool]] = {
    "exists": lambda value, _: value is not None,
    "!": lambda value, _: value is None,
    "in": lambda value, values: value in values,
    "notin": lambda value, values: value is None or value not in values,
    ">": lambda value, values: _compare_integers(value, values) > 0,
    "<": lambda value, values: _compare_integers(value, values) < 0,
}
_OPERATOR_ALIASES = {"=": "in", "==": "in", "!=": "notin"}


@dataclass(frozen=True, slots=True)
class LabelRequirement:
    """One requirement of a label selector; `operator` is exists, !, in, notin, > or <."""

    key: str
    operator: str
    values: frozenset[str] = frozenset()

    def matches(self, labels: Mapping[str, str]) -> bool:
        return _OPERATORS[self.operator](labels.get(self.key), self.values)


@dataclass(frozen=True, slots=True)
class LabelSelector:
    """A label selector: all requirements must hold; false if there are none."""

    requirements: tuple[LabelRequirement, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.requirements)

    def matches(self, labels: Mapping[str, str]) -> bool:
        return all(each.matches(labels) for each in self.requirements)


@dataclass(frozen=True, slots=True)
class FieldSelector:
    """A field selector: terms of (field, must be equal, value); false if there are none."""

    terms: tuple[tuple[str, bool, str], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.terms)

    def matches(self, fields: Mapping[str, str]) -> bool:
        """Return whether all terms hold; a field that an object does not have counts as empty."""
        return all((fields.get(key, "") == value) is equal for key, equal, value in self.terms)

    def exact_value(self, field: str) -> str | None:
        """Return the one value that `field` must have, or None if the selector names none."""
        return next((value for key, equal, value in self.terms if equal and key == field), None)


def parse_label_selector(text: str) -> LabelSelector:
    """Return the selector of `a=b,c!=d,e in (f,g),h notin (i),j,!k,l>1`.

    Raises BadRequestError, with upstream's text, for anything else.
    """
    return LabelSelector(tuple(_LabelSelectorParser(text).parse()))


def parse_field_selector(text: str, known: Collection[str]) -> FieldSelector:
    """Return the selector of `k=v`, `k==v`, `k!=v`, joined by commas.

    A backslash escapes comma, equals sign and itself. Raises BadRequestError for a syntax error,
    and for a key outside `known`: with upstream's text, which names the same two keys for all
    kinds.
    """
    terms = []
    for part in _split_terms(text):
        if not part:
            continue
        key, operator, value = _split_term(text, part)
        if key not in known:
            raise BadRequestError(
                f'"{_truncate(key)}" is not a known field selector: '
                'only "metadata.name", "metadata.namespace"'
            )
        terms.append((key, operator != "!=", value))
        if len(terms) > MAX_REQUIREMENTS:
            raise BadRequestError(f"a field selector may have at most {MAX_REQUIREMENTS} terms")
    return FieldSelector(tuple(terms))


class _LabelSelectorParser:
    """A parser of upstream's grammar with one token of lookahead."""

    def __init__(self, text: str) -> None:
        self._tokens = _tokenize(text)
        self._lookahead = next(self._tokens)

    def parse(self) -> Iterator[LabelRequirement]:
        if self._lookahead == _END_OF_INPUT:
            return
        for _ in range(MAX_REQUIREMENTS):
            yield self._parse_requirement()
            found = self._next_token()
            if found == _END_OF_INPUT:
                return
            if found != ",":
                _raise_parse_error(f"found '{_truncate(found)}', expected: ',' or 'end of string'")
            if self._lookahead in _SYNTAX - {"!"}:
                _raise_parse_error(f"found '{self._lookahead}', expected: identifier after ','")
        _raise_parse_error(f"a label selector may have at most {MAX_REQUIREMENTS} requirements")

    def _parse_requirement(self) -> LabelRequirement:
        absent = self._lookahead == "!"
        if absent:
            self._next_token()
        key = self._parse_identifier()
        _check_key(key)
        if absent or self._lookahead in {_END_OF_INPUT, ","}:
            return LabelRequirement(key, "!" if absent else "exists")
        operator = self._next_token()
        if operator in {"in", "notin"}:
            values = self._parse_values()
        elif operator in {"=", "==", "!=", "<", ">"}:
            values = ["" if self._lookahead in {_END_OF_INPUT, ","} else self._parse_identifier()]
        else:
            _raise_parse_error(
                f"found '{_truncate(operator)}', expected: in, notin, =, ==, !=, <, >"
            )
        for position, value in enumerate(values):
            _check_value(key, position, value, ordered=operator in {"<", ">"})
        return LabelRequirement(key, _OPERATOR_ALIASES.get(operator, operator), frozenset(values))

    def _parse_values(self) -> list[str]:
        if (found := self._next_token()) != "(":
            _raise_parse_error(f"found '{_truncate(found)}' expected: '('")
        if self._lookahead == ")":
            _raise_parse_error(
                "values: Invalid value: []: for 'in', 'notin' operators, values set can't be empty"
            )
        values = []
        while True:
            values.append("" if self._lookahead in {",", ")"} else self._parse_identifier())
            found = self._next_token()
            if found == ")":
                return values
            if found != ",":
                _raise_parse_error(f"found '{_truncate(found)}', expected: ',' or ')'")

    def _parse_identifier(self) -> str:
        found = self._next_token()
        if found in _SYNTAX:
            _raise_parse_error(f"found '{found}', expected: identifier")
        return found

    def _next_token(self) -> str:
        found, self._lookahead = self._lookahead, next(self._tokens, _END_OF_INPUT)
        return found


def _tokenize(text: str) -> Iterator[str]:
    for match in _TOKEN.finditer(text.rstrip(" \t\r\n")):
        rest = match.group(1)
        while rest and rest[0] in "=!<>":
            operator = next(each for each in _OPERATOR_TOKENS if rest.startswith(each))
            yield operator
            rest = rest[len(operator) :]
        if rest:
            yield rest
    yield _END_OF_INPUT


def _check_key(key: str) -> None:
    prefix, slash, name = key.rpartition("/")
    problem = ""
    if len(name) > 63:
        problem = "name part must be no more than 63 bytes"
    elif not re.fullmatch(_NAME_PART, name, re.ASCII):
        problem = _INVALID_NAME if name else "name part must be non-empty"
    elif slash and (len(prefix) > 253 or not re.fullmatch(_PREFIX, prefix, re.ASCII)):
        problem = _INVALID_PREFIX if prefix else "prefix part must be non-empty"
    if problem:
        _raise_parse_error(f'key: Invalid value: "{_truncate(key)}": {problem}')


def _check_value(key: str, position: int, value: str, *, ordered: bool) -> None:
    problem = ""
    if len(value) > 63:
        problem = "must be no more than 63 bytes"
    elif value and not re.fullmatch(_NAME_PART, value, re.ASCII):
        problem = _INVALID_VALUE
    elif ordered and not _INTEGER.fullmatch(value):
        problem = "for 'Gt', 'Lt' operators, the value must be an integer"
    if problem:
        _raise_parse_error(
            f'values[{position}][{key}]: Invalid value: "{_truncate(value)}": {problem}'
        )


def _compare_integers(value: str | None, values: frozenset[str]) -> int:
    """Return -1, 0 or 1; 0 if the label is not an integer, so that neither `<` nor `>` matches."""
    if value is None or not _INTEGER.fullmatch(value):
        return 0
    left, right = int(value), int(next(iter(values)))
    return (left > right) - (left < right)


def _raise_parse_error(detail: str) -> NoReturn:
    raise BadRequestError(f"unable to parse requirement: {detail}")


def _split_terms(text: str) -> Iterator[str]:
    """Yield the terms between commas, with their escapes."""
    yield from (found.group(0) for found in re.finditer(r"(?:[^\\,]|\\.|\\$)+", text, re.DOTALL))


def _split_term(selector: str, part: str) -> tuple[str, str, str]:
    found = re.match(r"((?:[^\\=!]|\\.|!(?!=))*)(!=|==|=)(.*)", part, re.DOTALL)
    if found is None:
        raise BadRequestError(
            f"invalid selector: '{_truncate(selector)}'; can't understand '{_truncate(part)}'"
        )
    key, operator, value = found.groups()
    if not re.fullmatch(r"(?:[^\\=]|\\[\\,=])*", value, re.DOTALL):
        raise BadRequestError(
            f"invalid selector: '{_truncate(selector)}'; can't understand '{_truncate(part)}'"
        )
    return key, operator, re.sub(r"\\([\\,=])", r"\1", value)


def _truncate(text: str) -> str:
    return text if len(text) <= 200 else text[:200] + "..."
