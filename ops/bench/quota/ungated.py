"""The `gradequeue` command, whose new batches do not wait for their first jobs: what that wait costs a drain."""

from __future__ import annotations

from producer.cli.main import main
from workers.store.gates import GateRequest

if __name__ == "__main__":
    defaults = GateRequest.__init__.__kwdefaults__
    assert defaults is not None  # noqa: S101 - all its fields are given by name
    defaults["starts_carefully"] = False
    main()
