"""`python -m ops.deploy.migrate`: bring the store's schema up to date, once, before anything else starts."""

from __future__ import annotations

import sys

from workers.confinement import confine
from workers.settings import load_settings
from workers.store import Store


def main() -> int:
    """Migrate the store of DATABASE_URL; harmless when that was done before."""
    confine()
    url = load_settings().database_url
    if url is None:
        sys.stderr.write("DATABASE_URL is not set\n")
        return 2
    store = Store.open(url)
    try:
        store.migrate()
    finally:
        store.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
