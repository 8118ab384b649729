"""Every setting, its default, and where it was found. Imports nothing of ours.

Read when needed from the environment, then `.env`, then `.streamlit/secrets.toml`, and passed on as values:
only composition roots (the Celery app, the command line, the core's `get_client`) call `load_settings`.
An empty value counts as not set.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from platformdirs import user_data_path
from pydantic import AliasChoices, Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

DOTENV = Path(".env")
SECRETS = Path(".streamlit/secrets.toml")
OPENAI_HOST = "api.openai.com"
STANDIN_PROVIDER = "standin"


class SettingsError(Exception):
    """A setting has a value that cannot be used. The message names the setting, never its value."""


class Settings(BaseSettings):
    """One reading of the settings; frozen. Periods are seconds."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="ignore",
        env_ignore_empty=True,
        env_file=DOTENV,
        env_file_encoding="utf-8",
        toml_file=SECRETS,
        populate_by_name=True,
        hide_input_in_errors=True,
    )

    openai_api_key: SecretStr | None = Field(default=None, validation_alias="OPENAI_API_KEY")
    openai_base_url: str | None = Field(default=None, validation_alias="OPENAI_BASE_URL")
    redis_url: str | None = Field(default=None, validation_alias="REDIS_URL")
    database_url: str | None = Field(default=None, validation_alias="DATABASE_URL")
    data_dir: Path = Field(default_factory=lambda: user_data_path("gradequeue"), validation_alias="GRADEQUEUE_DATA_DIR")
    offline: bool = Field(default=False, validation_alias="GRADEQUEUE_OFFLINE")
    """The provider is the stand-in: no grade of this process is real."""
    standin_url: str | None = Field(default=None, validation_alias="GRADEQUEUE_STANDIN_URL")
    """A stand-in provider that runs already; without it, `--offline` starts one of its own."""
    model: str | None = Field(default=None, validation_alias="GRADEQUEUE_MODEL")
    """The model of jobs that name none; there is no built-in default, because models come and go."""
    dashboard_password: SecretStr | None = Field(default=None, validation_alias="GRADEQUEUE_DASHBOARD_PASSWORD")
    """Without it the page listens on loopback alone."""
    nightly: Path | None = Field(default=None, validation_alias="GRADEQUEUE_NIGHTLY")
    """The TOML file that `gradequeue beat` goes by."""
    exit_with_stdin: bool = Field(default=False, validation_alias="GRADEQUEUE_EXIT_WITH_STDIN")
    """A worker that `run` started ends when its standard input does, that is, with `run`."""
    call_timeout_seconds: float = Field(default=120.0, gt=0, validation_alias="GRADEQUEUE_CALL_TIMEOUT")
    """Deadline of one request to the provider."""
    http_transport: Literal["aiohttp", "httpx2"] = Field(
        default="aiohttp", validation_alias="GRADEQUEUE_HTTP_TRANSPORT"
    )
    model_profiles: Path | None = Field(
        default=None, validation_alias=AliasChoices("GRADEQUEUE_MODEL_PROFILES", "GRADEQUEUE_PRICES")
    )
    """A JSON file whose entries override the bundled model profiles and prices."""
    requests_per_minute: int | None = Field(default=None, ge=1, validation_alias="GRADEQUEUE_RPM")
    """The provider's limit per model, before its first answer says it; not needed where its headers do."""
    tokens_per_minute: int | None = Field(default=None, ge=1, validation_alias="GRADEQUEUE_TPM")
    concurrency: int = Field(default=400, ge=1, le=5000, validation_alias="GRADEQUEUE_CONCURRENCY")
    """Jobs in flight in one worker process."""
    window: int = Field(default=2000, ge=1, validation_alias="GRADEQUEUE_WINDOW")
    """Messages per broker queue; the rest of the jobs wait in the store."""
    feeder_period_seconds: float = Field(default=1.0, gt=0, validation_alias="GRADEQUEUE_FEEDER_PERIOD")
    heartbeat_seconds: float = Field(default=10.0, gt=0, validation_alias="GRADEQUEUE_HEARTBEAT")
    dead_after_seconds: float = Field(default=30.0, gt=0, validation_alias="GRADEQUEUE_DEAD_AFTER")
    """Age of a heartbeat, by the database's clock, at which its worker is suspected."""
    countdown_grace_seconds: float = Field(default=60.0, gt=0, validation_alias="GRADEQUEUE_COUNTDOWN_GRACE")
    """How long after `not_before` a counting-down job may still lack a message."""
    broker_timeout_seconds: float = Field(default=15.0, gt=0, validation_alias="GRADEQUEUE_BROKER_TIMEOUT")
    """A broker that does not answer for so long is away; the worker connects anew, and its calls go on meanwhile."""
    store_patience_seconds: float = Field(default=20.0, ge=0, validation_alias="GRADEQUEUE_STORE_PATIENCE")
    """How long a starting worker waits for the store, and a stopping one before it spools its paid answers to disk."""
    longest_countdown_seconds: float = Field(default=120.0, gt=0, validation_alias="GRADEQUEUE_LONGEST_COUNTDOWN")
    """A longer wait goes into `not_before` alone: countdowns must stay below the visibility timeout."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - part of the library's signature
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Environment before `.env` before `.streamlit/secrets.toml`."""
        return (init_settings, env_settings, dotenv_settings, TomlConfigSettingsSource(settings_cls))

    @property
    def provider(self) -> str:
        """The base URL's host, or `standin`: it is fixed per batch and part of every queue name."""
        if self.offline:
            return STANDIN_PROVIDER
        host = urlsplit(self.openai_base_url).hostname if self.openai_base_url else OPENAI_HOST
        if not host:
            raise SettingsError("OPENAI_BASE_URL has no host; it should look like https://host/v1")
        return host

    @property
    def is_embedded(self) -> bool:
        """True when broker and store are this machine's own, under `data_dir`."""
        return self.redis_url is None and self.database_url is None


def load_settings(**overrides: object) -> Settings:
    """Read all sources now. Raises `SettingsError` naming the setting that cannot be used."""
    given = {name: value for name, value in overrides.items() if value is not None}
    try:
        return Settings(**given)  # type: ignore[arg-type]
    except ValidationError as error:
        problem = error.errors(include_input=False, include_url=False)[0]
        name = ".".join(str(part) for part in problem["loc"])
        raise SettingsError(f"setting {name}: {problem['msg']}") from None
    except ValueError:
        raise SettingsError(f"{SECRETS} is not valid TOML") from None


def setting_sources() -> Mapping[str, str]:
    """Where each setting that is set was found: "environment", ".env" or ".streamlit/secrets.toml"."""
    places = {
        "environment": EnvSettingsSource(Settings, env_ignore_empty=True),
        str(DOTENV): DotEnvSettingsSource(Settings, env_ignore_empty=True),
        str(SECRETS): TomlConfigSettingsSource(Settings),
    }
    found: dict[str, str] = {}
    for place, source in places.items():
        for name in source():
            found.setdefault(name, place)
    return found
