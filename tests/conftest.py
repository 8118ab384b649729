"""What every tier uses: a store on a file of its own, a broker of its own, the shared data."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from ops.bench.chaos.services import Broker
from producer.local.embedded import EmbeddedBroker
from tests.support.places import SHARED_DATA
from tests.support.quick_processes import COLD, ForkServer, QuickPopen
from tests.support.stores import new_store

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from workers.store import Store

FORK_ADDRESS = "fork server"
FORK_SERVER = pytest.StashKey[ForkServer]()
GRADEQUEUE_SETTINGS = ("OPENAI_", "REDIS_URL", "DATABASE_URL", "GRADEQUEUE_")

os.environ.pop("COLUMNS", None)  # xdist tells its processes how wide its own terminal is, and tables would be folded

# how fast a machine is that does three things at once says nothing of the code
hypothesis_settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
hypothesis_settings.load_profile("unhurried")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Modules and tests stay for good: to look for garbage among them was half of collecting, and went on in tests."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.fixture(autouse=True)
def _settings_of_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings come from the test alone."""
    for name in list(os.environ):
        if name.startswith(GRADEQUEUE_SETTINGS):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _main_module_of_pytest() -> Iterator[None]:
    """Streamlit's test runner puts a script in its place, and a process started later would run that script."""
    main = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = main


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """One server for all processes of a run; it belongs to the one that starts the others."""
    config: pytest.Config = node.config
    if FORK_SERVER not in config.stash:
        folder = tempfile.TemporaryDirectory(prefix="gq-fork-")
        config.add_cleanup(folder.cleanup)
        config.stash[FORK_SERVER] = server = ForkServer(Path(folder.name))
        config.add_cleanup(server.close)
    node.workerinput[FORK_ADDRESS] = config.stash[FORK_SERVER].address


@pytest.fixture(scope="session")
def _fork_address(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    shared: dict[str, str] = getattr(request.config, "workerinput", {})
    if FORK_ADDRESS in shared:
        yield shared[FORK_ADDRESS]
        return
    server = ForkServer(tmp_path_factory.mktemp("fork"))
    yield server.address
    server.close()


@pytest.fixture(autouse=True, scope="module")
def _processes_start_quickly(request: pytest.FixtureRequest, _fork_address: str) -> Iterator[None]:
    """Unless the tests of a module are about the start."""
    if request.node.get_closest_marker(COLD):
        yield
        return
    with pytest.MonkeyPatch.context() as changed:
        changed.setattr(QuickPopen, "server", staticmethod(lambda: _fork_address))
        changed.setattr(subprocess, "Popen", QuickPopen)
        yield


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty store in a SQLite file."""
    store = new_store(tmp_path / "store.db")
    yield store
    store.close()


@pytest.fixture
def broker_url(tmp_path: Path) -> Iterator[str]:
    """A Valkey server that belongs to this test alone."""
    broker = EmbeddedBroker.join(tmp_path)
    yield broker.url
    broker.leave()


@pytest.fixture
def broker() -> Iterator[Broker]:
    """A server on a port of its own, to be broken by this test alone."""
    broker = Broker()
    broker.start()
    yield broker
    broker.kill()


@pytest.fixture
def shared_data() -> Path:
    """Real programs and rubrics, where they lie beside the checkout."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the shared data does not lie beside this checkout")
    return SHARED_DATA
