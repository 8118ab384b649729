"""A project whose default tier is dearer: workers ask for the tier that prices and caps are of."""

from __future__ import annotations

import pytest

from ops.standin.config import Config
from ops.standin.server import running
from tests.integration.test_standin_invoice import client_of, invoice_of
from tests.support.attempts import attempt
from workers.contract.model_profile import ModelProfile
from workers.grading.decide import HEALTHY
from workers.grading.translate import closing_of

MODEL = "gpt-6.1-terra"


def profile(*, takes_tier: bool) -> ModelProfile:
    return ModelProfile(
        token_parameter="max_completion_tokens",
        takes_temperature=False,
        takes_service_tier=takes_tier,
        price_input_usd_per_mtok=1.0,
        price_output_usd_per_mtok=5.0,
    )


@pytest.mark.parametrize(
    ("asks", "takes", "tier"),
    [(True, True, "default"), (True, False, "priority"), (False, True, "priority")],
    ids=["a worker's request", "a model that takes none", "the core's request"],
)
async def test_the_standard_tier_is_asked_for_where_the_model_takes_one_and_the_invoice_agrees(
    *, asks: bool, takes: bool, tier: str
):
    known = profile(takes_tier=takes)
    async with running(Config(project_tier="priority")) as standin, client_of(standin) as client:
        ended = await attempt(client, model=MODEL, profile=known, max_tokens=900, asks_standard_tier=asks)
        [line] = (await invoice_of(standin))["lines"]

    closing = closing_of("a", ended, HEALTHY, known, most_usd=1.0)
    assert (ended.reply.service_tier, closing.service_tier, line["tier"]) == (tier, tier, tier)
    assert ended.reply.parameters_sent.get("service_tier") == ("default" if tier == "default" else None)
    if tier == "default":
        assert closing.cost_usd == pytest.approx(line["usd"])
    else:
        assert closing.cost_usd is None, "what another tier costs is not known, and never taken for the standard price"
