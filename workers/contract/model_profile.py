"""What a model takes, how much it holds and what it costs, from `model_profiles.json` and a user's file over it.

Part of the contract: stdlib only. An unknown model gets the parameters that every server knows; its price is None.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, fields, replace
from datetime import date
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Literal, TypeGuard

from workers.contract.errors import InvalidInput
from workers.contract.lane import Lane

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from workers.contract.outcome import Usage

TokenParameter = Literal["max_tokens", "max_completion_tokens"]
InstructionsRole = Literal["developer", "system"]

OPENAI_HOST = "api.openai.com"
EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
"""Values of `reasoning_effort`; no model takes every one. *Source*: openai 3.54, types/shared/reasoning_effort.py."""
VERBOSITIES = ("low", "medium", "high")
"""Values of `verbosity`. *Source*: openai 3.54, types/chat/completion_create_params.py."""
NOTICE_DAYS = 90
"""A term: a course that starts with a model should know that it will not last."""
_TOKENS_PER_PRICE = 1_000_000
_STANDARD_TIERS = frozenset({None, "auto", "default"})
"""None: a server that names no tier has one."""
_SNAPSHOT = re.compile(r"-(\d{4}-\d{2}-\d{2}|\d{4})$")
_CACHED_LOOKUPS = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelProfile:
    """One model. Prices are US dollars per million tokens; None means unknown, never free."""

    token_parameter: TokenParameter = "max_tokens"  # noqa: S105 - a token of text
    takes_temperature: bool = True
    efforts: tuple[str, ...] | None = None
    """Values of `reasoning_effort` it takes; empty where it does not know the parameter, None where nobody knows."""
    default_effort: str | None = None
    """What it does without the parameter; None for a model that does not reason."""
    takes_verbosity: bool = False
    instructions_role: InstructionsRole = "system"
    """Of the message that holds the instructor's part; `developer` is OpenAI's own."""
    takes_cache_key: bool = False
    """Takes `prompt_cache_key`, which routes requests with equal beginnings to one cache."""
    takes_service_tier: bool = False
    """Takes `service_tier`; without it, the account's own default serves, which may cost more than these prices."""
    charges_larger: bool = False
    """A request takes from the token limit the larger of its prompt and its output limit; elsewhere, the sum of both.
    *Source*: OpenAI, "Rate limits" (read November 2026)."""
    takes_cache_breakpoint: bool = False
    """Takes an explicit end of the part of a prompt that is to be cached."""
    takes_pictures: bool = False
    """Sees: takes pictures as content parts. Of unknown models nobody knows, so they get none."""
    picture_base_tokens: int | None = None
    picture_tile_tokens: int | None = None
    """Tokens of a picture and of each of its tiles; None where patches are counted (see `pictures`)."""
    most_picture_patches: int | None = None
    picture_patch_factor: float = 1.0
    takes_length_limits: bool = False
    """Whether the server holds `minLength` and `maxLength`. On vLLM's default engine a limited string can hold no line
    break, quotation mark or backslash, so they are sent only where a profile says so."""
    context_tokens: int | None = None
    """Prompt and answer together."""
    max_output_tokens: int | None = None
    price_input_usd_per_mtok: float | None = None
    price_cached_input_usd_per_mtok: float | None = None
    price_cache_write_usd_per_mtok: float | None = None
    price_output_usd_per_mtok: float | None = None
    long_prompt_tokens: int | None = None
    """A longer prompt multiplies the price of the whole request by the two factors."""
    long_prompt_input_factor: float = 1.0
    long_prompt_output_factor: float = 1.0
    shutdown_on: str | None = None
    """Date (YYYY-MM-DD) from which the provider answers no more; None when none is announced."""
    replacement: str | None = None
    """The model that the provider names in its place."""
    source: str | None = None
    read_on: str | None = None
    """Date (YYYY-MM-DD) on which the source was read."""

    @property
    def reasons(self) -> bool:
        """Whether tokens that nobody sees come out of the output limit, unless the effort is `none`."""
        return self.default_effort is not None

    @property
    def has_price(self) -> bool:
        """Whether the most that a request can cost is known."""
        return self.price_input_usd_per_mtok is not None and self.price_output_usd_per_mtok is not None

    def cost_usd(self, usage: Usage, *, tier: str | None = None, lane: Lane = Lane.LIVE) -> float | None:
        """Cost of one answer, or None when a price it needs is unknown. Reasoning tokens are output tokens.

        `tier` is the one that served; the prices are of the standard tier, so that of another one is unknown. `lane`
        is the one in which the request was sent.
        """
        if tier not in _STANDARD_TIERS:
            return None
        if not self._is_long(usage):
            return self._sum_usd(usage, lane=lane)
        return self._sum_usd(
            usage, lane=lane, input_factor=self.long_prompt_input_factor, output_factor=self.long_prompt_output_factor
        )

    def surcharge_usd(self, usage: Usage, *, tier: str | None = None, lane: Lane = Lane.LIVE) -> float | None:
        """The part of `cost_usd` that is due because the prompt was long; None as there."""
        cost, plain = self.cost_usd(usage, tier=tier, lane=lane), self._sum_usd(usage, lane=lane)
        return None if cost is None or plain is None else cost - plain

    def _is_long(self, usage: Usage) -> bool:
        return self.long_prompt_tokens is not None and usage.prompt_tokens > self.long_prompt_tokens

    def _sum_usd(
        self, usage: Usage, *, lane: Lane, input_factor: float = 1.0, output_factor: float = 1.0
    ) -> float | None:
        if self.price_input_usd_per_mtok is None:
            return None
        plain = usage.prompt_tokens - usage.cached_tokens - usage.cache_write_tokens
        parts = (
            (plain, self.price_input_usd_per_mtok, input_factor),
            (usage.cached_tokens, self.price_cached_input_usd_per_mtok, input_factor),
            (usage.cache_write_tokens, self.price_cache_write_usd_per_mtok, input_factor),
            (usage.completion_tokens, self.price_output_usd_per_mtok, output_factor),
        )
        if any(tokens and price is None for tokens, price, _ in parts):
            return None
        live = sum(tokens * price * factor for tokens, price, factor in parts if price is not None) / _TOKENS_PER_PRICE
        return live * lane.price_factor

    def days_to_shutdown(self, today: date) -> int | None:
        """Days until the provider stops answering, negative once it has; None when no date is announced."""
        return None if self.shutdown_on is None else (date.fromisoformat(self.shutdown_on) - today).days

    def shutdown_notice(self, model: str, *, today: date) -> str | None:
        """One sentence when the model is shut down or will be within `NOTICE_DAYS`; None otherwise."""
        days = self.days_to_shutdown(today)
        if days is None or days > NOTICE_DAYS:
            return None
        end = (
            f"was shut down on {self.shutdown_on}" if days <= 0 else f"shuts down on {self.shutdown_on}, in {days} days"
        )
        instead = f"; the provider names {self.replacement} in its place" if self.replacement else ""
        return f"{model} {end}{instead}"

    def elsewhere(self) -> ModelProfile:
        """Profile of the same model at another server, which has its own prices and its own end."""
        unknown = {field.name: None for field in fields(self) if field.name.startswith("price_")}
        return replace(
            self,
            long_prompt_tokens=None,
            shutdown_on=None,
            replacement=None,
            instructions_role="system",
            takes_cache_key=False,
            takes_service_tier=False,
            charges_larger=False,
            takes_cache_breakpoint=False,
            **unknown,  # type: ignore[arg-type] # every price may be None
        )


