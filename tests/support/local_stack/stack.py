"""The services as processes: started in order, asked for their health, restarted, stopped within their grace."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

from ops.bench.processes import free_port
from tests.support.local_stack.compose import ComposeError, Service, read_services

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

REPOSITORY = Path(__file__).parents[3]
COMPOSE_FILE = REPOSITORY / "docker-compose.yml"
LOOPBACK = "127.0.0.1"
EVERYWHERE = "0.0.0.0"  # noqa: S104 - looked for, to be replaced
DATABASE = "postgres"
"""The service that is not started: a server that runs already takes its place."""
POLL_SECONDS = 1.0
"""Each look at a service's health starts a process."""
START_SECONDS = 120.0
_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV")
"""What a process gets of this one's environment; a container would get as little."""


@dataclass(slots=True)
class LocalStack:
    """The whole file, running. `overrides` are added to every service's environment: test periods, say."""

    folder: Path
    variables: Mapping[str, str] = field(repr=False)
    database_url: str = field(repr=False)
    profiles: Collection[str] = ()
    overrides: Mapping[str, str] = field(default_factory=dict)
    compose_file: Path = COMPOSE_FILE
    _services: dict[str, Service] = field(default_factory=dict)
    _ports: dict[tuple[str, int], int] = field(default_factory=dict)
    _processes: dict[str, list[subprocess.Popen[bytes]]] = field(default_factory=dict)

    def __enter__(self) -> Self:
        try:
            self.up()
        except BaseException:
            self.down()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        self.down()

    def up(self) -> None:
        """Start every service once what it depends on is ready, and wait until all are well."""
        (self.folder / "logs").mkdir(parents=True, exist_ok=True)
        services = read_services(self.compose_file, variables=self.variables, profiles=self.profiles)
        self._services = {service.name: service for service in services if service.name != DATABASE}
        self._ports = {
            (service.name, port): free_port() for service in self._services.values() for port in service.ports
        }
        for service in self._services.values():
            for other in service.depends_on.keys() - {DATABASE}:
                self.wait_until_ready(other)
            self.start(service.name)
        for name in self._services:
            self.wait_until_ready(name)

    def down(self) -> None:
        """Stop in reverse order: what others need goes last."""
        for name in reversed(list(self._services)):
            self.stop(name)

    def start(self, name: str) -> None:
        """Start one more process of the service."""
        service = self._services[name]
        with self.log(name).open("ab") as log:
            process = subprocess.Popen(
                [self._translated(part, service) for part in service.command],
                cwd=self._data(name),
                env=self._environment(service),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._processes.setdefault(name, []).append(process)

    def stop(self, name: str) -> list[int]:
        """SIGTERM, the service's grace, SIGKILL; returns the exit codes."""
        processes = self._processes.pop(name, [])
        for process in processes:
            process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + self._services[name].stop_grace_seconds
        for process in processes:
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, deadline - time.monotonic()))
            with suppress(ProcessLookupError):  # the rest of its session, as a container takes everything with it
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        return [process.returncode for process in processes]

    def restart(self, name: str) -> None:
        """As `docker compose restart` does it."""
        self.stop(name)
        self.start(name)
        self.wait_until_ready(name)

    def ended(self) -> list[str]:
        """The services of which a process has ended by itself; one-shots are meant to."""
        return [
            name
            for name, processes in self._processes.items()
            if not self._services[name].is_one_shot and any(process.poll() is not None for process in processes)
        ]

    def wait_until_ready(self, name: str) -> None:
        """Until the service's own health check passes, or a one-shot has ended well."""
        service = self._services[name]
        deadline = time.monotonic() + START_SECONDS
        while not self._is_ready(service):
            if time.monotonic() > deadline:
                raise ComposeError(f"{name} did not become ready; its log ends:\n{self.log(name).read_text()[-2000:]}")
            time.sleep(POLL_SECONDS)

    def is_healthy(self, name: str) -> bool:
        """What the service's health check says now."""
        service = self._services[name]
        if service.health_check is None:
            return False
        kind, *test = service.health_check.test
        command = ["sh", "-c", test[0]] if kind == "CMD-SHELL" else test
        try:
            done = subprocess.run(
                [self._translated(part, service) for part in command],
                cwd=self._data(name),
                env=self._environment(service),
                capture_output=True,
                timeout=service.health_check.timeout_seconds * 3,  # a machine for tests is slower than one for work
                check=False,
            )
        except subprocess.TimeoutExpired:  # as Docker counts it: once unwell
            return False
        return done.returncode == 0

    def address(self, name: str, port: int) -> str:
        """Where a container's port is found here, as host:port."""
        return f"{LOOPBACK}:{self._ports[name, port]}"

    def environment(self, name: str) -> dict[str, str]:
        """What the service's processes are told."""
        return self._environment(self._services[name])

    def log(self, name: str) -> Path:
        """What the service printed."""
        return self.folder / "logs" / f"{name}.log"

    def _is_ready(self, service: Service) -> bool:
        process = self._processes[service.name][-1]
        code = process.poll()
        if service.is_one_shot:
            if code not in {None, 0}:
                raise ComposeError(f"{service.name} ended with {code}:\n{self.log(service.name).read_text()[-2000:]}")
            return code == 0
        if code is not None:
            raise ComposeError(f"{service.name} ended with {code}:\n{self.log(service.name).read_text()[-2000:]}")
        return self.is_healthy(service.name)

    def _environment(self, service: Service) -> dict[str, str]:
        inherited = {name: os.environ[name] for name in _KEPT if name in os.environ}
        inherited["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), inherited.get("PATH", os.defpath)])
        inherited["PYTHONPATH"] = str(REPOSITORY)
        told = {name: self._translated(value, service) for name, value in service.environment.items()}
        if told.get("DATABASE_URL"):
            told["DATABASE_URL"] = self.database_url
        return {**inherited, **told, **self.overrides}

    def _translated(self, text: str, service: Service) -> str:
        """Names of services, ports, addresses and paths as they are on this machine."""
        for (name, port), here in self._ports.items():
            text = re.sub(rf"\b{re.escape(name)}:{port}\b", f"{LOOPBACK}:{here}", text)
            if name == service.name:
                text = re.sub(rf"(?<![\d.]){port}\b", str(here), text)
        for target, source in service.volumes.items():
            here_path = (REPOSITORY / source) if source.startswith((".", "/")) else self._data(service.name)
            text = re.sub(rf"(?<![\w.-]){re.escape(target)}(?=[/\s]|$)", str(here_path), text)
        return text.replace(EVERYWHERE, LOOPBACK)

    def _data(self, name: str) -> Path:
        folder = self.folder / name
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)  # as the image makes it
        return folder
