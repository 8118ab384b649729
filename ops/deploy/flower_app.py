"""`python -m ops.deploy.flower_app`: Flower with the project's configuration.

Needs REDIS_URL and GRADEQUEUE_FLOWER_AUTH.

It speaks to the broker as every process of ours does, and holds no task code: what it shows is what events say. Its
/metrics page also shows the provider's limits.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from prometheus_client import REGISTRY

from ops.deploy.budget_metrics import BudgetMetrics
from workers.budget.view import BudgetView
from workers.confinement import confine
from workers.publisher import KEY_PREFIX, new_celery
from workers.settings import load_settings


def main() -> int:
    """Serve until stopped."""
    confine()
    settings = load_settings()
    url = settings.redis_url
    if url is None:
        sys.stderr.write("REDIS_URL is not set\n")
        return 2
    os.environ["GRADEQUEUE_DATA_DIR"] = str(settings.data_dir)  # as flowerconfig reads it, from any folder
    os.chdir("/")  # Celery puts the working folder first on the path while it loads parts of itself by name
    app = new_celery(url)
    app.set_current()
    REGISTRY.register(BudgetMetrics(BudgetView.connect(url, key_prefix=KEY_PREFIX)))
    app.start(["flower", f"--conf={Path(__file__).with_name('flowerconfig.py')}"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