_Entry = dict[str, object]


class ModelProfiles:
    """Finds profiles by model name: bundled families and models, and the user's own values over them."""

    def __init__(
        self, *, families: Mapping[str, _Entry], models: Mapping[str, _Entry], own: Mapping[str, _Entry]
    ) -> None:
        self._families = [(re.compile(pattern), entry) for pattern, entry in families.items()]
        self._models = models
        self._own = own
        self.named = tuple({**models, **own})
        """Every model with an entry of its own, bundled ones first."""
        self.find = lru_cache(maxsize=_CACHED_LOOKUPS)(self._find)
        """`find(model, base_url_host=None)`: the profile of a model at a server; None means OpenAI itself."""

    def _find(self, model: str, base_url_host: str | None = None) -> ModelProfile:
        names = _spellings(model)
        found = _profile({**self._family(names[-1]), **_first(self._models, names)})
        if base_url_host not in {None, OPENAI_HOST} or model.startswith("ft:"):
            found = found.elsewhere()
        return replace(found, **_first(self._own, names))  # type: ignore[arg-type] # checked when read

    def names_at(self, base_url_host: str | None, *, today: date) -> tuple[str, ...]:
        """Models with an entry of their own that this server is known to have and that are not shut down by `today`."""
        known = self.named if base_url_host in {None, OPENAI_HOST} else tuple(self._own)
        return tuple(
            name
            for name in known
            if (days := self.find(name, base_url_host).days_to_shutdown(today)) is None or days > 0
        )

    def is_unknown_at(self, model: str, base_url_host: str | None) -> bool:
        """Whether OpenAI is known to have no such model; of another server nobody knows, so False."""
        names = _spellings(model)
        return base_url_host in {None, OPENAI_HOST} and not (_first(self._models, names) or _first(self._own, names))

    def _family(self, name: str) -> _Entry:
        return next((entry for pattern, entry in self._families if pattern.fullmatch(name)), {})


