"""Requests validate against the API's public OpenAPI document, where it lies beside the checkout.

Put `openapi.json` or `openapi.yaml` of github.com/openai/openai-openapi into a folder `openai-openapi` beside this
checkout; the test also needs jsonschema, and PyYAML for the second.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock

import pytest

from workers.completion.attempt import CompletionRequest, attempt_completion
from workers.completion.repair import Repair
from workers.contract.schemas.error_report import ErrorReport
from workers.contract.schemas.feedback import Feedback

FOLDER = Path(__file__).parents[4] / "openai-openapi"


@pytest.fixture(scope="module")
def validator() -> Any:
    found = next((path for name in ("json", "yaml") if (path := FOLDER / f"openapi.{name}").is_file()), None)
    if found is None:
        pytest.skip("the OpenAPI document does not lie beside this checkout")
    jsonschema = pytest.importorskip("jsonschema")
    text = found.read_text(encoding="utf-8")
    document = json.loads(text) if found.suffix == ".json" else pytest.importorskip("yaml").safe_load(text)
    reference = {"$ref": "#/components/schemas/CreateChatCompletionRequest"}
    return jsonschema.Draft202012Validator(document | reference)


@pytest.mark.parametrize("model", ["gpt-4o", "gpt-5-mini", "o3", "llama3.2"])
@pytest.mark.parametrize("schema_model", [Feedback, ErrorReport])
@pytest.mark.parametrize("repair", [None, Repair("{}", ({"loc": ["score"], "msg": "Field required"},))])
async def test_a_request_is_one_that_the_document_allows(
    validator: Any, model: str, schema_model: Any, repair: Repair | None
):
    client = AsyncMock()
    client.chat.completions.create.side_effect = TimeoutError

    await attempt_completion(
        client, CompletionRequest(prompt="Grade this", model=model, schema_model=schema_model, repair=repair)
    )

    body = client.chat.completions.create.call_args.kwargs
    assert [error.message for error in validator.iter_errors(body)] == []
