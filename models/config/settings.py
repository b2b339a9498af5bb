"""What an operator may choose: TAGSTREAM_* variables, read once at a process's start."""

from __future__ import annotations

from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from pydantic import AliasChoices, BaseModel, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class AllowedRegistry(BaseModel):
    """One entry of `allowed_registries` (`import.md` 2.3)."""

    domain_name: str = Field(validation_alias=AliasChoices("domain_name", "domainName"))
    insecure: bool = False


class MirrorSet(BaseModel):
    """Mirrors of one source scope (`import.md` 2.5); `kind` says what they may serve."""

    kind: Literal["digest", "tag"] = "digest"
    source: str
    mirrors: list[str] = []
    never_contact_source: bool = False


class EgressAllowance(BaseModel):
    """A private registry that the operator admits: host name or CIDR, and port (0: any).

    `namespace` limits it to one tenant.
    """

    host: str
    port: int = 0
    namespace: str = ""


class Settings(BaseSettings):
    """Every field appears in docs/reference/settings.md."""

    model_config = SettingsConfigDict(env_prefix="TAGSTREAM_", frozen=True, extra="ignore")

    data_dir: Path = Field(
        default_factory=lambda: Path.home() / ".local" / "share" / "tagstream",
        description="Where the embedded default keeps its database and key file.",
    )
    database_url: SecretStr | None = Field(
        None, description="SQLAlchemy URL; none: SQLite in the data directory."
    )
    database_password_file: Path | None = Field(
        None, description="File holding the database password, kept out of the URL."
    )
    broker_url: SecretStr | None = Field(
        None, description="Redis URL for Celery; none: everything in one process (embedded)."
    )
    key_file: Path | None = Field(None, description="File holding the key that encrypts secrets.")
    key: SecretStr | None = Field(None, description="The key itself, instead of a file.")

    max_tags_per_repository: int = Field(
        50, description="Tags a stock repository import takes; -1 all, 0 means 50."
    )
    max_tags_ceiling: int = Field(-1, description="The most that --all may take; -1 no ceiling.")
    default_import_mode: Literal["Legacy", "PreserveOriginal"] = Field(
        "Legacy", description="Import mode where a request names none."
    )
    max_history_per_tag: int = Field(0, description="Tag events kept per tag; 0 keeps all.")
    max_images_per_stream: int = Field(0, description="Limit of images a stream; 0 none.")
    max_tags_per_stream: int = Field(0, description="Limit of tags a stream; 0 none.")
    allow_schema1: bool = Field(True, description="Whether Docker schema1 manifests import.")
    platform_architecture: str = Field("amd64", description="Architecture of Legacy imports.")
    platform_os: str = Field("linux", description="Operating system of Legacy imports.")

    allowed_registries: list[AllowedRegistry] = Field(
        [], description="Registries that may be imported from; empty: all."
    )
    blocked_registries: list[str] = Field([], description="Scopes never contacted.")
    insecure_registries: list[str] = Field(
        [], description="Scopes whose certificates are not verified, and that may speak http."
    )
    mirrors: list[MirrorSet] = Field([], description="Mirrors of sources.")
    internal_registry_hostname: str = Field("", description="The local registry, if any.")
    external_registry_hostnames: list[str] = Field([], description="Its public names.")
    egress_allow: list[EgressAllowance] = Field(
        [], description="Private registries that server roles may reach: host or CIDR, and port."
    )
    egress_ports: list[int] = Field(
        [443, 5000, 5443, 8443], description="Ports that server roles may reach by https."
    )
    trusted_realm_hosts: dict[str, list[str]] = Field(
        {}, description="Token servers that may see a registry's credentials, by registry."
    )
    additional_trusted_ca: Path | None = Field(
        None, description="PEM file added to the system's roots."
    )
    credentials_over_http: bool = Field(
        default=False, description="Whether credentials may travel over plain http."
    )

    registry_concurrency_start: int = Field(8, description="Requests in flight a registry, first.")
    registry_concurrency: int = Field(16, ge=1, le=32, description="Requests in flight, at most.")
    registry_rate: float = Field(
        50.0, ge=0, description="Scheduled checks a second at one registry; 0: no limit."
    )
    import_deadline: timedelta = Field(
        timedelta(minutes=10), description="How long one import may take."
    )
    target_deadline: timedelta = Field(
        timedelta(minutes=2), description="How long one tag of an import may take."
    )
    bulk_deadline: timedelta = Field(
        timedelta(minutes=60), description="How long an import in the background may take."
    )
    worker_threads: int = Field(
        4, ge=1, le=64, description="Jobs that each pool of a worker process carries at once."
    )
    job_lease: timedelta = Field(
        timedelta(seconds=60),
        ge=timedelta(seconds=2),
        description="How long a silent worker keeps a job; 2 s at least.",
    )
    job_attempts: int = Field(3, description="How often a job whose worker died is tried again.")
    sweep_interval: timedelta = Field(
        timedelta(seconds=15), description="How often the sweep looks for dropped jobs."
    )
    scheduled_imports: bool = Field(
        default=True, description="Whether scheduled tags are looked at by the clock at all."
    )
    check_interval: timedelta = Field(
        timedelta(minutes=15),
        ge=timedelta(seconds=1),
        description="How often a scheduled tag is looked at, where nobody asks for more or less.",
    )
    check_interval_floor: timedelta = Field(
        timedelta(minutes=1),
        ge=timedelta(seconds=1),
        description="The shortest interval that an annotation may ask for.",
    )
    check_interval_ceiling: timedelta = Field(
        timedelta(days=7),
        ge=timedelta(seconds=1),
        description="The longest interval that an annotation may ask for.",
    )
    check_lease: timedelta = Field(
        timedelta(seconds=30),
        ge=timedelta(seconds=5),
        description="How long a silent worker keeps scheduled checks; 5 s at least.",
    )
    check_threads: int = Field(
        4, ge=1, le=64, description="Batches of scheduled checks a worker process has at once."
    )
    tick_interval: timedelta = Field(
        timedelta(seconds=1),
        ge=timedelta(milliseconds=100),
        description="How often a scheduler looks for what is due.",
    )
    metrics_listen: str = Field(
        "", description="HOST:PORT where a process serves its metrics to anybody; empty: nowhere."
    )
    log_format: Literal["console", "json"] = Field("console", description="How logs look.")
    log_level: str = Field("WARNING", description="The least severe message that is logged.")

    @property
    def embedded(self) -> bool:
        """One person, one process: no broker was configured."""
        return self.broker_url is None

    @cached_property
    def effective_database_url(self) -> str:
        if self.database_url is not None:
            return with_password(self.database_url.get_secret_value(), self.database_password_file)
        return f"sqlite:///{self.data_dir / 'tagstream.db'}"

    @property
    def effective_max_tags(self) -> int:
        """0 means 50 (`import.md` 2.8 item 2)."""
        return self.max_tags_per_repository or 50


def with_password(url: str, password_file: Path | None) -> str:
    """`url` with the password of the file put behind its user name."""
    if password_file is None:
        return url
    scheme, _, rest = url.partition("://")
    user, at, place = rest.rpartition("@")
    password = quote(password_file.read_text().strip(), safe="")
    return f"{scheme}://{user.partition(':')[0]}:{password}{at or '@'}{place}"


def load_settings() -> Settings:
    """The one place that reads the environment."""
    return Settings()
