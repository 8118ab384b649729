"""The command line that the peers share, and the call that they all make."""

from __future__ import annotations

import argparse
from typing import Any

from ops.bench.quota.contenders import prompt
from ops.bench.quota.scenario import MODEL
from workers.contract.schemas.feedback import Feedback
from workers.contract.strict.schema import schema_name, strict_schema

KEY = "sk-standin"
SDK_RETRIES = 10
"""The setting that people reach for when two are not enough."""


def peer_options() -> argparse.Namespace:
    """Read them."""
    parser = argparse.ArgumentParser()
    parser.add_argument("name")
    parser.add_argument("--jobs", type=int, required=True)
    parser.add_argument("--processes", type=int, required=True)
    parser.add_argument("--in-flight", type=int, required=True)
    parser.add_argument("--max-tokens", type=int, required=True)
    parser.add_argument("--base-url", required=True)
    parser.add_argument("--broker-url", required=True)
    return parser.parse_args()


def call_parameters(number: int, max_tokens: int) -> dict[str, Any]:
    """The request of one job."""
    schema = {"name": schema_name(Feedback), "schema": strict_schema(Feedback), "strict": True}
    return {
        "model": MODEL,
        "messages": [{"role": "user", "content": prompt(number)}],
        "max_tokens": max_tokens,
        "response_format": {"type": "json_schema", "json_schema": schema},
    }
