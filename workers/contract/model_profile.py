"""What a model takes, how much it holds and what it costs, from `model_profiles.json` and a user's file over it.

Part of the contract: stdlib only. An unknown model gets the parameters that every server knows; its price is None.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Literal

from workers.contract.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from workers.contract.outcome import Usage

TokenParameter = Literal["max_tokens", "max_completion_tokens"]

OPENAI_HOST = "api.openai.com"
CHARACTERS_PER_TOKEN = 4
"""English prose; *Source*: OpenAI help center, "What are tokens and how to count them" (read November 2026)."""
_TOKENS_PER_PRICE = 1_000_000
_SNAPSHOT = re.compile(r"-(\d{4}-\d{2}-\d{2}|\d{4})$")
_CACHED_LOOKUPS = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelProfile:
    """One model. Prices are US dollars per million tokens; None means unknown, never free."""

    token_parameter: TokenParameter = "max_tokens"  # noqa: S105 - a token of text
    takes_temperature: bool = True
    takes_reasoning_effort: bool = False
    takes_verbosity: bool = False
    service_tiers: tuple[str, ...] = ()
    context_tokens: int | None = None
    """Prompt and answer together."""
    max_output_tokens: int | None = None
    price_input_usd_per_mtok: float | None = None
    price_cached_input_usd_per_mtok: float | None = None
    price_output_usd_per_mtok: float | None = None
    price_holds_up_to_prompt_tokens: int | None = None
    """A longer prompt is charged at another price, which is not kept here."""

    def cost_usd(self, usage: Usage) -> float | None:
        """Cost of one answer, or None when a price it needs is unknown. Reasoning tokens are output tokens."""
        longest = self.price_holds_up_to_prompt_tokens
        if self.price_input_usd_per_mtok is None or (longest is not None and usage.prompt_tokens > longest):
            return None
        parts = (
            (usage.prompt_tokens - usage.cached_tokens, self.price_input_usd_per_mtok),
            (usage.cached_tokens, self.price_cached_input_usd_per_mtok),
            (usage.completion_tokens, self.price_output_usd_per_mtok),
        )
        if any(tokens and price is None for tokens, price in parts):
            return None
        return sum(tokens * price for tokens, price in parts if price is not None) / _TOKENS_PER_PRICE

    def elsewhere(self) -> ModelProfile:
        """Profile of the same model at another server, which has its own prices and tiers."""
        prices = {field.name: None for field in fields(self) if field.name.startswith("price_")}
        return replace(self, service_tiers=(), **prices)  # type: ignore[arg-type] # every price may be None


_Entry = dict[str, object]


class ModelProfiles:
    """Finds profiles by model name: bundled families and models, and the user's own values over them."""

    def __init__(
        self, *, families: Mapping[str, _Entry], models: Mapping[str, _Entry], own: Mapping[str, _Entry]
    ) -> None:
        self._families = [(re.compile(pattern), entry) for pattern, entry in families.items()]
        self._models = models
        self._own = own
        self.find = lru_cache(maxsize=_CACHED_LOOKUPS)(self._find)
        """`find(model, base_url_host=None)`: the profile of a model at a server; None stands for OpenAI itself."""

    def _find(self, model: str, base_url_host: str | None = None) -> ModelProfile:
        names = _spellings(model)
        found = _profile({**self._family(names[-1]), **_first(self._models, names)})
        if base_url_host not in {None, OPENAI_HOST} or model.startswith("ft:"):
            found = found.elsewhere()
        return replace(found, **_first(self._own, names))  # type: ignore[arg-type] # checked when read

    def _family(self, name: str) -> _Entry:
        return next((entry for pattern, entry in self._families if pattern.fullmatch(name)), {})


def profile_of(model: str, base_url_host: str | None = None, *, profiles: ModelProfiles | None = None) -> ModelProfile:
    """Find the profile of a model; unknown ones get what every server takes. Never raises.

    A snapshot (`-2024-08-06`), a fine-tune (`ft:`) and a vendor prefix (`openai/`) are read as their model. Bundled
    prices hold for OpenAI itself and not for fine-tunes; a user's own hold everywhere.
    """
    return (profiles or load_profiles()).find(model, base_url_host)


def cost_usd(
    model: str, usage: Usage, base_url_host: str | None = None, *, profiles: ModelProfiles | None = None
) -> float | None:
    """Cost of one answer; None when the model's price is unknown, never 0 for that reason."""
    return profile_of(model, base_url_host, profiles=profiles).cost_usd(usage)


def estimate_tokens(text: str) -> int:
    """Estimate how many tokens a text has, rounded up: about four characters each.

    Within a few percent for English prose; code and other scripts need more tokens than this says.
    """
    return -(-len(text) // CHARACTERS_PER_TOKEN)


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
    """Every name a profile may stand under, the most exact first."""
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
    if name.startswith("takes_"):
        return isinstance(value, bool)
    if name == "service_tiers":
        return isinstance(value, list) and all(isinstance(tier, str) for tier in value)
    return value is None or _is_valid_number(name, value)


def _is_valid_number(name: str, value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return False
    return value >= 0 if name.endswith("_per_mtok") else isinstance(value, int) and value > 0
