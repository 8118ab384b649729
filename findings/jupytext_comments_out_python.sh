#!/usr/bin/env bash
# Guess: writing a notebook as a Python script keeps its Python lines and comments out IPython magics.
# Truth: an unindented line whose first word is ls, cat, cd, cp, mv, rm, echo, copy and the like is taken
#   for a shell command and commented out, valid Python or not, also in the middle of a bracket: the
#   script then computes another value than the notebook, without an error.
# Why: a student who calls a list ls or an array cat loses the line that shows the answer, and the grader,
#   human or model, reads a script that the student did not write. Take the cell sources instead.
# Versions: jupytext 1.19.6, nbformat 5.11.1. Source: jupytext/magics.py (_PYTHON_MAGIC_CMD; the exceptions
#   are a following "=" or "," only). The comment is taken back when jupytext reads the script itself.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  jupytext==1.19.6 nbformat==5.11.1

"$work/venv/bin/python" - <<'PY'
from importlib.metadata import version

import jupytext
from nbformat.v4 import new_code_cell, new_notebook


def expect(holds, sentence):
    if not holds:
        raise SystemExit(f"CHANGED: {sentence}")


def script(source):
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = new_notebook(cells=[new_code_cell(source)], metadata={"kernelspec": kernel})
    return jupytext.writes(notebook, fmt="py:percent").split("# %%\n", 1)[1]


def value(source, name):
    names = {}
    exec(source, names)
    return names[name]


print(f"jupytext {version('jupytext')}")
shown = "ls = sorted([3, 1, 2])\nls"
print(f"{shown!r} becomes {script(shown)!r}")
expect(script(shown).endswith("\n# ls\n"), "a line that only names ls is kept now.")

source = "cat = 40\ntotal = (\ncat\n+ 2)"
print(f"{source!r} becomes {script(source)!r}")
before, after = value(source, "total"), value(script(source), "total")
print(f"total is {before} in the notebook and {after} in the script")
expect((before, after) == (42, 2), "the script computes what the notebook computes now.")
other = "dog = 40\ntotal = (\ndog\n+ 2)"
expect(value(script(other), "total") == 42, "a name that is no shell command changes the value too.")
PY
