"""Inputs: a JSONL or CSV file, or a folder of submissions, checked as a whole and then streamed as job specs.

Imports the contract and nothing else of ours. `check_items` first, then `CheckedInput.specs`.
"""

from producer.inputs.checking import CheckedInput, RejectedInput, check_items
from producer.inputs.columns import duration_seconds
from producer.inputs.item import InputItem, InputLimits, InputOptions
from producer.inputs.reading import read_items

__all__ = [
    "CheckedInput",
    "InputItem",
    "InputLimits",
    "InputOptions",
    "RejectedInput",
    "check_items",
    "duration_seconds",
    "read_items",
]
