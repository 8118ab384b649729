"""Every model that this set-up is about to ask, with where it is named, and what is to be known of those that end."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError

from producer.inputs.ending_models import ending_notices
from producer.inputs.kits.kit import list_kits, load_kit
from producer.inputs.nightly_file import load_nightly
from workers.contract.errors import GradequeueError
from workers.store import Store
from workers.store.asked_models import models_awaited

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from producer.inputs.kits.kit import Kit
    from workers.settings import Settings

MOST_PLACES = 3
"""Named of one model, and then how many more."""


@dataclass(slots=True)
class NamedModels:
    """Filled place by place; what cannot be read is a sentence of its own."""

    places: dict[str, list[str]] = field(default_factory=dict)
    """Model -> where it is named."""
    unread: dict[str, str] = field(default_factory=dict)
    """Place -> why it cannot be read."""

    def add(self, place: str, *models: object) -> None:
        """Note that the models are named there; None is no model."""
        for model in models:
            if isinstance(model, str) and place not in self.places.setdefault(model, []):
                self.places[model].append(place)

    def where(self, model: str) -> str:
        """In a few words."""
        places = self.places[model]
        more = f" and {len(places) - MOST_PLACES} more" if len(places) > MOST_PLACES else ""
        return f"{', '.join(places[:MOST_PLACES])}{more}"

    def endings(self, settings: Settings, told: Mapping[str, str | None]) -> Iterator[tuple[str, str, str]]:
        """(model, what is to be known of it, where it is named) for those that are shut down or will be soon."""
        for model, notice in ending_notices(self.places, settings, told=told).items():
            yield model, notice, self.where(model)


def named_models(settings: Settings, store_url: str, *, kit: Path | None = None) -> NamedModels:
    """The models of the settings, of the kits they name and `kit`, of nightly regrades, and of unfinished jobs.

    Asks the store once, and reads the rows of unfinished jobs; a store that is away names none.
    """
    found = NamedModels()
    found.add("GRADEQUEUE_MODEL", settings.model)
    folders = [] if kit is None else [kit]
    if settings.kits is not None:
        folders += [settings.kits / name for name in list_kits(settings.kits)]
    for folder in folders:
        if (each := _kit(found, folder)) is not None:
            found.add(f"kit {folder.name}", each.options.get("model"), each.options.get("fallback_model"))
    if settings.nightly is not None:
        _add_nightly(found, settings.nightly)
    for model, names in _awaited(store_url, settings.provider).items():
        for name in names:
            found.add(f"waiting jobs of {name}", model)
    return found


def _kit(found: NamedModels, folder: Path) -> Kit | None:
    try:
        return load_kit(folder)
    except GradequeueError as error:
        found.unread[f"kit {folder.name}"] = str(error)
        return None


def _add_nightly(found: NamedModels, file: Path) -> None:
    try:
        entries = load_nightly(file)
    except GradequeueError as error:
        found.unread["GRADEQUEUE_NIGHTLY"] = str(error)
        return
    for entry in entries:
        kit = _kit(found, file.parent / entry.kit) if entry.kit and entry.model is None else None
        found.add(f"nightly entry {entry.name}", entry.model or (kit and kit.options.get("model")))


def _awaited(store_url: str, provider: str) -> dict[str, list[str]]:
    try:
        store = Store.open(store_url)
    except GradequeueError:
        return {}
    try:
        with store.snapshot() as connection:
            return models_awaited(connection, provider)
    except (GradequeueError, SQLAlchemyError):
        return {}
    finally:
        store.close()
