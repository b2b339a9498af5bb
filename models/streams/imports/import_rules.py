"""The configuration that planning and applying an import need, as one value."""

from __future__ import annotations

from dataclasses import dataclass

from models.images.image_index import PlatformPreference
from models.streams.registries.registry_allowlist import AllowList
from models.streams.registries.registry_mirrors import RegistryConfig

NO_REGISTRY_CONFIG = RegistryConfig()
DEFAULT_PLATFORM = PlatformPreference("amd64", "linux")


@dataclass(frozen=True, slots=True)
class ImportRules:
    """Rules of imports. `allow_list` None allows every registry; a limit of 0 means no limit."""

    max_tags: int = 50
    default_import_mode: str = "Legacy"
    allow_list: AllowList | None = None
    registries: RegistryConfig = NO_REGISTRY_CONFIG
    internal_hostname: str = ""
    external_hostnames: tuple[str, ...] = ()
    platform: PlatformPreference = DEFAULT_PLATFORM
    max_images: int = 0
    max_tags_per_stream: int = 0
    max_history: int = 0
    allow_schema1: bool = True
