"""What a producer asks for, and what makes two jobs the same.

Part of the contract: stdlib and pydantic only. Raises `InvalidInput` on what no worker could do.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING

from workers.contract.errors import InvalidInput
from workers.contract.model_profile import EFFORTS, VERBOSITIES
from workers.contract.same import Same

if TYPE_CHECKING:
    from collections.abc import Mapping

    from workers.contract.flag import Flag

MAX_PROMPT_BYTES = 4 * 1024 * 1024
"""A prompt above 4 MiB exceeds the context of every model on offer; it is a mistake in the input."""
MAX_ITEM_ID_LENGTH = 255
"""Keeps the key (batch, item id) indexable on every store."""
MAX_NAME_LENGTH = 255
"""Of a schema and a model: their columns hold no more."""
_NOT_IN_A_NAME = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_NOT_IN_A_TEXT = re.compile("[\x00-\x08\x0e-\x1f\x7f\ud800-\udfff]")
"""Whitespace is text; the rest moves a terminal's cursor, or no database takes it."""
MAX_TEMPERATURE = 2.0
"""The API's own upper bound."""
DEFAULT_MAX_TOKENS = 4096
"""Of an answer; what a model reasons before it comes on top (see `model_parameters.output_limit`)."""


def check_name(what: str, name: str, *, max_length: int = MAX_NAME_LENGTH) -> None:
    """Refuse what no table, terminal or file name can show. `what` names it in the message: "id", "batch name"."""
    if not name or len(name) > max_length:
        raise InvalidInput(f"{what} must have 1 to {max_length} characters")
    if found := _NOT_IN_A_NAME.search(name):
        raise InvalidInput(
            f"{what} {_shown(name)!r} holds the control character U+{ord(found[0]):04X}; use printable characters"
        )


def _shown(name: str) -> str:
    return _NOT_IN_A_NAME.sub("\ufffd", name[:60])


class QueueName(StrEnum):
    """The two kinds of waiting: somebody looks at the screen, or nobody does."""

    INTERACTIVE = "interactive"
    BULK = "bulk"


STRICT_EVIDENCE = "strict"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobParameters:
    """How a job is to be completed. Checked when made; part of the content hash."""

    temperature: float = 0.2
    max_tokens: int | None = None
    """Of the answer, reasoning included; None: `DEFAULT_MAX_TOKENS`, and room to reason where the model does."""
    effort: str | None = None
    """How long a reasoning model thinks, one of `EFFORTS`; None leaves it to the model."""
    verbosity: str | None = None
    """How much it writes, one of `VERBOSITIES`; None leaves it to the model."""
    max_retries: int = 3
    """Bounds the attempts of one round: at most max_retries + 1."""
    retry_delay_seconds: float = 1.0
    """Base of the exponential wait after a transient failure."""
    allow_repair: bool = False
    fallback_model: str | None = None
    deadline_seconds: float | None = None
    """From enqueue to the last moment an attempt may start; parked and paused time does not count."""
    deadline_at: float | None = None
    """The last moment an attempt may start, in seconds since the epoch; nothing moves it. One of the two, or none."""

    counterfactual: bool | None = None
    """Work with a passage that seems to address the grader is graded once more without it; None: once."""
    evidence: str | None = None
    """`strict`: an answer that quotes what is not in the work is repaired once, then invalid; None: it is flagged."""

    is_repeat: bool | None = None
    """True: graded only to measure the model's scatter; its requests are `repeat` in the ledger."""

    def __post_init__(self) -> None:
        if not 0.0 <= self.temperature <= MAX_TEMPERATURE:
            raise InvalidInput("temperature must be between 0 and 2")
        if self.max_tokens is not None and self.max_tokens <= 0:
            raise InvalidInput("max_tokens must be positive")
        _check_choice("effort", self.effort, EFFORTS)
        _check_choice("verbosity", self.verbosity, VERBOSITIES)
        _check_choice("evidence", self.evidence, (STRICT_EVIDENCE,))
        if self.max_retries < 0:
            raise InvalidInput("max_retries must be non-negative")
        if self.retry_delay_seconds < 0:
            raise InvalidInput("retry_delay must be non-negative")
        if self.deadline_seconds is not None and self.deadline_seconds <= 0:
            raise InvalidInput("deadline must be positive")
        if self.deadline_seconds is not None and self.deadline_at is not None:
            raise InvalidInput("--deadline is a time span and --by a moment; give one of them")
        if self.fallback_model is not None:
            if not self.fallback_model.strip():
                raise InvalidInput("fallback model cannot be empty")
            check_name("fallback model", self.fallback_model)

    def as_json(self) -> dict[str, object]:
        """Every field by name, ready for a JSON column. What is left to the model or without an end is left out.

        So workers of an earlier release read it, too.
        """
        found = {name: getattr(self, name) for name in self.__slots__}
        return {name: value for name, value in found.items() if value is not None or name not in _LEFT_OUT}

    def identity(self) -> dict[str, object]:
        """What a hash is made of: batches of earlier releases, which always wrote 4096, find their jobs again.

        Until when a job may start is no part of it: the same command may name another moment.
        """
        found = {"max_tokens": DEFAULT_MAX_TOKENS, **self.as_json()}
        found.pop("deadline_at", None)
        return found


_LEFT_OUT = frozenset({"max_tokens", "effort", "verbosity", "evidence", "counterfactual", "deadline_at"})


