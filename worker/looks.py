"""Looks at what scheduled tags follow: one HEAD for all who may see it by the same right (B2).

Nothing is read or written here but by way of the registry client.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

import structlog

from models.errors import InvalidReferenceError, RegistryBlockedError, RegistryError, TagstreamError
from models.reference import DEFAULT_TAG, Reference
from models.store.schedule import Check
from models.streams.rules import ImportRules
from worker.fetch import join_errors
from worker.registry.access import Access
from worker.registry.checks import Checked
from worker.registry.client import RegistryClient
from worker.registry.guard import EgressPolicy
from worker.registry.words import Place
from worker.runtime import Runtime

log = structlog.get_logger()

LONGEST_LOOK = 60.0
Seen = Checked | TagstreamError


@dataclass(frozen=True, slots=True)
class Rights:
    """What decides what somebody gets to see of a source: where they may go, and which
    credentials they may show there, at each mirror and at the source itself.
    """

    policy: EgressPolicy
    credentials: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Look:
    """One source, as everybody in `checks` may see it by the same rights."""

    reference: Reference
    insecure: bool
    rights: Rights
    access: Access
    checks: list[Check] = field(default_factory=list)


def plan_looks(
    checks: Iterable[Check], access_of: Callable[[str], Access], runtime: Runtime
) -> tuple[list[Look], list[tuple[Check, TagstreamError]]]:
    """What to look at, each source and right once; and rows whose source cannot be read."""
    looks: dict[tuple[str, bool, Rights], Look] = {}
    unreadable: list[tuple[Check, TagstreamError]] = []
    for check in checks:
        try:
            reference = _parse(check.source)
        except InvalidReferenceError as error:
            unreadable.append((check, error))
            continue
        access = access_of(check.namespace)
        rights = rights_at(access, reference, runtime)
        found = reference.id or reference.tag or DEFAULT_TAG
        key = (f"{reference.repository_key()} {found}", check.insecure, rights)
        look = looks.get(key)
        if look is None:
            look = looks[key] = Look(reference, check.insecure, rights, access)
        look.checks.append(check)
    return list(looks.values()), unreadable


def rights_at(access: Access, reference: Reference, runtime: Runtime) -> Rights:
    """By what right a reference is asked for: who has the same sees the same (`registry.md` C7)."""
    policy = runtime.client.config.policy.for_tenant(access.tenant)
    if not access.keyring.credentials:
        return Rights(policy)
    tried = tuple(
        tuple(credential.id for credential in access.keyring.candidates(_place(source)))
        for source in runtime.rules.registries.sources(reference)
    )
    return Rights(policy, tried if any(tried) else ())


async def look_at_all(
    looks: Sequence[Look],
    client: RegistryClient,
    rules: ImportRules,
    tell: Callable[[Look, Seen], None],
) -> None:
    """Look at everything side by side; `tell` is called on the loop as soon as each is seen."""

    async def one(look: Look) -> None:
        tell(look, await _look(look, client, rules))

    async with asyncio.TaskGroup() as group:
        for look in looks:
            group.create_task(one(look))


async def _look(look: Look, client: RegistryClient, rules: ImportRules) -> Seen:
    try:
        async with asyncio.timeout(LONGEST_LOOK):
            return await _look_anywhere(look, client, rules)
    except TagstreamError as error:
        return error
    except TimeoutError:
        return RegistryError(
            f"the registry took longer than {LONGEST_LOOK:g} s to say what this tag is",
            code="net.deadline",
            reference=look.reference.exact(),
        )
    except Exception as error:  # one bad tag must never harm another, not even by our bug
        log.exception("look.bug", reference=look.reference.exact())
        return TagstreamError(f"unexpected {type(error).__name__}")


async def _look_anywhere(look: Look, client: RegistryClient, rules: ImportRules) -> Checked:
    """At the first source that tells; all their errors where none does (`import.md` 2.5)."""
    reference = look.reference
    if rules.registries.is_blocked(reference):
        raise RegistryBlockedError(reference.registry or reference.with_defaults().registry)
    wanted = reference.id or reference.tag or DEFAULT_TAG
    first = look.checks[0]
    errors: list[TagstreamError] = []
    for source in rules.registries.sources(reference):
        place = _place(source)
        if look.insecure or rules.registries.is_insecure(place.name):
            place = replace(place, insecure=True)
        try:
            return await client.check_manifest(
                place, wanted, look.access, known=first.known_source, etag=first.etag
            )
        except TagstreamError as error:
            errors.append(error)
    raise join_errors(errors)


@lru_cache(20_000)
def _parse(text: str) -> Reference:
    return Reference.parse(text)


@lru_cache(20_000)
def _place(reference: Reference) -> Place:
    return Place.of(reference)
