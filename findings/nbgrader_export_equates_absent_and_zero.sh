#!/usr/bin/env bash
# Guess: nbgrader's export tells who handed nothing in, whose essay is still unmarked and who earned 0.
# Truth: all three are the same line, 0.0 of 10.0 (the database knows the difference; the exporter writes
#   score, not needs_manual_grade). And it is no CSV: fields are joined by commas without quotes, so
#   the name "Roe, Jr." moves every later cell by one, and the header says nothing of it.
# Why: imported as human grades, unmarked essays become zeros in the agreement figures, and a comma in a
#   name reads a student's penalty as the score. Read the last four cells from the right; ask the
#   database who is unmarked.
# Versions: nbgrader 0.9.6. Source: nbgrader/plugins/export.py, CsvExportPlugin.export.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  nbgrader==0.9.6 sqlalchemy==2.1.9 alembic==1.20.1

PATH="$work/venv/bin:$PATH" "$work/venv/bin/python" - <<'PY'
import csv
import pathlib
import tempfile
import warnings
from importlib.metadata import version

from nbgrader.api import Gradebook
from nbgrader.plugins import CsvExportPlugin

warnings.simplefilter("ignore")


def expect(holds, sentence):
    if not holds:
        raise SystemExit(f"CHANGED: {sentence}")


with tempfile.TemporaryDirectory() as folder, Gradebook(f"sqlite:///{folder}/gradebook.db") as book:
    book.add_assignment("essay")
    book.add_notebook("page", "essay")
    book.add_grade_cell("text", "page", "essay", max_score=10, cell_type="markdown")
    book.add_solution_cell("text", "page", "essay")
    book.add_source_cell("text", "page", "essay", cell_type="markdown")
    for student in ("absent", "unmarked", "zero"):
        book.add_student(student, first_name="Kim", last_name="Doe")
    book.add_student("comma", first_name="Pat", last_name="Roe, Jr.")
    for student in ("unmarked", "zero", "comma"):
        book.add_submission("essay", student)
    for student, points in (("zero", 0), ("comma", 7)):
        grade = book.find_grade("text", "page", "essay", student)
        grade.manual_score, grade.needs_manual_grade = points, False
    book.db.commit()
    unmarked = book.find_grade("text", "page", "essay", "unmarked").needs_manual_grade
    exporter = CsvExportPlugin()
    exporter.to = f"{folder}/grades.csv"
    exporter.export(book)
    text = pathlib.Path(exporter.to).read_text()

print(f"nbgrader {version('nbgrader')}")
print(text.strip())
print(f"the database knows that one essay is unmarked: {unmarked}")
rows = {row["student_id"]: row for row in csv.DictReader(text.splitlines())}
plain = [[cell for name, cell in rows[student].items() if name != "student_id"] for student in ("absent", "unmarked", "zero")]
expect(unmarked, "the database no longer marks the essay as waiting.")
expect(plain[0] == plain[1] == plain[2], "absent, unmarked and zero can be told apart in the export now.")
comma = rows["comma"]
print(f'read by csv.DictReader, "Roe, Jr." has raw score {comma["raw_score"]!r} and score {comma["score"]!r}')
expect(comma[None] == ["10.0"] and comma["max_score"] == "7.0", "a comma in a name is quoted now.")
PY
