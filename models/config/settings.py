"""Settings from TAGSTREAM_* environment variables, read once when a process starts.

A renamed setting is still read from its old variable for one release, with a warning on stderr
(`RENAMED_SETTINGS`).
"""

from __future__ import annotations

import os
import warnings
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    BeforeValidator,
    Field,
    SecretStr,
    TypeAdapter,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from models.durations import parse_duration

ENV_PREFIX = "TAGSTREAM_"

# Old name -> new name. To be removed in the release after the one that renames the setting.
RENAMED_SETTINGS = {
    "sweep_interval": "reaper_interval",
    "tick_interval": "dispatch_interval",
}


def _parse_duration(value: object) -> object:
    """Read a duration (`models.durations`); pydantic reads or refuses any other value."""
    if not isinstance(value, str):
        return value
    try:
        return timedelta(seconds=parse_duration(value))
    except (ValueError, OverflowError):
        return value


Duration = Annotated[timedelta, BeforeValidator(_parse_duration)]


def warn_renamed(old: str, new: str) -> None:
    """Warn the operator that the name `old` is read for this release only."""
    warnings.warn(
        f"{old} is now {new}; the old name is read in this release only: rename it",
        FutureWarning,
        stacklevel=2,
    )


class _RenamedVariables(PydanticBaseSettingsSource):
    """Environment variables with the old names of settings; the new name takes precedence."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Return the value of a field's old variable, or None."""
        for old, new in RENAMED_SETTINGS.items():
            variable = f"{ENV_PREFIX}{old}".upper()
            if new == field_name and variable in os.environ:
                warn_renamed(variable, f"{ENV_PREFIX}{new}".upper())
                return os.environ[variable], new, self.field_is_complex(field)
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        """Return the values of all old variables that are set."""
        found = {}
        for name, field in self.settings_cls.model_fields.items():
            value, key, is_complex = self.get_field_value(field, name)
            if value is not None:
                found[key] = self.prepare_field_value(name, field, value, is_complex)
        return found


class AllowedRegistry(BaseModel):
    """One entry of `allowed_registries` (imports-2.6)."""

    domain_name: str = Field(validation_alias=AliasChoices("domain_name", "domainName"))
    insecure: bool = False


class MirrorSet(BaseModel):
    """Mirrors of one source scope (imports-2.19); `kind` is the kind of request they serve."""

    kind: Literal["digest", "tag"] = "digest"
    source: str
    mirrors: list[str] = []
    mirror_source_policy: Literal["AllowContactingSource", "NeverContactSource"] = (
        "AllowContactingSource"
    )

    @model_validator(mode="before")
    @classmethod
    def _read_renamed_key(cls, values: Any) -> Any:
        """Read the old key `never_contact_source`, for this release only."""
        if not isinstance(values, dict) or "never_contact_source" not in values:
            return values
        warn_renamed("never_contact_source of TAGSTREAM_MIRRORS", "mirror_source_policy")
        never = TypeAdapter(bool).validate_python(values["never_contact_source"])
        policy = "NeverContactSource" if never else "AllowContactingSource"
        return {"mirror_source_policy": policy, **values}


class EgressAllowance(BaseModel):
    """A private registry that may be contacted: host name or CIDR, and port (0: any).

    `namespace` limits it to one namespace; empty: all (registry-26.7).
    """

    host: str
    port: int = 0
    namespace: str = ""


