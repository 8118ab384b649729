"""A worker process that has loaded before anybody knows what it will serve: options and environment come afterwards.

Its standard input is a socket, whose other end belongs to the process that started it. One message comes: its length in
four bytes, with the descriptors of its standard error and of what else it holds; then JSON. When the other end is
closed instead, it is not needed.

Imports only the standard library; producers send such a message, and `workers.process.celery_worker` receives it.
"""

from __future__ import annotations

import json
import os
import socket
from dataclasses import dataclass

STANDBY = "--standby"
"""The only argument of such a process."""
LENGTH_BYTES = 4
_MOST_DESCRIPTORS = 8


@dataclass(frozen=True, slots=True)
class Assignment:
    """What the process is to be from now on."""

    arguments: list[str]
    environment: dict[str, str]

    def sent(self) -> bytes:
        """As it travels, without its length."""
        return json.dumps([self.arguments, self.environment]).encode()

    def take_up(self) -> list[str]:
        """Have this environment and no other; returns the arguments."""
        os.environ.clear()
        os.environ.update(self.environment)
        return self.arguments


def await_assignment() -> Assignment | None:
    """Wait for it on standard input, which stays open; None when this process is not needed.

    Its standard error is then the one that came with it. Further descriptors stay open as long as the process lives.
    """
    with socket.socket(fileno=os.dup(0)) as ours:
        head, descriptors, _flags, _address = socket.recv_fds(ours, LENGTH_BYTES, _MOST_DESCRIPTORS)
        if len(head) < LENGTH_BYTES or not descriptors:
            return None
        with ours.makefile("rb") as file:
            body = file.read(length := int.from_bytes(head, "big"))
    if len(body) < length:
        return None
    os.dup2(descriptors[0], 2)
    os.close(descriptors[0])
    arguments, environment = json.loads(body)
    return Assignment(arguments, environment)
