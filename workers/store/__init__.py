"""The SQL store: the truth about batches, jobs, attempts and outcomes. Knows no broker and no provider.

Each file is one conversation with it: `batches` (enqueue, open, cancel, retry), `claims` (a worker's hold on a job),
`ledger` (attempts and outcomes), `liveness` (heartbeats and dead workers), `feed` (what should be in the broker),
`parks` (accounts that wait), `reading` (progress and results), `writer` (many workers' coroutines, one transaction).
"""

from workers.store.engine import Store

__all__ = ["Store"]
