"""Two installed releases: wheels of another commit and of this checkout, each in a folder of its own."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from ops.bench.processes import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path


NEXT = "9998_next"


def installed(folder: Path, commit: str = "HEAD", *, is_next: bool = False) -> Path:
    """The folder to put on the path for the wheel of this commit; dependencies are this environment's.

    `is_next`: of the release after it, which has one more migration.
    """
    source, wheels, place = folder / "source", folder / "wheel", folder / "installed"
    source.mkdir(parents=True)
    archive = subprocess.run(["git", "archive", commit], cwd=REPOSITORY, check=True, stdout=subprocess.PIPE)
    subprocess.run(["tar", "-x", "-C", str(source)], input=archive.stdout, check=True)
    if is_next:
        with_one_more_migration(source)
    pip = [sys.executable, "-m", "pip"]
    build = ["wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(wheels), str(source)]
    subprocess.run([*pip, *build], check=True)
    [wheel] = wheels.glob("*.whl")
    subprocess.run([*pip, "install", "--quiet", "--no-deps", "--target", str(place), str(wheel)], check=True)
    return place


def upgrade(place: Path, store_url: str, environment: dict[str, str]) -> str:
    """`gradequeue upgrade` of the release in this folder; what it said."""
    command = [sys.executable, "-P", "-c", "from producer.cli.main import main; main()", "upgrade"]
    done = subprocess.run(
        command,
        env={**environment, "DATABASE_URL": store_url, "PYTHONPATH": str(place)},
        cwd=place,
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip().replace("\n", "; ")


def with_one_more_migration(source: Path) -> None:
    """Make the release after this one: it adds a column and an index, and knows nothing to do with them."""
    versions = source / "workers" / "store" / "migrations" / "versions"
    engine = source / "workers" / "store" / "engine.py"
    [line] = [each for each in engine.read_text().splitlines() if each.startswith("HEAD_REVISION = ")]
    head = line.partition('"')[2].rstrip('"')
    engine.write_text(engine.read_text().replace(line, f'HEAD_REVISION = "{NEXT}"'))
    (versions / f"{NEXT}.py").write_text(
        '"""A column and an index."""\n\nimport sqlalchemy as sa\nfrom alembic import op\n\n'
        f'revision = "{NEXT}"\ndown_revision = "{head}"\n\n\ndef upgrade():\n'
        '    op.add_column("jobs", sa.Column("of_the_next", sa.Integer(), nullable=True))\n'
        '    op.create_index("ix_jobs_of_the_next", "jobs", ["of_the_next"])\n'
    )
