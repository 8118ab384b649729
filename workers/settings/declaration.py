"""Every setting, its default, and where it was found. Imports nothing of ours but what finds the files.

Read when needed: the environment first, then the files of `workers.settings.files`. Passed on as values: only
composition roots (the worker process, the command line, the core's `get_client`) call `load_settings`.
An empty value counts as not set.
"""

from __future__ import annotations

from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from platformdirs import user_data_path
from pydantic import AliasChoices, Field, PrivateAttr, SecretStr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    EnvSettingsSource,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from workers.contract.account import DEFAULT_ACCOUNT, account_of
from workers.contract.errors import InvalidInput
from workers.contract.notification import targets_of
from workers.contract.validation_words import first_fault
from workers.settings.accounts import Variables, load_accounts, unknown_account
from workers.settings.error import SettingsError
from workers.settings.files import ENVIRONMENT, UnsafeFile, settings_files, trusted_file
from workers.settings.provider import OPENAI_HOST, STANDIN_PROVIDER, provider_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from workers.settings.accounts import NamedAccount

_SQLITE = "sqlite:///"
_file_values: ContextVar[Mapping[str, Any] | None] = ContextVar("_file_values", default=None)
"""What `load_settings` found in files, for the sources of the one `Settings` that it makes."""


class Settings(BaseSettings):
    """One reading of the settings; frozen. Periods are seconds."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="ignore",
        env_ignore_empty=True,
        populate_by_name=True,
        hide_input_in_errors=True,
    )

    openai_api_key: SecretStr | None = Field(default=None, validation_alias="OPENAI_API_KEY")
    """Pays for every request; only workers get it. The stand-in needs none."""
    openai_base_url: str | None = Field(default=None, validation_alias="OPENAI_BASE_URL", repr=False)
    """Another server that speaks OpenAI's protocol, such as `http://localhost:11434/v1`; OpenAI's own when not set."""
    accounts: Path | None = Field(default=None, validation_alias="GRADEQUEUE_ACCOUNTS")
    """A TOML file that names further accounts: keys (by variable or file), base URLs, limits; see docs/scaling.md."""
    account: str | None = Field(default=None, validation_alias="GRADEQUEUE_ACCOUNT")
    """The account of batches that name none [default: that of `OPENAI_API_KEY`, which is also called `default`]."""
    redis_url: str | None = Field(default=None, validation_alias="REDIS_URL", repr=False)
    """The broker, Redis or Valkey: `redis://`, `rediss://`, `unix://`, `sentinel://` or `sentinels://`.

    A server of this machine's own, in the data folder, when not set."""
    database_url: str | None = Field(default=None, validation_alias="DATABASE_URL", repr=False)
    """The store: `postgresql://user:password@host:5432/name`, or an SQLite file in the data folder when not set."""
    data_dir: Path = Field(default_factory=lambda: user_data_path("gradequeue"), validation_alias="GRADEQUEUE_DATA_DIR")
    """Folder of the embedded store and broker, logs and spool; private to one user."""
    offline: bool = Field(default=False, validation_alias="GRADEQUEUE_OFFLINE")
    """The provider is the stand-in: no grade of this process is real."""
    standin_url: str | None = Field(default=None, validation_alias="GRADEQUEUE_STANDIN_URL")
    """A stand-in provider that runs already; without it, `--offline` starts one of its own."""
    model: str | None = Field(default=None, validation_alias="GRADEQUEUE_MODEL")
    """The model of jobs that name none; there is no built-in default, because models come and go."""
    dashboard_password: SecretStr | None = Field(default=None, validation_alias="GRADEQUEUE_DASHBOARD_PASSWORD")
    """Of the page, for owners. Without it, and without an OIDC login, the page listens on loopback alone."""
    grader_password: SecretStr | None = Field(default=None, validation_alias="GRADEQUEUE_GRADER_PASSWORD")
    """Of the page, for who decides about grades and neither spends nor releases; beside the owners' password."""
    viewer_password: SecretStr | None = Field(default=None, validation_alias="GRADEQUEUE_VIEWER_PASSWORD")
    """Of the page, for who only looks; beside the owners' password."""
    oidc_secrets: Path | None = Field(default=None, validation_alias="GRADEQUEUE_OIDC_SECRETS")
    """A TOML file with Streamlit's `[auth]` section: the page then asks for that login instead of a password."""
    roles: str = Field(default="", validation_alias="GRADEQUEUE_ROLES")
    """Who may do what after an OIDC login: `kim@uni.edu=owner,*@uni.edu=grader,*=viewer`, the first that fits."""
    nightly: Path | None = Field(default=None, validation_alias="GRADEQUEUE_NIGHTLY")
    """The TOML file with the entries of `gradequeue beat`."""
    kits: Path | None = Field(default=None, validation_alias="GRADEQUEUE_KITS")
    """Folder whose sub-folders are course kits (`gradequeue init`); the page offers them."""
    downloads: Path | None = Field(default=None, validation_alias="GRADEQUEUE_DOWNLOADS")
    """Folder whose ZIP files a page without a login offers, of any size, without an upload (`serve --downloads`)."""
    notify: str = Field(default="", validation_alias="GRADEQUEUE_NOTIFY", repr=False)
    """Whom workers notify of parked accounts, reached caps, skipped nights and nightly batches: comma-separated
    `https://...` and `mailto:...`."""
    notify_secret: SecretStr | None = Field(default=None, validation_alias="GRADEQUEUE_NOTIFY_SECRET")
    """Signs webhooks (Standard Webhooks): `whsec_` and base64 of 24 to 64 bytes; workers send none without it."""
    smtp_url: str | None = Field(default=None, validation_alias="GRADEQUEUE_SMTP_URL", repr=False)
    """Takes mail to `mailto:` targets: `smtps://user:password@host`, or `smtp://...` with STARTTLS; percent-encode
    what is no letter or digit in the password."""
    mail_from: str | None = Field(default=None, validation_alias="GRADEQUEUE_MAIL_FROM")
    """The address that this mail comes from."""
    log_format: Literal["console", "json"] = Field(default="console", validation_alias="GRADEQUEUE_LOG_FORMAT")
    """How workers and `gradequeue beat` log: `console`, text with key=value fields, or `json`, one object per line."""
    exit_with_stdin: bool = Field(default=False, validation_alias="GRADEQUEUE_EXIT_WITH_STDIN")
    """Set by `run` for its own workers: they end when their standard input does, that is, with `run`."""
    worker_id: str | None = Field(default=None, validation_alias="GRADEQUEUE_WORKER_ID")
    """Set by `run` for each of its own workers, and new for each: the store knows by it whose jobs a dead one held."""
    call_timeout_seconds: float = Field(default=120.0, gt=0, validation_alias="GRADEQUEUE_CALL_TIMEOUT")
    """Deadline of one request to the provider."""
    http_transport: Literal["aiohttp", "httpx2"] = Field(
        default="aiohttp", validation_alias="GRADEQUEUE_HTTP_TRANSPORT"
    )
    """The HTTP library under the OpenAI client: `aiohttp`, which needs less CPU, or `httpx2`."""
    model_profiles: Path | None = Field(
        default=None, validation_alias=AliasChoices("GRADEQUEUE_MODEL_PROFILES", "GRADEQUEUE_PRICES")
    )
    """A JSON file whose entries override the bundled model profiles and prices."""
    max_usd_per_day: float | None = Field(default=None, gt=0, validation_alias="GRADEQUEUE_MAX_USD_PER_DAY")
    """What all requests may cost in a day (UTC), US dollars, those of every account together; then jobs wait for the
    next day. Each worker stops at its own: give all of them the same."""
    requests_per_minute: int | None = Field(default=None, ge=1, validation_alias="GRADEQUEUE_RPM")
    """The provider's limit per model, before its first answer says it; not needed where its headers do."""
    tokens_per_minute: int | None = Field(default=None, ge=1, validation_alias="GRADEQUEUE_TPM")
    """The same limit, in tokens per minute."""
    interactive_share: float = Field(default=0.1, ge=0, le=0.5, validation_alias="GRADEQUEUE_INTERACTIVE_SHARE")
    """Part of the provider's limits that bulk workers leave in stock for interactive jobs; their rate stays."""
    concurrency: int = Field(default=400, ge=1, le=5000, validation_alias="GRADEQUEUE_CONCURRENCY")
    """Jobs in flight in one worker process."""
    window: int = Field(default=2000, ge=1, validation_alias="GRADEQUEUE_WINDOW")
    """Messages per broker queue; the rest of the jobs wait in the store."""
    park_probe_seconds: float = Field(default=120.0, gt=0, validation_alias="GRADEQUEUE_PARK_PROBE")
    """Seconds to the first probe of a parked account and to the second; later ones come less and less often, but at
    least every half hour. `gradequeue resume` lifts a park at once."""
    feeder_period_seconds: float = Field(default=1.0, gt=0, validation_alias="GRADEQUEUE_FEEDER_PERIOD")
    """Seconds between two rounds of the feeder, which publishes due jobs and looks for dead workers."""
    heartbeat_seconds: float = Field(default=10.0, gt=0, validation_alias="GRADEQUEUE_HEARTBEAT")
    """Seconds between two heartbeats of a worker process."""
    dead_after_seconds: float = Field(default=30.0, gt=0, validation_alias="GRADEQUEUE_DEAD_AFTER")
    """Age of a heartbeat, in seconds by the database's clock, at which its worker is suspected dead."""
    countdown_grace_seconds: float = Field(default=60.0, gt=0, validation_alias="GRADEQUEUE_COUNTDOWN_GRACE")
    """Seconds after its time at which a deferred job without a message is published again."""
    broker_timeout_seconds: float = Field(default=15.0, gt=0, validation_alias="GRADEQUEUE_BROKER_TIMEOUT")
    """A broker that does not answer for this long counts as away; the worker reconnects while its calls go on."""
    store_patience_seconds: float = Field(default=20.0, ge=0, validation_alias="GRADEQUEUE_STORE_PATIENCE")
    """How long a starting worker waits for the store, and a stopping one before it spools its paid answers to disk."""
    longest_countdown_seconds: float = Field(default=120.0, gt=0, validation_alias="GRADEQUEUE_LONGEST_COUNTDOWN")
    """A longer wait goes into `not_before` alone: countdowns must stay below the visibility timeout."""

    trusted_schemas: str = Field(default="", validation_alias="GRADEQUEUE_TRUSTED_SCHEMAS")
    """Comma-separated SHA-256 digests of schema files from the store that this host's workers may run; those that a
    command of this data folder named are trusted already."""

    _sources: Mapping[str, str] = PrivateAttr(default_factory=dict)
    _accounts: Mapping[str, NamedAccount] = PrivateAttr(default_factory=dict)

    @property
    def sources(self) -> Mapping[str, str]:
        """Environment name -> where the value was found, of everything that was set when this was loaded."""
        return self._sources

    @field_validator("account")
    @classmethod
    def _has_a_name_of_its_own(cls, account: str | None) -> str | None:
        return None if account == DEFAULT_ACCOUNT else account

    @field_validator("data_dir", "model_profiles", "nightly", "oidc_secrets", "accounts")
    @classmethod
    def _is_absolute(cls, path: Path | None) -> Path | None:
        """Children run in another folder, and mean the same file."""
        return path if path is None else path.expanduser().absolute()

    @field_validator("notify")
    @classmethod
    def _names_targets(cls, notify: str) -> str:
        try:
            targets_of([notify])
        except InvalidInput as problem:
            raise ValueError(str(problem)) from None
        return notify

    @field_validator("database_url")
    @classmethod
    def _names_an_absolute_file(cls, url: str | None) -> str | None:
        file = (url or "").removeprefix(_SQLITE)
        if url is None or file == url or not file or file.startswith(("/", ":", "?", "file:")):
            return url
        return f"{_SQLITE}{Path(file).absolute()}"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - part of the library's signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - as above
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment before the files that `load_settings` read."""
        return (init_settings, env_settings, InitSettingsSource(settings_cls, dict(_file_values.get() or {})))

    @property
    def named_accounts(self) -> Mapping[str, NamedAccount]:
        """Name -> account, of those that `accounts` names."""
        return self._accounts

    @property
    def named_account(self) -> NamedAccount | None:
        """The one that these settings speak of; None for the one of `openai_api_key`, and for the stand-in."""
        return None if self.offline or self.account is None else self._accounts[self.account]

    def of_account(self, name: str | None) -> Settings:
        """The same settings, speaking of this account: None or `default` is that of `openai_api_key`.

        Raises `SettingsError`, which lists the names, when there is no such account.
        """
        account = None if name == DEFAULT_ACCOUNT else name
        if account is not None and account not in self._accounts:
            raise unknown_account(account, self._accounts, self.accounts)
        return self.model_copy(update={"account": account})

    @property
    def api_key(self) -> SecretStr | None:
        """The account's key. Only workers, and who asks the provider for its models, need one."""
        return self.openai_api_key if self.named_account is None else self.named_account.key

    @property
    def base_url(self) -> str | None:
        """The account's server; None for OpenAI's own."""
        return self.openai_base_url if self.named_account is None else self.named_account.base_url

    @property
    def provider(self) -> str:
        """Whose account grades, and at which server, or `standin`: fixed per batch, part of every queue and budget.

        Host, port and path prefix of the base URL, `api.openai.com` for OpenAI, because 443 and /v1 are left out;
        before it the account's name, if it has one (see `workers.contract.account`).
        """
        if self.offline:
            return STANDIN_PROVIDER
        return account_of(self.account, provider_of(self.base_url) if self.base_url else OPENAI_HOST)

    @property
    def provider_host(self) -> str:
        """The host alone: what model profiles go by."""
        if self.offline:
            return STANDIN_PROVIDER
        return (urlsplit(self.base_url).hostname or "") if self.base_url else OPENAI_HOST

    @property
    def minute_limits(self) -> tuple[int | None, int | None]:
        """Requests and tokens per minute of each of the account's models, where settings say them."""
        named = self.named_account
        if named is None:
            return self.requests_per_minute, self.tokens_per_minute
        return named.rpm, named.tpm

    @property
    def day_cap_usd(self) -> float | None:
        """The account's cap of a day; None for none, and for the stand-in, which costs nothing."""
        own = None if self.named_account is None else self.named_account.max_usd_per_day
        return None if self.offline else own or self.max_usd_per_day

    @property
    def is_embedded(self) -> bool:
        """True when broker and store are this machine's own, under `data_dir`."""
        return self.redis_url is None and self.database_url is None


