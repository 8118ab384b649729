"""Every process of ours begins by leaving the working folder out, keeping its files private and refusing core dumps."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
REPORT = """
import json, os, resource, sys
os.umask(mask := os.umask(0o777))
print(json.dumps([sys.path, mask, resource.getrlimit(resource.RLIMIT_CORE)[0], os.environ.get("PYTHONPATH")]))
"""


@pytest.mark.parametrize(
    ("python_path", "kept"), [("", ""), (".", ""), (":/absolute", "/absolute"), ("/absolute::rel", "/absolute")]
)
def test_after_confine_the_working_folder_is_not_importable(tmp_path: Path, python_path: str, kept: str):
    code = f"import sys; sys.path.append({str(REPOSITORY)!r})\nimport workers.confinement as c; c.confine(){REPORT}"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": python_path},
        capture_output=True,
        text=True,
        check=True,
    )
    path, mask, core, told = json.loads(done.stdout)
    assert not {"", ".", str(tmp_path), str(tmp_path / "rel")} & set(path)
    assert (mask, core) == (0o077, 0)
    assert told == kept


def test_confinement_imports_nothing_that_the_working_folder_could_replace(tmp_path: Path):
    """Python has loaded what it imports before the first line runs."""
    code = (
        "import sys; before = set(sys.modules)\n"
        f"sys.path.append({str(REPOSITORY)!r})\n"
        "import producer.cli.main\nprint(sorted(set(sys.modules) - before - set(sys.builtin_module_names)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['producer', 'producer.cli', 'producer.cli.main', 'workers', 'workers.confinement']"
