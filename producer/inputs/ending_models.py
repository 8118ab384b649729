"""Models that are shut down or soon will be, announced before they are asked."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from workers.contract.model_profile import load_profiles

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from workers.settings import Settings


def ending_notices(
    models: Iterable[str | None], settings: Settings, *, told: Mapping[str, str | None] | None = None
) -> dict[str, str]:
    """Model -> one sentence, for those that are shut down or will be within 90 days; None is no model.

    `told`: dates (YYYY-MM-DD) that the provider itself names, which hold against those of the models' file. Raises
    `InvalidInput` for a models' file that cannot be used.
    """
    profiles, today = load_profiles(settings.model_profiles), datetime.now(UTC).date()
    found: dict[str, str] = {}
    for model in dict.fromkeys(filter(None, models)):
        profile = profiles.find(model, settings.provider_host)
        if told and (date := told.get(model)) is not None:
            profile = replace(profile, shutdown_on=date)
        if (notice := profile.shutdown_notice(model, today=today)) is not None:
            found[model] = notice
    return found
