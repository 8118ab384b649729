#!/usr/bin/env bash
# Guess: an autograder test that fails is a row of 0 out of its weight.
# Truth: when the failure is inside a subTest, gradescope-utils writes no row: neither score nor
#   maximum is in results.json. A skipped test vanishes too, and a partial_credit test that never
#   calls set_score gets full marks.
# Why: 6 of 10 becomes 6 of 6, the student sees no failed test, and whoever adds up max_score reads a
#   perfect paper. Take the maximum from the assignment, never from the rows.
# Versions: gradescope-utils 0.5.0, Python 3.11. Source: autograder_utils/json_test_runner.py (addSuccess,
#   addError, addFailure only) and unittest's TestResult.addSubTest, which is called in their place.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  gradescope-utils==0.5.0

"$work/venv/bin/python" - <<'PY'
import io
import json
import platform
import unittest
from importlib.metadata import version

from gradescope_utils.autograder_utils.decorators import partial_credit, weight
from gradescope_utils.autograder_utils.json_test_runner import JSONTestRunner


def expect(holds, sentence):
    if not holds:
        raise SystemExit(f"CHANGED: {sentence}")


def results(answers):
    class Exercise(unittest.TestCase):
        @weight(4)
        def test_cases(self):
            for number, answer in enumerate(answers):
                with self.subTest(number=number):
                    self.assertEqual(answer, number * number)

        @weight(6)
        def test_style(self):
            pass

        @unittest.skip("not this term")
        @weight(5)
        def test_bonus(self):
            pass

        @partial_credit(3)
        def test_report(self, set_score=None):
            pass

    stream = io.StringIO()
    JSONTestRunner(stream=stream, visibility="visible").run(unittest.defaultTestLoader.loadTestsFromTestCase(Exercise))
    return {row["name"].split()[0]: (row["score"], row["max_score"]) for row in json.loads(stream.getvalue())["tests"]}


right, wrong = results([0, 1, 4]), results([0, 1, 5])
print(f"gradescope-utils {version('gradescope-utils')}, Python {platform.python_version()}")
print(f"all subtests pass: {right}")
print(f"one subtest fails: {wrong}")
expect(right["test_cases"] == (4, 4), "a test whose subtests pass is no longer worth its weight.")
expect("test_cases" not in wrong, "a failed subtest is a row now.")
expect("test_bonus" not in right, "a skipped test is a row now.")
expect(right["test_report"] == (3, 3), "partial credit without a score is no longer full marks.")
PY
