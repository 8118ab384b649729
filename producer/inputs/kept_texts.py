"""What jobs share, kept once each in the store by its hash: rubrics, instructions, schema files."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from workers.contract.errors import ServiceUnavailable
from workers.contract.schema_files.source import content_digest
from workers.store.enqueue import save_context
from workers.store.instructions import INSTRUCTIONS_KEY

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from workers.contract.registry import SchemaEntry
    from workers.contract.schema_files.trust import SchemaTrust
    from workers.store import Store
    from workers.store.enqueue import NewJob


@dataclass(frozen=True, slots=True)
class KeptTexts:
    """Keeps them in this store; `trust` records which schema files this host's workers may run."""

    store: Store
    trust: SchemaTrust | None

    def keep(self, context: Mapping[str, object] | None) -> str | None:
        """The hash under which it is kept now; None for nothing."""
        if context is None:
            return None
        context_hash = content_digest(context)
        save_context(self.store, context_hash=context_hash, content=context)
        return context_hash

    def with_instructions(self) -> Callable[[NewJob], NewJob]:
        """Keeps each text once; a batch has one, or one per rubric."""
        hashes: dict[str, str | None] = {}

        def keep(job: NewJob) -> NewJob:
            text = job.spec.instructions
            if text is None:
                return job
            if text not in hashes:
                hashes[text] = self.keep({INSTRUCTIONS_KEY: text})
            return replace(job, instructions_hash=hashes[text])

        return keep

    def keep_source(self, entry: SchemaEntry) -> str | None:
        """Workers load a schema file from the store, and this host's may run what was named here.

        Raises `ServiceUnavailable` when that cannot be noted in the data folder.
        """
        kept = self.keep(entry.source)
        if self.trust is not None and kept is not None:
            try:
                self.trust.add(kept)
            except OSError as error:
                raise ServiceUnavailable("disk", f"the data folder cannot be written: {error.strerror}") from None
        return kept
