"""Where a run takes place: behind a pooler or not, on hosts of their own or on this one, with one release or two."""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from ops.bench.chaos.audit import open_calls
from ops.bench.chaos.hosts import ACCESS, SERVICES, Host, hosts
from ops.bench.chaos.pooler import pooler
from ops.bench.chaos.releases import installed, upgrade
from ops.bench.chaos.services import Cluster, Place, cluster

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from ops.bench.chaos.run import Plan, Scene
    from workers.store import Store

CLOCKS_SECONDS = (0, 420, -300)
"""How far the hosts' clocks are from the truth."""
SERVER_CONNECTIONS = 8
"""Of the pooler; fewer than workers and commands ask for."""
CUT_OFF_SECONDS = 15.0
"""Well above the time after which a silent worker is dead in these runs."""


@dataclass
class Setting:
    """Made by `of`."""

    plan: Plan
    stack: ExitStack
    hosts: list[Host] = field(default_factory=list)
    releases: list[Path] = field(default_factory=list)
    """The one that workers start from, and the next; none without a rolling upgrade."""
    cut_off: Host | None = None

    @classmethod
    @contextmanager
    def of(cls, plan: Plan) -> Iterator[Setting]:
        """Hosts and installed releases as the plan says; removed afterwards."""
        with ExitStack() as stack:
            # not in the run's own folder, in which nothing may hold a prompt
            folder = Path(stack.enter_context(TemporaryDirectory(prefix="gq-setting-")))
            made = cls(plan, stack)
            if plan.hosts:
                clocks = [CLOCKS_SECONDS[number % len(CLOCKS_SECONDS)] for number in range(plan.workers)]
                made.hosts = stack.enter_context(hosts(clocks, folder))
            if plan.rolling is not None:
                is_next = plan.rolling == "HEAD"
                before, after = installed(folder / "before", plan.rolling), folder / "after"
                made.releases = [before, installed(after, is_next=is_next)]
            yield made

    @property
    def address(self) -> str:
        """Where services listen."""
        return SERVICES if self.hosts else "127.0.0.1"

    def cluster(self) -> AbstractContextManager[Cluster]:
        """The store's server."""
        return cluster(host=self.address, access=ACCESS if self.hosts else "")

    def store_url(self, server: Cluster) -> str:
        """As workers and commands are told it."""
        if not self.plan.pooled:
            return server.url
        return self.stack.enter_context(pooler(server.url, connections=SERVER_CONNECTIONS, host=self.address))

    def migrate(self, store: Store, url: str) -> None:
        """Make the tables: those of the release that is there first."""
        if self.releases:
            upgrade(self.releases[0], url, dict(os.environ))
        else:
            store.migrate()

    @property
    def places(self) -> list[Place]:
        """One for each worker; none where all are alike."""
        if not self.hosts and not self.releases:
            return []
        place = Place(release=self.releases[0]) if self.releases else Place()
        if not self.hosts:
            return [place] * self.plan.workers
        return [replace(place, prefix=host.prefix, environment=host.environment) for host in self.hosts]

    def wreckings(self, scene: Scene) -> Iterator[tuple[float, Callable[[], None]]]:
        """What happens beside kills and restarts, by the part of the run that has passed."""
        if self.hosts:
            yield 0.30, lambda: self._cut_off(scene)
            yield 0.30 + CUT_OFF_SECONDS / self.plan.duration, lambda: self._put_back(scene)
        if self.releases:
            yield 0.40, lambda: self._upgrade(scene)
            yield 0.50, lambda: self._roll(scene, range(1))
            yield 0.80, lambda: self._roll(scene, range(1, self.plan.workers))

    def _cut_off(self, scene: Scene) -> None:
        open_at = open_calls(scene.store)
        calls, number = max((open_at.get(scene.workers.pid_at(each), 0), each) for each in range(len(self.hosts)))
        self.cut_off = self.hosts[number]
        self.cut_off.cut_off()
        scene.calls_cut_off += calls
        scene.note(
            f"{self.cut_off.name} is cut off, its clock {self.cut_off.clock_seconds:+d} s, {calls} calls in flight"
        )

    def _put_back(self, scene: Scene) -> None:
        if self.cut_off is not None:
            self.cut_off.put_back()
            scene.note(f"{self.cut_off.name} is back")
            self.cut_off = None

    def _upgrade(self, scene: Scene) -> None:
        url = scene.store.engine.url.render_as_string(hide_password=False)
        scene.note(f"upgrade beside workers: {upgrade(self.releases[1], url, dict(os.environ))}")

    def _roll(self, scene: Scene, numbers: range) -> None:
        for number in numbers:
            scene.workers.roll(number, self.releases[1])
        scene.note(f"{len(numbers)} workers are replaced by those of the next release")
