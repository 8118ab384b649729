"""Producers enqueue grading jobs: `from producer import JobClient`.

Loaded when they are asked for, and nothing else here: the command makes the import path safe before it imports more.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from producer.batch import Batch
    from producer.client import Item, JobClient
    from producer.inputs.class_names import search_names
    from producer.progress import BatchProgress

__all__ = ["Batch", "BatchProgress", "Item", "JobClient", "search_names"]

_MODULES = {
    "Batch": "producer.batch",
    "BatchProgress": "producer.progress",
    "Item": "producer.client",
    "JobClient": "producer.client",
    "search_names": "producer.inputs.class_names",
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 - see above

    return getattr(import_module(_MODULES[name]), name)
