"""One course kit: what the files of a folder say, by their names. An option on the command line wins over the kit.

    kit.toml                     model, parameters, and what follows from no other file
    assignment, solution, notes  .md or .txt
    template                     .md or .txt, with {submission}
    rubric                       .yaml, .json or .csv
    roster.csv                   the class list

Every file may be missing. Comments `<!-- gradequeue: ... -->` are for people and reach no prompt.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from producer.inputs.encodings import Encodings
from producer.inputs.kits.starter import STARTER_RUBRIC
from producer.inputs.templates import Template
from producer.inputs.text import read_text
from workers.contract.errors import InvalidInput
from workers.contract.job import MAX_PROMPT_BYTES, JobParameters
from workers.contract.lane_choice import PriceWish  # noqa: TC001 - pydantic reads it
from workers.contract.model_profile import EFFORTS, VERBOSITIES  # noqa: TC001 - pydantic reads them
from workers.contract.schemes.layout import GIVEN_TITLES
from workers.contract.schemes.open_ranges import LEVEL_POINTS, LevelPoints  # noqa: TC001 - pydantic reads them
from workers.contract.schemes.scheme import CATALOGUE_SCHEMA, RUBRIC_SCHEMA, scheme_from_options
from workers.contract.validation_words import first_fault

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from workers.contract.schemes.scheme import GradingScheme

SETTINGS_FILE = "kit.toml"
_TEXT_SUFFIXES = (".md", ".txt")
_RUBRIC_SUFFIXES = (".yaml", ".yml", ".json", ".csv")
_COMMENT = re.compile(r"<!--\s*gradequeue:.*?-->[ \t]*\n?", re.DOTALL)
_SCHEMES = ("rubric", "catalogue", "schema")


class KitSettings(BaseModel):
    """What `kit.toml` may say. A misspelt key is refused: it would change how the class is graded."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str | None = None
    rubric: str | None = None
    """Id of one of several rubrics in the rubric's file."""
    catalogue: str | None = None
    """FILE[#COURSE[/ASSIGNMENT]] in the kit's folder, in place of a rubric."""
    schema_: Annotated[str | None, Field(alias="schema")] = None
    points: Literal[LEVEL_POINTS] | None = None  # type: ignore[valid-type] # one list for every surface
    effort: Literal[EFFORTS] | None = None  # type: ignore[valid-type]
    verbosity: Literal[VERBOSITIES] | None = None  # type: ignore[valid-type]
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    allow_repair: bool | None = None
    fallback_model: str | None = None
    price: PriceWish | None = None
    deadline: str | None = None
    """A span such as `12h`: give up what has not started by then."""
    layout: str | None = None
    id_column: str | None = None
    account: str | None = None
    """Who pays: a name of the file GRADEQUEUE_ACCOUNTS."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kit:
    """What a folder says. Made by `load_kit`; the empty one says nothing."""

    name: str = ""
    given: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Assignment, solution and notes, of those with a file."""
    template: Template | None = None
    options: Mapping[str, object] = field(default_factory=dict)
    """Option of the command line -> its value, for those that the kit sets."""
    warnings: tuple[str, ...] = ()
    context: Mapping[str, object] | None = field(default=None, repr=False)
    """The rubric or catalogue itself, where no file holds it."""

    def completed(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """The options, with the kit's wherever none was given; a rubric, catalogue or schema of theirs replaces its."""
        has_own = any(options.get(name) for name in _SCHEMES)
        kept = {name: value for name, value in self.options.items() if not (has_own and name in _SCHEMES)}
        return {**options, **{name: value for name, value in kept.items() if options.get(name) in {None, ""}}}

    @property
    def schema(self) -> str | None:
        """The kind of result that the kit asks for."""
        if self.options.get("rubric"):
            return RUBRIC_SCHEMA
        return CATALOGUE_SCHEMA if self.options.get("catalogue") else self.options.get("schema")  # type: ignore[return-value] # a text by `KitSettings`

    @property
    def parameters(self) -> JobParameters:
        """Those that the kit sets, the contract's defaults for the rest."""
        names = ("effort", "verbosity", "max_tokens", "temperature", "allow_repair", "fallback_model")
        given: dict[str, Any] = {name: self.options[name] for name in names if name in self.options}
        return JobParameters(**given)

    @property
    def points(self) -> LevelPoints | None:
        """Which points of a level's range count, if the kit says it."""
        return self.options.get("points")  # type: ignore[return-value] # one of them by `KitSettings`

    def scheme(self) -> GradingScheme | None:
        """Its rubric or catalogue, if it has one."""
        rubric, catalogue = self.options.get("rubric"), self.options.get("catalogue")
        return scheme_from_options(str(rubric) if rubric else None, str(catalogue) if catalogue else None, self.points)


NO_KIT = Kit()


def load_kit(folder: Path) -> Kit:
    """Read the folder. `InvalidInput` names the file that cannot be used and what to do."""
    if not folder.is_dir():
        raise InvalidInput("there is no such folder; make one with: gradequeue init KIT", where=str(folder))
    settings = _settings(folder / SETTINGS_FILE)
    given = {
        name: _without_comments(_text(path))
        for name in GIVEN_TITLES
        if (path := _one_of(folder, name, _TEXT_SUFFIXES)) is not None
    }
    template = _one_of(folder, "template", _TEXT_SUFFIXES)
    rubric = _one_of(folder, "rubric", _RUBRIC_SUFFIXES)
    roster = folder / "roster.csv"
    options = settings.model_dump(exclude_none=True, by_alias=True, exclude={"rubric", "catalogue"})
    options |= _scheme_options(folder, settings, rubric)
    if roster.is_file() and _has_rows(roster):
        options["roster"] = roster
    return Kit(
        name=folder.absolute().name,
        given={name: text for name, text in given.items() if text.strip()},
        template=Template.parse(_without_comments(_text(template)), name=template.name) if template else None,
        options=options,
        warnings=tuple(_warnings(folder, given, rubric)),
    )


def list_kits(folder: Path) -> list[str]:
    """Names of the kits in a folder: its sub-folders with a `kit.toml`. Empty for a folder that cannot be read."""
    try:
        return sorted(each.name for each in folder.iterdir() if (each / SETTINGS_FILE).is_file())
    except OSError:
        return []


def _settings(path: Path) -> KitSettings:
    if not path.exists():
        return KitSettings()
    where = f"{path.parent.name}/{path.name}"
    try:
        return KitSettings.model_validate(tomllib.loads(_text(path)))
    except tomllib.TOMLDecodeError as error:
        raise InvalidInput(f"is not valid TOML: {error}", where=where) from None
    except ValidationError as error:
        place, sentence = first_fault(error)
        known = [field.alias or name for name, field in KitSettings.model_fields.items()]
        message = sentence if place in known else f"unknown key; known are {', '.join(known)}"
        raise InvalidInput(message, where=f"{where} {place}") from None


def _scheme_options(folder: Path, settings: KitSettings, rubric: Path | None) -> dict[str, object]:
    if rubric is not None and settings.catalogue:
        raise InvalidInput(
            f"{rubric.name} is there and catalogue is set; take one of them away",
            where=f"{folder.name}/{SETTINGS_FILE}",
        )
    if rubric is None:
        return {"catalogue": str(folder / settings.catalogue)} if settings.catalogue else {}
    return {"rubric": f"{rubric}#{settings.rubric}" if settings.rubric else str(rubric)}


def _one_of(folder: Path, stem: str, suffixes: tuple[str, ...]) -> Path | None:
    found = [path for suffix in suffixes if (path := folder / f"{stem}{suffix}").is_file()]
    if len(found) > 1:
        names = " and ".join(path.name for path in found)
        raise InvalidInput(f"holds {names}; keep one of them", where=folder.name)
    return found[0] if found else None


def _text(path: Path) -> str:
    return read_text(
        path, where=f"{path.parent.name}/{path.name}", max_bytes=MAX_PROMPT_BYTES, encodings=Encodings(certain=True)
    )


def _without_comments(text: str) -> str:
    return _COMMENT.sub("", text)


def _has_rows(roster: Path) -> bool:
    return sum(1 for line in _text(roster).splitlines() if line.strip(" ,;\t")) > 1


def _warnings(folder: Path, given: Mapping[str, str], rubric: Path | None) -> list[str]:
    empty = [
        f"{folder.name}/{name}: empty, so nothing of it reaches the model" for name in given if not given[name].strip()
    ]
    if rubric is not None and _text(rubric) == STARTER_RUBRIC:
        empty.append(f"{folder.name}/{rubric.name} is still the example that `gradequeue init` wrote; write your own")
    return empty