def load_settings(*, inputs: Sequence[Path] = (), **overrides: object) -> Settings:
    """Read all sources now. Raises `SettingsError` naming the setting that cannot be used.

    `inputs`: folders of submissions; no settings file is read from one of them or from a folder within.
    """
    given = {name: value for name, value in overrides.items() if value is not None}
    data_dir = given.get("data_dir")
    files = _read_files(inputs, data_dir if isinstance(data_dir, Path) else None)
    merged = {name: value for _place, values in reversed(files) for name, value in values.items()}
    token = _file_values.set(merged)
    try:
        settings = Settings(**given)  # type: ignore[arg-type]
    except ValidationError as error:
        name, sentence = first_fault(error)
        raise SettingsError(f"setting {name}: {sentence}") from None
    finally:
        _file_values.reset(token)
    settings._sources = _sources(files)  # noqa: SLF001 - this function makes it
    if settings.accounts is not None:
        settings._accounts = _accounts(settings.accounts, inputs, settings.data_dir)  # noqa: SLF001 - as above
    return settings.of_account(settings.account)


def _accounts(path: Path, inputs: Sequence[Path], data_dir: Path) -> Mapping[str, NamedAccount]:
    """Their keys are looked for where every other setting is."""
    try:
        file = trusted_file(path, inputs, data_dir=data_dir, setting="GRADEQUEUE_ACCOUNTS")
        places = settings_files(inputs, data_dir=data_dir, default_data_dir=data_dir)
    except UnsafeFile as error:
        raise SettingsError(str(error)) from None
    return load_accounts(file, Variables([(each.shown, each.path) for each in places]))


