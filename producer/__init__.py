"""Producers enqueue grading jobs: `from producer import JobClient`."""

from producer.batches import Batch, BatchProgress
from producer.client import Item, JobClient

__all__ = ["Batch", "BatchProgress", "Item", "JobClient"]
