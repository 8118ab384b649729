"""A course system's download of a whole university course: memory, and the time to the first prompt.

    python -m ops.bench.downloads --students 5000 --gigabytes 2

Makes a Moodle ZIP in which each student handed in a notebook whose plots are most of its bytes, and reads it in a
process of its own: until the first prompt, then to the end. The peak is that process's resident memory, Python and
libraries included.

    python -m ops.bench.downloads --notebooks 200

What notebooks with plots cost in tokens, against the text of their cells.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from random import Random

from ops.bench.downloads.notebooks import MOST_RATIO, measure
from producer.inputs.checking import check_items
from producer.inputs.item import InputOptions
from producer.inputs.reading import read_items
from producer.inputs.templates import Template
from workers.contract.job import JobParameters

OPTIONS = InputOptions(is_strict=False)
MOST_MEGABYTES, MOST_SECONDS = 300, 5.0


def main() -> None:
    """Print one line of JSON; exit status 1 where a bound does not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--students", type=int, default=500)
    parser.add_argument("--gigabytes", type=float, default=0.2)
    parser.add_argument("--notebooks", type=int, help="instead: the tokens of so many notebooks with plots")
    parser.add_argument("--read", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.notebooks:
        measured = measure(given.notebooks)
        sys.stdout.write(json.dumps(measured) + "\n")
        raise SystemExit(measured["tokens_by_those_of_the_cells"] > MOST_RATIO)
    if given.read is not None:
        sys.stdout.write(json.dumps(_read(given.read)))
        return
    with tempfile.TemporaryDirectory(prefix="gradequeue-bench-") as folder:
        path = Path(folder) / "CS1-Week 3-42.zip"
        _write(path, given.students, int(given.gigabytes * 1e9))
        command = [sys.executable, "-m", "ops.bench.downloads", "--read", str(path)]
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        found["zip_gigabytes"] = round(path.stat().st_size / 1e9, 2)
    sys.stdout.write(json.dumps(found) + "\n")
    if found["peak_megabytes"] > MOST_MEGABYTES or found["first_prompt_seconds"] > MOST_SECONDS:
        raise SystemExit(1)


def _write(path: Path, students: int, size: int) -> None:
    """Plots are random, so that they stay as large in the archive as they are."""
    random = Random(1)  # noqa: S311 - bytes of a plot
    plot = random.randbytes(size // students * 3 // 4).hex()[: size // students]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for number in range(students):
            cells = [
                {"cell_type": "code", "metadata": {}, "execution_count": 1, "id": f"c{number}",
                 "source": f"def f(x):\n    return x + {number}\nplot(f)\n",
                 "outputs": [{"output_type": "display_data", "metadata": {}, "data": {"image/png": plot}}]},
            ]  # fmt: skip
            notebook = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
            name = f"Student {number}_{100_000 + number}_assignsubmission_file/work.ipynb"
            archive.writestr(name, json.dumps(notebook))


def _read(path: Path) -> dict[str, object]:
    template = Template.parse("Grade.\n{submission}\n", name="template")
    began = time.perf_counter()
    first = next(iter(read_items(path, options=OPTIONS)))
    first_seconds = time.perf_counter() - began
    checked = check_items(
        path, template=template, schema="feedback", model="m", parameters=JobParameters(), options=OPTIONS
    )
    count = sum(1 for _spec in checked.specs())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return {
        "students": count,
        "first": first.id,
        "first_prompt_seconds": round(first_seconds, 2),
        "checked_and_read_seconds": round(time.perf_counter() - began - first_seconds, 1),
        "peak_megabytes": round(peak / 1e6),
    }


if __name__ == "__main__":
    main()
