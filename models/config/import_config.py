"""Import rules, registry configuration and check intervals, built from settings and Registry
objects.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from zlib import crc32

from models.config.settings import Settings
from models.images.image_index import PlatformPreference
from models.resources.registries import NEVER_CONTACT_SOURCE
from models.streams.imports.import_rules import ImportRules
from models.streams.registries.registry_allowlist import AllowList
from models.streams.registries.registry_mirrors import (
    MirrorRule,
    RegistryConfig,
    build_registry_config,
    normalise_scope,
)
from models.streams.registries.registry_policies import NO_POLICIES, RegistryPolicies
from models.streams.schedule.check_schedule import Cadence


def build_import_rules(settings: Settings, policies: RegistryPolicies | None = None) -> ImportRules:
    """Build the rules that planning and applying an import work with.

    Where a Registry object sets a value for its scope, the settings for that scope are ignored.
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
        registries=_build_registry_config(settings, policies or NO_POLICIES),
        internal_hostname=settings.internal_registry_hostname,
        external_hostnames=tuple(settings.external_registry_hostnames),
        platform=PlatformPreference(settings.platform_architecture, settings.platform_os),
        max_images=settings.max_images_per_stream,
        max_tags_per_stream=settings.max_tags_per_stream,
        max_history=settings.max_history_per_tag,
        allow_schema1=settings.allow_schema1,
    )


def _build_registry_config(settings: Settings, policies: RegistryPolicies) -> RegistryConfig:
    mirrored = {rule.source for rule in policies.mirrors}
    rules = [
        MirrorRule(
            source=entry.source,
            mirrors=tuple(entry.mirrors),
            kind=entry.kind,
            never_contact_source=entry.mirror_source_policy == NEVER_CONTACT_SOURCE,
        )
        for entry in settings.mirrors
        if normalise_scope(entry.source) not in mirrored
    ]
    return build_registry_config(
        _merge_scopes(settings.blocked_registries, policies.blocked),
        _merge_scopes(settings.insecure_registries, policies.insecure),
        [*rules, *policies.mirrors],
        allowed=[scope for scope, flag in policies.blocked.items() if not flag],
        verified=[scope for scope, flag in policies.insecure.items() if not flag],
    )


def _merge_scopes(scopes: Iterable[str], overrides: Mapping[str, bool]) -> list[str]:
    """Return the settings' scopes that no Registry object overrides, then those of the objects."""
    configured = [scope for scope in scopes if normalise_scope(scope) not in overrides]
    return [*configured, *(scope for scope, value in overrides.items() if value)]


def build_cadence(settings: Settings, policies: RegistryPolicies = NO_POLICIES) -> Cadence:
    """Build the operator's default, minimum and maximum interval of scheduled checks.

    The default always lies within the bounds: a bound that would exclude it is moved to it.
    `fingerprint` changes whenever one of the values changes, so that the schedule can be adapted.
    """
    default = int(settings.check_interval.total_seconds())
    floor = min(default, int(settings.check_interval_floor.total_seconds()))
    ceiling = max(default, int(settings.check_interval_ceiling.total_seconds()))
    return Cadence(
        default=default,
        floor=floor,
        ceiling=ceiling,
        host_interval=lambda host: policies.policy(host).interval,
        fingerprint=crc32(repr((default, floor, ceiling, policies.intervals)).encode()),
    )
