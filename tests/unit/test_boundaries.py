"""What is really imported, beside what the import contracts say."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
ALLOWED = ("workers.contract", "workers.settings", "workers.store", "workers.publisher")


def modules_after(statement: str) -> set[str]:
    code = f"import json, sys\n{statement}\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


@pytest.mark.parametrize(
    "statement", ["import producer.client", "from producer import JobClient", "import producer.cli"]
)
def test_a_producer_loads_neither_openai_nor_worker_code(statement: str):
    loaded = modules_after(statement)
    ours = {name for name in loaded if name.startswith("workers.")}
    assert "openai" not in loaded
    assert {name for name in ours if not name.startswith(ALLOWED)} == set()
    assert "workers.store" in ours


def test_the_contract_loads_pydantic_and_nothing_heavier():
    loaded = modules_after("import workers.contract.registry, workers.contract.job, workers.contract.model_profile")
    assert not {"celery", "kombu", "redis", "sqlalchemy", "openai", "aiohttp"} & loaded


def test_the_standin_loads_nothing_of_ours():
    loaded = modules_after("import ops.standin.server")
    assert not {name for name in loaded if name.split(".")[0] in {"workers", "producer"}}


def test_importing_the_worker_application_reads_no_settings():
    loaded = modules_after("import os; os.environ['GRADEQUEUE_CONCURRENCY'] = 'nonsense'\nimport workers.app")
    assert "workers.app" in loaded


def test_the_workers_package_is_an_empty_file():
    assert (REPOSITORY / "workers" / "__init__.py").read_bytes() == b""
