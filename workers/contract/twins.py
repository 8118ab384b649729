"""Twins: jobs of one batch that ask for the same grading of the same work. They are graded once.

Part of the contract: standard library only. The producer computes the keys; the store compares nothing else.
"""

from __future__ import annotations

import ast
import hashlib
import json
import warnings
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING

from workers.contract.job import instructions_content
from workers.contract.same import Same

if TYPE_CHECKING:
    from workers.contract.job import JobParameters, JobSpec

KEY_LENGTH = 32
"""Hex digits: 128 bits, which no two different works of a course share by chance."""
LONGEST_PARSED = 200_000
"""Characters; what is longer is compared as text."""


class TwinRule(StrEnum):
    """When two works are the same."""

    OFF = "off"
    """Never: every job is graded by itself."""
    EXACT = "exact"
    """Line ends and white space at the ends of lines and of the work apart."""
    NEAR = "near"
    """For work that is a Python program: comments and formatting apart. Line numbers then are the first one's."""

    def normal(self, text: str) -> str:
        """The text shared by all works that count as the same as this one."""
        lines = "\n".join(line.rstrip() for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n"))
        bare = lines.rstrip("\n")
        return (_syntax(bare) or bare) if self is TwinRule.NEAR else bare


def _syntax(text: str) -> str | None:
    """The program's syntax tree as text, docstrings included; None for what is no Python program."""
    if not text.strip() or len(text) > LONGEST_PARSED:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.dump(ast.parse(text))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def twin_key(spec: JobSpec, *, schema_fingerprint: str, context_hash: str | None) -> str:
    """Equal for two jobs of one batch exactly when work, instructions, schema, model and parameters are the same."""
    instructions = instructions_content(spec).get("instructions")
    before = _before_work(Same(spec.parameters), instructions, spec.model, schema_fingerprint, context_hash)
    written = f"{before}{json.dumps(spec.likeness or spec.prompt_hash)}}}"
    return hashlib.sha256(written.encode()).hexdigest()[:KEY_LENGTH]


@lru_cache(maxsize=64)
def _before_work(
    parameters: Same[JobParameters], instructions: str | None, model: str, schema: str, context: str | None
) -> str:
    """What the jobs of a batch share of the JSON that is hashed, whose keys are sorted."""
    shared = {"schema": schema, "context": context, "model": model, "parameters": parameters.it.identity()}
    if instructions is not None:
        shared["instructions"] = instructions
    return f'{json.dumps(shared, sort_keys=True)[:-1]}, "work": '
