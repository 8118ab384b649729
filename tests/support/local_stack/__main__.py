"""`python -m tests.support.local_stack FOLDER DATABASE_URL`: the whole system with the stand-in provider, until Ctrl-C.

Passwords are made up and printed; everything is kept under FOLDER.
"""

from __future__ import annotations

import secrets
import signal
import sys
from pathlib import Path

from tests.support.local_stack.compose import ComposeError
from tests.support.local_stack.stack import LocalStack


def main(arguments: list[str]) -> int:
    """Run the stack."""
    if len(arguments) != 2:
        sys.stderr.write("usage: python -m tests.support.local_stack FOLDER DATABASE_URL\n")
        return 2
    password = secrets.token_urlsafe(12)
    names = ("REDIS_PASSWORD", "POSTGRES_PASSWORD", "FLOWER_PASSWORD", "GRADEQUEUE_DASHBOARD_PASSWORD")
    stack = LocalStack(
        folder=Path(arguments[0]).absolute(),
        variables={**dict.fromkeys(names, password), "GRADEQUEUE_OFFLINE": "1"},
        database_url=arguments[1],
        profiles=("offline",),
    )
    try:
        with stack:
            sys.stdout.write(f"the page: http://{stack.address('dashboard', 8501)}\n")
            sys.stdout.write(f"Flower:   http://{stack.address('flower', 5555)} (user operator)\n")
            sys.stdout.write(f"password: {password}\n")
            sys.stdout.flush()
            signal.sigwait({signal.SIGINT, signal.SIGTERM})
    except ComposeError as error:
        sys.stderr.write(f"{error}\n")
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