def setting_sources() -> Mapping[str, str]:
    """Where each setting that is set was found: "environment", or a file's path (see `settings_files`)."""
    return _sources(_read_files((), None))


def environment_name(field: str) -> str:
    """The variable that a field of `Settings` is read from; the first one where there are two."""
    alias = Settings.model_fields[field].validation_alias
    choices = alias.choices if isinstance(alias, AliasChoices) else [alias]
    return str(choices[0])


def _sources(files: Sequence[tuple[str, Mapping[str, Any]]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for place, values in ((ENVIRONMENT, EnvSettingsSource(Settings, env_ignore_empty=True)()), *files):
        for name in values:
            found.setdefault(name, place)
    return found


def _read_files(inputs: Sequence[Path], data_dir: Path | None) -> list[tuple[str, Mapping[str, Any]]]:
    """Every settings file with its values, the one that wins first."""
    default_data_dir: Path = Settings.model_fields["data_dir"].get_default(call_default_factory=True)
    try:
        files = settings_files(inputs, data_dir=data_dir, default_data_dir=default_data_dir)
    except UnsafeFile as error:
        raise SettingsError(str(error)) from None
    return [(file.shown, _values(file.path)) for file in files]


def _values(path: Path) -> dict[str, Any]:
    try:
        if path.suffix == ".toml":
            values = TomlConfigSettingsSource(Settings, toml_file=path)()
            return {name: value for name, value in values.items() if value != ""}
        return DotEnvSettingsSource(Settings, env_file=path, env_file_encoding="utf-8", env_ignore_empty=True)()
    except UnicodeDecodeError:
        raise SettingsError(f"{path} is not UTF-8 text") from None
    except ValueError:
        raise SettingsError(f"{path} is not valid TOML") from None
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}") from None
