"""The catalogue of models: which names exist, how large they are, and which parameters they take.

*Source*: OpenAI's public model and deprecation pages as of `CATALOGUE_DATE`. Names follow families, so a new snapshot
of a known family is accepted; a misspelt family is not, and neither is a model that was shut down by that date.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from ops.standin import errors


@dataclass(frozen=True, slots=True)
class Model:
    """What the API lets a caller do with one model; sizes are tokens."""

    name: str
    snapshot: str
    """The dated name that answers: an alias such as gpt-4o answers as gpt-4o-2024-08-06."""
    limit_name: str
    """Rate limits are shared by an alias and its snapshots; this is the name they share."""
    context_tokens: int
    answer_tokens: int
    takes_json_schema: bool = True
    reasons: bool = False
    efforts: tuple[str, ...] = ()
    """The values of reasoning_effort it takes; empty when it does not know the parameter."""
    takes_verbosity: bool = False
    effort_by_default: str | None = None
    temperature_without_effort: bool = False
    """The model takes sampling parameters while its reasoning effort is "none"."""
    takes_breakpoints: bool = False
    """Prompt caching by breakpoints, with writes that cost (from gpt-5.6 on); else automatic and free to write."""
    picture_base_tokens: int = 85
    picture_tile_tokens: int | None = 170
    """Of a picture and each of its tiles; None for a model that does not see."""
    shutdown_date: str | None = None
    """As GET /v1/models lists it; None when none is announced."""

    def takes_sampling(self, effort: str | None) -> bool:
        """Whether temperature and its kin may differ from their defaults at this reasoning effort."""
        if not self.reasons:
            return True
        return self.temperature_without_effort and (effort or self.effort_by_default) == "none"


CATALOGUE_DATE = "2026-11-27"
"""What was shut down by then is not found. A fixed day: the stand-in answers alike whenever it is asked."""

_SHUTDOWNS = {
    "gpt-3.5-turbo": "2026-10-23",
    "gpt-4": "2026-10-23",
    "gpt-4-turbo": "2026-10-23",
    "gpt-4o-2024-05-13": "2026-10-23",
    "gpt-4.1-nano": "2026-10-23",
    "o1": "2026-10-23",
    "o1-mini": "2026-10-23",
    "o1-preview": "2026-10-23",
    "o3-mini": "2026-10-23",
    "o4-mini": "2026-10-23",
    "gpt-5": "2026-12-11",
    "gpt-5-mini": "2026-12-11",
    "gpt-5-nano": "2026-12-11",
    "o3": "2026-12-11",
    "gpt-4o": "2027-01-14",
    "gpt-4o-mini": "2027-01-14",
    "gpt-4.1": "2027-01-14",
    "gpt-4.1-mini": "2027-01-14",
    "gpt-5.1": "2027-04-01",
    "gpt-5.4-nano": "2027-04-01",
}

_SNAPSHOTS = {
    "gpt-3.5-turbo": "gpt-3.5-turbo-0125",
    "gpt-4": "gpt-4-0613",
    "gpt-4-turbo": "gpt-4-turbo-2024-04-09",
    "gpt-4o": "gpt-4o-2024-08-06",
    "gpt-4o-mini": "gpt-4o-mini-2024-07-18",
    "gpt-4.1": "gpt-4.1-2025-04-14",
    "gpt-4.1-mini": "gpt-4.1-mini-2025-04-14",
    "gpt-4.1-nano": "gpt-4.1-nano-2025-04-14",
    "gpt-5": "gpt-5-2025-08-07",
    "gpt-5-mini": "gpt-5-mini-2025-08-07",
    "gpt-5-nano": "gpt-5-nano-2025-08-07",
    "gpt-5.1": "gpt-5.1-2025-11-13",
    "gpt-5.2": "gpt-5.2-2025-12-11",
    "gpt-5.4": "gpt-5.4-2026-03-05",
    "o1": "o1-2024-12-17",
    "o3": "o3-2025-04-16",
    "o3-mini": "o3-mini-2025-01-31",
    "o4-mini": "o4-mini-2025-04-16",
}

_O_EFFORTS = ("low", "medium", "high")
_PLAIN = Model("", "", "", 128_000, 16_384)
_UNSTRUCTURED = replace(_PLAIN, takes_json_schema=False)
_BLIND = replace(_UNSTRUCTURED, picture_tile_tokens=None)
_O_SERIES = Model("", "", "", 200_000, 100_000, reasons=True, efforts=_O_EFFORTS)
_GPT_5 = Model("", "", "", 400_000, 128_000, reasons=True, takes_verbosity=True, efforts=("minimal", *_O_EFFORTS))
_GPT_5_LATER = replace(_GPT_5, efforts=("none", *_O_EFFORTS, "xhigh"), temperature_without_effort=True)
_GPT_6 = replace(
    _GPT_5_LATER,
    context_tokens=1_050_000,
    efforts=("none", *_O_EFFORTS, "xhigh", "max"),
    takes_breakpoints=True,
)
_GPT_6_ALWAYS = replace(_GPT_6, efforts=_GPT_6.efforts[1:])
"""Reasons at every effort it takes."""

# First match wins, so a narrower family comes before the wider one.
_FAMILIES: tuple[tuple[str, Model], ...] = (
    (r"gpt-3\.5-turbo", replace(_BLIND, context_tokens=16_385, answer_tokens=4_096)),
    (r"gpt-4-turbo", replace(_UNSTRUCTURED, answer_tokens=4_096)),
    (r"gpt-4", replace(_BLIND, context_tokens=8_192, answer_tokens=8_192)),
    (r"gpt-4o-2024-05-13", replace(_UNSTRUCTURED, answer_tokens=4_096)),
    (r"gpt-4o", _PLAIN),
    (r"gpt-4\.1", Model("", "", "", 1_047_576, 32_768)),
    (r"chatgpt-4o", _UNSTRUCTURED),
    (r"gpt-5(\.\d+)?-(chat|pro|codex)", replace(_GPT_5, efforts=(*_O_EFFORTS, "xhigh"))),
    (r"gpt-5\.1", replace(_GPT_5_LATER, efforts=("none", *_O_EFFORTS), effort_by_default="none")),
    (r"gpt-5\.[2-4]", replace(_GPT_5_LATER, effort_by_default="none")),
    (r"gpt-5\.5", replace(_GPT_5_LATER, context_tokens=1_050_000)),
    (r"gpt-5\.6(-(sol|terra|luna))?", _GPT_6),
    (r"gpt-6\.1-sol", _GPT_6_ALWAYS),
    (r"gpt-6\.2-(sol|astra)", _GPT_6_ALWAYS),
    (r"gpt-6-(astra|sol|luna)", _GPT_6),
    (r"gpt-6\.1-terra", _GPT_6),
    (r"gpt-5", _GPT_5),
    (r"o1-(mini|preview)", replace(_BLIND, answer_tokens=65_536, reasons=True)),
    (r"o3-mini", replace(_O_SERIES, picture_tile_tokens=None)),
    (r"o[134]", _O_SERIES),
    (r"standin", _PLAIN),
)
_UNDATED = (
    *("gpt-6.2-astra", "gpt-6.2-sol", "gpt-6.1-sol", "gpt-6.1-terra", "gpt-6-astra", "gpt-6-sol", "gpt-6-luna"),
    *("gpt-5.6-sol", "gpt-5.6-terra", "gpt-5.6-luna", "gpt-5.4-mini", "gpt-5.4-nano"),
)
"""Names that are their own only snapshot."""
_DATE = re.compile(r"-(\d{4}-\d{2}-\d{2}|\d{4})$")


def find_model(name: str, *, any_model: bool = False) -> Model:
    """The model of this name; ApiError 404 where OpenAI knows none any more, unless every name is accepted."""
    for family, model in _FAMILIES:
        if re.fullmatch(rf"{family}(-[a-z0-9-]+)?", name):
            found = _named(model, name)
            if found.shutdown_date is None or found.shutdown_date > CATALOGUE_DATE or any_model:
                return found
            break
    if any_model:
        return _named(_PLAIN, name)
    raise errors.unknown_model(name)


def listed_models() -> tuple[Model, ...]:
    """What GET /v1/models lists: every alias that still answers, with its snapshot, and the stand-in's own."""
    names = (*_UNDATED, *_SNAPSHOTS, *_SNAPSHOTS.values(), "standin")
    found = (find_model(name, any_model=True) for name in names)
    return tuple(model for model in found if model.shutdown_date is None or model.shutdown_date > CATALOGUE_DATE)


def _named(model: Model, name: str) -> Model:
    alias = _DATE.sub("", name)
    return replace(
        model,
        name=name,
        snapshot=_SNAPSHOTS.get(name, name),
        limit_name=alias,
        shutdown_date=_SHUTDOWNS.get(name) or _SHUTDOWNS.get(alias),
    )