def profile_of(model: str, base_url_host: str | None = None, *, profiles: ModelProfiles | None = None) -> ModelProfile:
    """Find the profile of a model; unknown ones get what every server takes. Never raises.

    A snapshot (`-2024-08-06`), a fine-tune (`ft:`) and a vendor prefix (`openai/`) are read as their model. Bundled
    prices hold for OpenAI itself and not for fine-tunes; a user's own hold everywhere.
    """
    return (profiles or load_profiles()).find(model, base_url_host)


@lru_cache(maxsize=8)
def load_profiles(own: Path | None = None) -> ModelProfiles:
    """Read the bundled profiles and a user's file over them, once per path.

    The user's file holds `{"models": {NAME: {FIELD: VALUE}}}`; fields left out keep their bundled value.
    Raises `InvalidInput` naming the file and the entry that cannot be used.
    """
    bundled = files("workers.contract").joinpath("model_profiles.json").read_text(encoding="utf-8")
    where = "model_profiles.json"
    return ModelProfiles(
        families=_entries(bundled, "families", where),
        models=_entries(bundled, "models", where),
        own={} if own is None else _entries(_read(own), "models", str(own)),
    )


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"the model profiles cannot be read ({type(error).__name__})", where=str(path)) from None


def _spellings(model: str) -> list[str]:
    """Every name a profile may have, the most exact first."""
    base = model.split(":")[1] if model.startswith("ft:") else model
    names = [model, base, base.rsplit("/", 1)[-1]]
    return list(dict.fromkeys([*names, *(_SNAPSHOT.sub("", name) for name in names)]))


def _first(entries: Mapping[str, _Entry], names: list[str]) -> _Entry:
    return next((entries[name] for name in names if name in entries), {})


def _profile(entry: _Entry) -> ModelProfile:
    return ModelProfile(**entry)  # type: ignore[arg-type] # checked when read


def _entries(text: str, part: str, where: str) -> dict[str, _Entry]:
    try:
        content = json.loads(text)
    except ValueError as error:
        raise InvalidInput(f"not valid JSON ({error})", where=where) from None
    found = content.get(part) if isinstance(content, dict) else None
    if not isinstance(found, dict):
        raise InvalidInput(f'must be a JSON object with "{part}"', where=where)
    return {name: _checked(entry, f"{where}: {name}") for name, entry in found.items()}


def _checked(entry: object, where: str) -> _Entry:
    if not isinstance(entry, dict):
        raise InvalidInput("a profile must be a JSON object", where=where)
    names = [field.name for field in fields(ModelProfile)]
    for name, value in entry.items():
        if name not in names:
            raise InvalidInput(f"{name!r} is not a field of a profile; fields are: {', '.join(names)}", where=where)
        if not _is_valid(name, value):
            raise InvalidInput(f"{name!r} cannot be {value!r}", where=where)
    return {name: tuple(value) if isinstance(value, list) else value for name, value in entry.items()}


def _is_valid(name: str, value: object) -> bool:
    if name == "token_parameter":
        return value in {"max_tokens", "max_completion_tokens"}
    if name == "instructions_role":
        return value in {"developer", "system"}
    if name.startswith(("takes_", "charges_")):
        return isinstance(value, bool)
    if name == "efforts":
        return isinstance(value, list) and set(value) <= set(EFFORTS)
    if name.endswith("_factor"):
        return _is_number(value) and value >= 1
    return value is None or _is_valid_or_unknown(name, value)


def _is_valid_or_unknown(name: str, value: object) -> bool:
    if name == "default_effort":
        return value in EFFORTS
    if name.endswith("_on"):
        return isinstance(value, str) and _is_date(value)
    if name in {"replacement", "source"}:
        return isinstance(value, str) and bool(value.strip())
    return _is_number(value) and (value >= 0 if name.endswith("_per_mtok") else isinstance(value, int) and value > 0)


def _is_number(value: object) -> TypeGuard[int | float]:
    return not isinstance(value, bool) and isinstance(value, int | float) and math.isfinite(value)


def _is_date(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False
