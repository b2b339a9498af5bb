"""The operator's choices as the values that the pure rooms work with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from zlib import crc32

from models.config.settings import Settings
from models.images.image_index import PlatformPreference
from models.streams.imports.import_rules import ImportRules
from models.streams.registries.registry_allowlist import AllowList
from models.streams.registries.registry_mirrors import (
    MirrorRule,
    Registries,
    build_registries,
    normal_scope,
)
from models.streams.registries.registry_policies import NO_POLICIES, Policies
from models.streams.schedule.check_schedule import Cadence


def build_rules(settings: Settings, policies: Policies | None = None) -> ImportRules:
    """The operator's choices as the value that planning and applying work with.

    Where a Registry object says something of its scope, the settings are not asked.
    """
    allow_list = None
    if settings.allowed_registries:
        allow_list = AllowList.parse(
            [(entry.domain_name, entry.insecure) for entry in settings.allowed_registries],
            internal_hostname=settings.internal_registry_hostname,
        )
    return ImportRules(
        max_tags=settings.effective_max_tags,
        default_import_mode=settings.default_import_mode,
        allow_list=allow_list,
        registries=_build_registries(settings, policies or NO_POLICIES),
        internal_hostname=settings.internal_registry_hostname,
        external_hostnames=tuple(settings.external_registry_hostnames),
        platform=PlatformPreference(settings.platform_architecture, settings.platform_os),
        max_images=settings.max_images_per_stream,
        max_tags_per_stream=settings.max_tags_per_stream,
        max_history=settings.max_history_per_tag,
        allow_schema1=settings.allow_schema1,
    )


def _build_registries(settings: Settings, policies: Policies) -> Registries:
    mirrored = {rule.source for rule in policies.mirrors}
    rules = [
        MirrorRule(
            source=entry.source,
            mirrors=tuple(entry.mirrors),
            kind=entry.kind,
            never_contact_source=entry.never_contact_source,
        )
        for entry in settings.mirrors
        if normal_scope(entry.source) not in mirrored
    ]
    return build_registries(
        _chosen(settings.blocked_registries, policies.blocked),
        _chosen(settings.insecure_registries, policies.insecure),
        [*rules, *policies.mirrors],
        allowed=[scope for scope, said in policies.blocked.items() if not said],
        verified=[scope for scope, said in policies.insecure.items() if not said],
    )


def _chosen(scopes: Iterable[str], said: Mapping[str, bool]) -> list[str]:
    """The settings' scopes, but for those that objects speak of, and the objects' own."""
    left = [scope for scope in scopes if normal_scope(scope) not in said]
    return [*left, *(scope for scope, value in said.items() if value)]


def build_cadence(settings: Settings, policies: Policies = NO_POLICIES) -> Cadence:
    """The operator's word on how often scheduled tags are looked at."""
    default = int(settings.check_interval.total_seconds())
    floor = min(default, int(settings.check_interval_floor.total_seconds()))
    ceiling = max(default, int(settings.check_interval_ceiling.total_seconds()))
    return Cadence(
        default=default,
        floor=floor,
        ceiling=ceiling,
        of_host=lambda host: policies.policy(host).interval,
        mark=crc32(repr((default, floor, ceiling, policies.intervals)).encode()),
    )
