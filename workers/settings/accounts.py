"""The file of GRADEQUEUE_ACCOUNTS: accounts beside that of OPENAI_API_KEY, each with a key, a server and limits.

[course-b]                              # the name that `--account` takes
key_variable = "COURSE_B_KEY"           # where its key is: a variable of the environment or of a settings file,
key_file = "/run/secrets/course-b"      # or a file with nothing else in it; relative to this file
base_url = "https://gateway.edu/v1"     # optional: OpenAI's own server
rpm = 500                               # optional: the provider's limits per model, where its headers do not say them
tpm = 200000
max_usd_per_day = 20                    # optional: below GRADEQUEUE_MAX_USD_PER_DAY, which holds for all together

A key itself is refused in the file, which producers and pages read too. Without any key, `base_url` is that of a server
that wants none.
"""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, create_model, model_validator
from pydantic_settings import BaseSettings, DotEnvSettingsSource

from workers.contract.account import DEFAULT_ACCOUNT, is_account_name
from workers.contract.validation_words import first_fault
from workers.settings.error import SettingsError, UnknownAccount
from workers.settings.files import ENVIRONMENT
from workers.settings.provider import provider_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

KEYLESS = "no-key"
"""Sent where a server wants no key: the SDK insists on one."""


class _Entry(BaseModel):
    """One table of the file. Unknown keys are refused: a misspelt limit would cost money."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    key_variable: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] | None = None
    key_file: str | None = None
    base_url: str | None = Field(default=None, repr=False)
    rpm: Annotated[int, Field(ge=1, strict=True)] | None = None
    tpm: Annotated[int, Field(ge=1, strict=True)] | None = None
    max_usd_per_day: Annotated[float, Field(gt=0)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _holds_no_key(cls, given: Any) -> Any:
        if isinstance(given, dict) and not {"key", "api_key"}.isdisjoint(given):
            raise ValueError("a key does not belong in this file; name its variable (key_variable) or file (key_file)")
        return given

    @model_validator(mode="after")
    def _says_where_its_key_is(self) -> _Entry:
        if self.key_variable and self.key_file:
            raise ValueError("has both key_variable and key_file; say one")
        if not (self.key_variable or self.key_file or self.base_url):
            raise ValueError('has no key; say where it is, such as key_variable = "COURSE_B_KEY"')
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedAccount:
    """One account of the file, with what was found of its key when settings were loaded."""

    name: str
    where: str
    """File and table, for people."""
    base_url: str | None = field(default=None, repr=False)
    rpm: int | None = None
    """Requests per minute of each model, as the tokens."""
    tpm: int | None = None
    max_usd_per_day: float | None = None
    key_variable: str | None = None
    key_line: str = ""
    """Where its key was found, or what is missing; never the key."""
    key: SecretStr | None = field(default=None, repr=False)
    """None: this process does not have it, and asks nothing of this account."""

    @property
    def needs_key(self) -> bool:
        """False where the file names none, because its server wants none."""
        return self.key is None or self.key.get_secret_value() != KEYLESS


class Variables:
    """Variables by name: of the environment, then of settings files, the one that wins first."""

    def __init__(self, files: Sequence[tuple[str, Path]]) -> None:
        """`files`: what each is called, and its path."""
        self._files = files

    def find(self, name: str) -> tuple[str, str] | None:
        """Its value and where it was found; an empty one counts as not set."""
        if os.environ.get(name, "").strip():
            return os.environ[name], ENVIRONMENT
        found = ((_in_file(path, name), shown) for shown, path in self._files)
        return next(((value, shown) for value, shown in found if value and value.strip()), None)


def load_accounts(path: Path, variables: Variables) -> dict[str, NamedAccount]:
    """Name -> account. Raises `SettingsError` naming the file, the account and the field that cannot be used.

    A key that is not here is no error: producers need none, and a worker serves the accounts whose keys it has.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError):
        raise SettingsError(f"{path} is not valid TOML") from None
    return {name: _account(name, content, path, variables) for name, content in document.items()}


def unknown_account(name: str, accounts: Mapping[str, NamedAccount], path: Path | None) -> UnknownAccount:
    """What to say to who named it."""
    if path is None:
        return UnknownAccount(f"there is no account {name!r}: no file names any; set GRADEQUEUE_ACCOUNTS to one")
    names = ", ".join([*sorted(accounts), DEFAULT_ACCOUNT])
    return UnknownAccount(f"there is no account {name!r}; {path} names: {names}")


def _account(name: str, content: object, path: Path, variables: Variables) -> NamedAccount:
    where = f"{path} [{name}]"
    if not is_account_name(name):
        raise SettingsError(
            f"{where}: an account's name has 1 to 40 of a-z, 0-9, _ and -, and is not {DEFAULT_ACCOUNT!r}, "
            "which is the account of OPENAI_API_KEY"
        )
    try:
        entry = _Entry.model_validate(content)
    except ValidationError as error:
        place, sentence = first_fault(error)
        raise SettingsError(f"{where} {place}: {sentence}" if place else f"{where}: {sentence}") from None
    if entry.base_url is not None:
        provider_of(entry.base_url, setting=f"{where} base_url")
    key, line = _key(entry, path, variables)
    return NamedAccount(
        name=name,
        where=where,
        base_url=entry.base_url,
        rpm=entry.rpm,
        tpm=entry.tpm,
        max_usd_per_day=entry.max_usd_per_day,
        key_variable=entry.key_variable,
        key_line=line,
        key=None if key is None else SecretStr(key),
    )


def _key(entry: _Entry, path: Path, variables: Variables) -> tuple[str | None, str]:
    if entry.key_variable is not None:
        found = variables.find(entry.key_variable)
        if found is None:
            return None, f"no key: {entry.key_variable} is not set"
        return found[0], f"{entry.key_variable} from {found[1]}"
    if entry.key_file is None:
        return KEYLESS, "no key"
    file = path.parent / Path(entry.key_file).expanduser()
    try:
        key = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return None, f"no key: {file} cannot be read"
    return (key, f"the key in {file}") if key else (None, f"no key: {file} is empty")


def _in_file(path: Path, name: str) -> str | None:
    """Other readers have refused a file that is broken."""
    try:
        if path.suffix == ".toml":
            value = tomllib.loads(path.read_text(encoding="utf-8")).get(name)
        else:
            one = create_model("one", __base__=BaseSettings, value=(str | None, Field(validation_alias=name)))
            value = DotEnvSettingsSource(one, env_file=path, env_file_encoding="utf-8")().get(name)
    except (OSError, ValueError):
        return None
    return value if isinstance(value, str) else None
