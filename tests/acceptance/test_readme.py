"""The README's lines, typed from top to bottom after `make demo`, work."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.command_line import StandinServer

pytestmark = [pytest.mark.acceptance, pytest.mark.cold_start]

REPOSITORY = Path(__file__).parents[2]
LONGEST_SECONDS = 540
"""All lines together, on a machine that does many other things: just less than any test may take."""


def shell_blocks(page: Path) -> list[str]:
    """Every block of commands; `make` is what brought the reader here."""
    blocks = re.findall(r"^```sh\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    return [block for block in blocks if not block.startswith("make ")]


def test_the_lines_of_the_readme_work_from_top_to_bottom(tmp_path: Path, start_standin: Callable[..., StandinServer]):
    shutil.copytree(REPOSITORY / "docs" / "samples", tmp_path / "docs" / "samples")
    blocks = shell_blocks(REPOSITORY / "README.md")
    assert len(blocks) == 3
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("GRADEQUEUE_", "OPENAI_"))},
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "OPENAI_BASE_URL": start_standin("--latency-ms", "5").base_url,
        "GRADEQUEUE_DATA_DIR": str(tmp_path / "data"),
    }

    done = subprocess.run(
        ["bash", "-e", "-c", "\n".join(blocks)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=LONGEST_SECONDS,
        check=False,
    )

    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert len((tmp_path / "grades.jsonl").read_text().splitlines()) == 20