def _check_choice(what: str, value: str | None, choices: tuple[str, ...]) -> None:
    if value is not None and value not in choices:
        raise InvalidInput(f"{what} must be one of {', '.join(choices)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSpec:
    """One thing to grade. `id` is the caller's own and unique in its batch; `metadata` comes back untouched."""

    id: str
    prompt: str = field(repr=False)
    """The user message; where there are instructions, the student's part alone."""
    schema: str
    model: str
    parameters: JobParameters = JobParameters()
    instructions: str | None = field(default=None, repr=False)
    """The instructor's part: the same text for every job of a batch comes first, is kept once, and may be cached by
    the provider. None: the prompt is all there is, and is sent byte for byte."""
    metadata: Mapping[str, object] = field(default_factory=dict, repr=False)
    not_read: tuple[str, ...] = ()
    """Why files that were handed in gave no text, one reason each, in our words: flags the outcome `parts_missing`."""
    left_out: str = ""
    """Why there is nothing to grade, in our words. Such a job has no prompt, ends `not_graded` and costs nothing."""
    flags: tuple[Flag, ...] = ()
    """What is known of the input before it is graded; the outcome of every round carries them."""
    pseudonyms: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The prompt's pseudonyms, with the names they replace: the answer gets them back (see `identity`)."""
    likeness: str | None = None
    """Hash that two prompts share whose student's work is the same; None: only an equal prompt is (see `twins`)."""
    _prompt_hash: str = field(default="", init=False, repr=False, compare=False)
    """Made once, for an enqueue needs it three times."""

    def __post_init__(self) -> None:
        check_name("id", self.id, max_length=MAX_ITEM_ID_LENGTH)
        if self.left_out and self.prompt:
            raise InvalidInput(f"job {self.id!r} is left out and has a prompt; choose one")
        if not self.prompt.strip() and not self.left_out:
            raise InvalidInput(f"prompt of {self.id!r} is empty")
        if self.instructions is not None and not self.instructions.strip():
            raise InvalidInput(f"prompt of {self.id!r} is empty")
        if any("\x00" in text for text in self.texts):
            raise InvalidInput(f"prompt of {self.id!r} holds a NUL character; is the file binary?")
        if sum(map(len, self.texts)) > MAX_PROMPT_BYTES or _size_bytes(self) > MAX_PROMPT_BYTES:
            raise InvalidInput(f"prompt of {self.id!r} is larger than {MAX_PROMPT_BYTES // 2**20} MiB")
        if not self.model.strip():
            raise InvalidInput(f"model of {self.id!r} is empty")
        check_name(f"model of {self.id!r}", self.model)
        check_name(f"schema of {self.id!r}", self.schema)
        _check_texts(self.id, self.metadata)

    @property
    def texts(self) -> tuple[str, ...]:
        """All that is sent beside the schema, in order."""
        return (self.prompt,) if self.instructions is None else (self.instructions, self.prompt)

    @property
    def prompt_hash(self) -> str:
        """See the function of this name."""
        if not self._prompt_hash:
            object.__setattr__(self, "_prompt_hash", prompt_hash(self.prompt))
        return self._prompt_hash


def _size_bytes(spec: JobSpec) -> int:
    try:
        return sum(len(text.encode()) for text in spec.texts)
    except UnicodeEncodeError:
        raise InvalidInput(
            f"prompt of {spec.id!r} holds half a character (a lone surrogate); is the file damaged?"
        ) from None


def _check_texts(job_id: str, metadata: Mapping[str, object]) -> None:
    """Metadata travels to terminals and tables as it is. No recursion: it may be nested as deep as its author likes."""
    pending: list[object] = [dict(metadata)] if metadata else []
    while pending:
        value = pending.pop()
        if isinstance(value, str):
            if found := _NOT_IN_A_TEXT.search(value):
                raise InvalidInput(
                    f"metadata of {job_id!r} holds the control character U+{ord(found[0]):04X}; remove it"
                )
        elif isinstance(value, dict):
            pending += [*value.keys(), *value.values()]
        elif isinstance(value, list | tuple):
            pending += value


def prompt_hash(prompt: str) -> str:
    """SHA-256 of the prompt, hex: identifies equal prompts without showing one."""
    return hashlib.sha256(prompt.encode("utf-8", errors="surrogatepass")).hexdigest()


def instructions_content(spec: JobSpec) -> dict[str, str]:
    """For a hash over the job: nothing without instructions, so that jobs of earlier releases keep their hashes."""
    return {} if spec.instructions is None else {"instructions": _instructions_hash(spec.instructions)}


@lru_cache(maxsize=8)
def _instructions_hash(text: str) -> str:
    """Of long texts that all jobs of a batch share."""
    return prompt_hash(text)


def content_hash(spec: JobSpec, *, schema_fingerprint: str, provider: str) -> str:
    """SHA-256 over all that decides the answer: schema, instructions, prompt, model, parameters, provider."""
    shared = instructions_content(spec).get("instructions")
    before, after = _around_prompt(Same(spec.parameters), shared, spec.model, schema_fingerprint, provider)
    return hashlib.sha256(f"{before}{spec.prompt_hash}{after}".encode()).hexdigest()


@lru_cache(maxsize=64)
def _around_prompt(
    parameters: Same[JobParameters], instructions: str | None, model: str, schema: str, provider: str
) -> tuple[str, str]:
    """What the jobs of a batch share of the JSON that is hashed, whose keys are sorted."""
    first = {"model": model, "parameters": parameters.it.identity()}
    if instructions is not None:
        first["instructions"] = instructions
    before, after = (
        json.dumps(each, sort_keys=True, separators=(",", ":"))
        for each in (first, {"provider": provider, "schema": schema})
    )
    return f'{before[:-1]},"prompt":"', f'",{after[1:]}'
