"""What a worker process leaves out of its memory, and how it is found all the same."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import textwrap
import threading
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from celery import Celery
from celery.bin.base import CLIContext
from celery.bin.worker import worker

from workers.process.lean_imports import DEFERRED, OPTIONAL, lean_imports
from workers.process.worker_options import read_options

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import ModuleType

OURS = ["--queues", "bulk,interactive", "--hostname", "w@%h", "--concurrency", "7", "--without-gossip"]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A package that imports its two modules, of which one asks the package for a name of the other."""
    name = f"deferred_{uuid4().hex}"
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").write_text("from .first import FIRST\nfrom .second import SECOND\n")
    (tmp_path / name / "first.py").write_text("FIRST = object()\n")
    (tmp_path / name / "second.py").write_text("from . import first\nSECOND = first.FIRST\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield name
    for each in [each for each in sys.modules if each.startswith(name)]:
        del sys.modules[each]


def deferred(name: str) -> ModuleType:
    with lean_imports(deferred=[name]):
        return importlib.import_module(name)


def test_a_deferred_package_runs_when_a_name_of_it_is_asked_for(package: str):
    module = deferred(package)
    assert f"{package}.first" not in sys.modules
    assert module.SECOND is importlib.import_module(f"{package}.first").FIRST
    assert "__getattr__" not in vars(module)


def test_a_module_in_a_deferred_package_is_imported_without_it(package: str):
    deferred(package)
    importlib.import_module(f"{package}.first")
    assert f"{package}.second" not in sys.modules


def test_a_deferred_package_has_no_other_names_than_it_ever_had(package: str):
    module = deferred(package)
    with pytest.raises(AttributeError, match="THIRD"):
        _ = module.THIRD
    assert not hasattr(module, "FOURTH")


def test_two_threads_that_ask_at_once_get_the_same(package: str):
    module, got, barrier = deferred(package), [], threading.Barrier(2)

    def ask() -> None:
        barrier.wait(10)
        got.append(module.SECOND)

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(10)
    assert got == [module.FIRST] * 2


def test_an_optional_module_is_not_found_within_and_found_afterwards(package: str):
    with lean_imports(optional=[package]), pytest.raises(ModuleNotFoundError):
        importlib.import_module(package)
    assert importlib.import_module(package).FIRST


def test_what_is_loaded_already_stays(package: str):
    before = importlib.import_module(package)
    with lean_imports(optional=[package], deferred=[package]):
        assert importlib.import_module(package) is before


def in_a_process_of_its_own(code: str) -> object:
    environment = {"PATH": os.environ["PATH"], "GRADEQUEUE_NO_SETTINGS_FILES": "1"}
    done = subprocess.run(
        [sys.executable, "-P", "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
        timeout=120,
    )
    return json.loads(done.stdout)


@pytest.mark.cold_start
def test_a_worker_that_starts_loads_none_of_it():
    code = """
        import json, sys
        from workers.process.celery_worker import main
        status = main(["--queues", "bulk"])  # and ends, because nobody named a broker
        print(json.dumps([status, sorted(sys.modules)]))
    """
    status, loaded = in_a_process_of_its_own(code)  # type: ignore[misc]
    assert status == 1
    never = {
        *OPTIONAL,
        "openai.types.batch",
        "rapidfuzz",
        "sqlalchemy.dialects.postgresql",
        "alembic",
        "celery.bin.base",
    }
    assert never & set(loaded) == set()
    assert {"openai", "celery.apps.worker", "sqlalchemy", *DEFERRED} <= set(loaded)


@pytest.mark.cold_start
def test_the_types_of_the_sdk_are_all_there_when_they_are_asked_for():
    code = """
        import json
        from workers.process.lean_imports import lean_imports
        with lean_imports():
            import openai
        from openai.types import Batch, FileObject
        from openai.types.responses import Response
        import openai.types.batch, openai.types.responses.response
        print(json.dumps([Batch is openai.types.batch.Batch, Response is openai.types.responses.response.Response]))
    """
    assert in_a_process_of_its_own(code) == [True, True]


class _Asked(Exception):  # noqa: N818 - it is no error
    pass


class _Recording(Celery):  # type: ignore[misc]  # Celery has no types
    def Worker(self, **options: object) -> None:  # noqa: N802 - Celery's name
        raise _Asked(options)


def of_celery(arguments: list[str]) -> dict[str, object]:
    app = _Recording(set_as_current=False)
    with pytest.raises(_Asked) as asked:
        worker.main(args=arguments, obj=CLIContext(app=app, no_color=True, workdir=None), standalone_mode=False)
    options: dict[str, object] = asked.value.args[0]
    return options


@pytest.mark.parametrize("more", [[], ["--without-mingle", "--loglevel", "INFO", "--logfile", "w.log"]])
def test_our_options_are_read_as_celery_reads_them(more: list[str]):
    ours = read_options([*OURS, *more])
    assert ours is not None
    theirs = of_celery([*OURS, *more])
    named_levels = {"INFO": 20, "WARNING": 30}
    ours["loglevel"] = named_levels[ours["loglevel"]]
    assert ours == {name: theirs[name] for name in ours}


@pytest.mark.parametrize("more", [["--autoscale", "3,1"], ["--loglevel", "info"], ["-E"], ["--concurrency", "many"]])
def test_options_beyond_ours_are_left_to_celery(more: list[str]):
    assert read_options(["--queues", "bulk", *more]) is None
