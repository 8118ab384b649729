"""Hosts of their own for workers: network namespaces with an address each, and clocks that are minutes apart.

Linux, as root, with `ip` and, for the clocks, a C compiler. The services listen on the bridge between them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

NETWORK = "10.199.77"
BRIDGE = "gqbr0"
SERVICES = f"{NETWORK}.1"
"""Where the services listen."""
ACCESS = f"host all all {NETWORK}.0/24 trust\n"
"""For the store's server."""
CLOCK_SOURCE = Path(__file__).with_name("shifted_clock.c")


def are_possible() -> bool:
    """True for root on a Linux with namespaces and a C compiler."""
    return os.geteuid() == 0 and shutil.which("ip") is not None and shutil.which("cc") is not None


@dataclass(frozen=True, slots=True)
class Host:
    """One namespace."""

    name: str
    address: str
    clock_seconds: int
    """Ahead of the true time."""
    clock: Path
    """The library that says so."""

    @property
    def prefix(self) -> tuple[str, ...]:
        """Before a command that is to run there; it has the same process id."""
        return ("ip", "netns", "exec", self.name)

    @property
    def environment(self) -> dict[str, str]:
        """The clock of wall time is another one there; the monotonic one is not."""
        return {"LD_PRELOAD": str(self.clock), "SHIFTED_CLOCK": str(self.clock_seconds)}

    def cut_off(self) -> None:
        """Nothing gets in or out, and nobody is told."""
        _ip("link", "set", f"{self.name}-v", "down")

    def put_back(self) -> None:
        """Open connections go on where they were, as far as both ends still know them."""
        _ip("link", "set", f"{self.name}-v", "up")


@contextmanager
def hosts(clocks_seconds: Sequence[int], folder: Path) -> Iterator[list[Host]]:
    """One for each clock, all on one bridge; removed afterwards."""
    clock = folder / "shifted_clock.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(clock), str(CLOCK_SOURCE), "-ldl"], check=True)
    with ExitStack() as stack:
        _ip("link", "add", BRIDGE, "type", "bridge")
        stack.callback(_ip, "link", "del", BRIDGE)
        _ip("addr", "add", f"{SERVICES}/24", "dev", BRIDGE)
        _ip("link", "set", BRIDGE, "up")
        made = []
        for number, seconds in enumerate(clocks_seconds):
            host = Host(f"gqhost{number}", f"{NETWORK}.{number + 10}", seconds, clock)
            _ip("netns", "add", host.name)
            stack.callback(_ip, "netns", "del", host.name)
            outside, inside = f"{host.name}-v", f"{host.name}-i"
            _ip("link", "add", outside, "type", "veth", "peer", "name", inside, "netns", host.name)
            _ip("link", "set", outside, "master", BRIDGE, "up")
            _ip("-n", host.name, "addr", "add", f"{host.address}/24", "dev", inside)
            _ip("-n", host.name, "link", "set", inside, "up")
            _ip("-n", host.name, "link", "set", "lo", "up")
            made.append(host)
        yield made


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)
