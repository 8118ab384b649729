"""What is really imported, beside what the import contracts say."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
ALLOWED = (
    "workers.broker",
    "workers.log",
    *("workers.contract", "workers.settings", "workers.store", "workers.publisher", "workers.confinement"),
)


def modules_after(statement: str) -> set[str]:
    code = f"import json, sys\n{statement}\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


EVERY_COMMAND = """
import importlib, pkgutil, producer
for each in pkgutil.walk_packages(producer.__path__, "producer."):
    if not each.name.startswith("producer.page."):
        importlib.import_module(each.name)
"""


@pytest.mark.parametrize("statement", ["import producer.client", "from producer import JobClient", EVERY_COMMAND])
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
    loaded = modules_after("import os; os.environ['GRADEQUEUE_CONCURRENCY'] = 'nonsense'\nimport workers.process.app")
    assert "workers.process.app" in loaded


def test_the_workers_package_is_an_empty_file():
    assert (REPOSITORY / "workers" / "__init__.py").read_bytes() == b""


ASKS_THE_CLIENT = [
    *(REPOSITORY / "producer" / "page").glob("*.py"),
    *(REPOSITORY / "producer" / "regrading").glob("*.py"),
]
ASKS_THE_CLIENT += [REPOSITORY / "producer" / "local" / "run.py"]


@pytest.mark.parametrize("file", ASKS_THE_CLIENT, ids=lambda file: file.name)
def test_page_run_and_regrading_open_no_transaction_on_the_clients_store(file: Path):
    """The import contract cannot see `client.store.snapshot()`."""
    used = {node.attr for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Attribute)}
    assert not used & {"store", "snapshot", "transaction", "engine", "execute"}


SOURCES = sorted(file for room in ("workers", "producer", "ops", "tests") for file in (REPOSITORY / room).rglob("*.py"))
MOST_LINES = 350


def test_no_file_is_longer_than_one_can_overlook():
    """Split by purpose, not by size: what a file is for is its docstring's first line."""
    lengths = {str(file.relative_to(REPOSITORY)): len(file.read_text().splitlines()) for file in SOURCES}
    assert {name: lines for name, lines in lengths.items() if lines > MOST_LINES} == {}


@pytest.mark.parametrize("room", ["workers", "producer"])
def test_a_package_holds_at_most_three_loose_modules(room: str):
    loose = [file.name for file in (REPOSITORY / room).glob("*.py") if file.name != "__init__.py"]
    assert len(loose) <= 3, loose


def test_no_test_imports_another_tiers_conftest():
    """What more than one tier uses is in tests/support."""
    strangers = [
        f"{file.relative_to(REPOSITORY)} imports {node.module}"
        for file in SOURCES
        if file.is_relative_to(REPOSITORY / "tests")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.ImportFrom) and (node.module or "").endswith(".conftest")
        if not file.is_relative_to(REPOSITORY.joinpath(*str(node.module).split(".")[:-1]))
        or node.module == "tests.conftest"
    ]
    assert strangers == []


def test_every_path_that_the_architecture_names_exists():
    text = (REPOSITORY / "docs" / "architecture.md").read_text()
    paths = set(re.findall(r"`((?:workers|producer|ops|docs|tests)/[\w./-]*)`", text))
    assert len(paths) > 10
    assert {path for path in paths if not (REPOSITORY / path).exists()} == set()