class Settings(BaseSettings):
    """All settings of all processes. docs/reference/settings.md is generated from the fields."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, frozen=True, extra="ignore")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read keyword arguments, then environment variables, then those with old names."""
        del dotenv_settings, file_secret_settings
        return init_settings, env_settings, _RenamedVariables(settings_cls)

    data_dir: Annotated[Path, AfterValidator(Path.expanduser)] = Field(
        default_factory=lambda: Path.home() / ".local" / "share" / "tagstream",
        description="Directory of the SQLite database and of the generated key file.",
    )
    database_url: SecretStr | None = Field(
        None, description="SQLAlchemy URL of the database; unset: SQLite in the data directory."
    )
    database_password_file: Path | None = Field(
        None, description="File with the database password, which then is not part of the URL."
    )
    broker_url: SecretStr | None = Field(
        None,
        description="Redis URL of the Celery broker; unset: one process runs everything.",
    )
    key_file: Path | None = Field(None, description="File with the key that encrypts secrets.")
    key: SecretStr | None = Field(None, description="The key itself, instead of a file.")

    max_tags_per_repository: int = Field(
        50,
        description="Maximum number of tags that a repository import takes; -1 is all, 0 is 50.",
    )
    max_tags_ceiling: int = Field(
        -1, description="Maximum number of tags that `--all` takes; -1 is no limit."
    )
    default_import_mode: Literal["Legacy", "PreserveOriginal"] = Field(
        "Legacy", description="Import mode of requests that name none."
    )
    max_history_per_tag: int = Field(
        0, description="Maximum number of events in the history of a tag; 0 keeps all."
    )
    max_images_per_stream: int = Field(
        0, description="Maximum number of images in a stream; 0 is no limit."
    )
    max_tags_per_stream: int = Field(
        0, description="Maximum number of tags in a stream; 0 is no limit."
    )
    allow_schema1: bool = Field(True, description="Whether Docker schema1 manifests are imported.")
    platform_architecture: str = Field(
        "amd64", description="Architecture that Legacy imports select from an index."
    )
    platform_os: str = Field(
        "linux", description="Operating system that Legacy imports select from an index."
    )

    allowed_registries: list[AllowedRegistry] = Field(
        [], description="Registries that may be imported from; empty: all."
    )
    blocked_registries: list[str] = Field([], description="Scopes that are never contacted.")
    insecure_registries: list[str] = Field(
        [],
        description="Scopes whose certificates are not verified; plain http is allowed there.",
    )
    mirrors: list[MirrorSet] = Field([], description="Mirrors of source scopes.")
    internal_registry_hostname: str = Field(
        "", description="Host name of the integrated registry, if there is one."
    )
    external_registry_hostnames: list[str] = Field(
        [], description="Public host names of the integrated registry."
    )
    egress_allow: list[EgressAllowance] = Field(
        [],
        description="Private registries that server roles may contact: host or CIDR, and port.",
    )
    egress_ports: list[int] = Field(
        [443, 5000, 5443, 8443], description="Ports that server roles may contact over https."
    )
    trusted_realm_hosts: dict[str, list[str]] = Field(
        {}, description="Token servers that may receive the credentials of a registry, by registry."
    )
    additional_trusted_ca: Path | None = Field(
        None, description="PEM file with certificate authorities beside those of the system."
    )
    credentials_over_http: bool = Field(
        default=False, description="Whether credentials may be sent over plain http."
    )

    registry_concurrency_start: int = Field(
        8, description="Requests in flight at one registry, at first."
    )
    registry_concurrency: int = Field(
        16, ge=1, le=32, description="Maximum number of requests in flight at one registry."
    )
    registry_rate: float = Field(
        50.0,
        ge=0,
        description="Maximum number of scheduled checks a second at one registry; 0 is no limit.",
    )
    # Deadlines: imports-7.6.
    import_deadline: Duration = Field(
        timedelta(minutes=10), description="Time limit of an import that a user waits for."
    )
    target_deadline: Duration = Field(
        timedelta(minutes=2), description="Time limit of one tag of an import."
    )
    bulk_deadline: Duration = Field(
        timedelta(minutes=60), description="Time limit of an import in the background."
    )
    worker_threads: int = Field(
        4,
        ge=1,
        le=64,
        description="Number of jobs that each pool of a worker process runs at once.",
    )
    job_lease: Duration = Field(
        timedelta(seconds=60),
        ge=timedelta(seconds=2),
        description="How long a worker holds a job without a renewal; at least 2s.",
    )
    job_attempts: int = Field(
        3, description="Maximum number of attempts of a job whose worker died."
    )
    reaper_interval: Duration = Field(
        timedelta(seconds=15),
        description="How often the reaper releases the jobs of workers that died.",
    )
    scheduled_imports: bool = Field(
        default=True, description="Whether scheduled tags are checked at all."
    )
    check_interval: Duration = Field(
        timedelta(minutes=15),
        ge=timedelta(seconds=1),
        description="Interval of scheduled checks where no annotation or Registry sets one.",
    )
    check_interval_floor: Duration = Field(
        timedelta(minutes=1),
        ge=timedelta(seconds=1),
        description="The shortest interval that an annotation may set.",
    )
    check_interval_ceiling: Duration = Field(
        timedelta(days=7),
        ge=timedelta(seconds=1),
        description="The longest interval that an annotation may set.",
    )
    check_lease: Duration = Field(
        timedelta(seconds=30),
        ge=timedelta(seconds=5),
        description="How long a worker holds scheduled checks without a renewal; at least 5s.",
    )
    check_threads: int = Field(
        4,
        ge=1,
        le=64,
        description="Number of batches of scheduled checks that a worker process runs at once.",
    )
    dispatch_interval: Duration = Field(
        timedelta(seconds=1),
        ge=timedelta(milliseconds=100),
        description="How often a scheduler dispatches the tags that are due.",
    )
    metrics_listen: str = Field(
        "",
        description="HOST:PORT where a process serves unauthenticated metrics; empty: nowhere.",
    )
    log_format: Literal["console", "json"] = Field("console", description="Format of log lines.")
    log_level: str = Field("WARNING", description="The least severe level that is logged.")

    @property
    def embedded(self) -> bool:
        """Return whether no broker is configured: everything runs in one process."""
        return self.broker_url is None

    @cached_property
    def effective_database_url(self) -> str:
        if self.database_url is not None:
            return with_password(self.database_url.get_secret_value(), self.database_password_file)
        return f"sqlite:///{self.data_dir / 'tagstream.db'}"

    @property
    def effective_max_tags(self) -> int:
        """Return the cap of tags of a repository import; the value 0 means 50 (imports-2.25)."""
        return self.max_tags_per_repository or 50


def with_password(url: str, password_file: Path | None) -> str:
    """Return `url` with the password from the file, if there is one, after its user name."""
    if password_file is None:
        return url
    scheme, _, rest = url.partition("://")
    user, at, location = rest.rpartition("@")
    password = quote(password_file.read_text().strip(), safe="")
    return f"{scheme}://{user.partition(':')[0]}:{password}{at or '@'}{location}"


def load_settings() -> Settings:
    """Read the settings from the environment.

    Only entry points call this. Raises pydantic.ValidationError for a value that is not valid.
    """
    return Settings()
