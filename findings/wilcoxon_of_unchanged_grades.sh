#!/usr/bin/env bash
# Guess: a signed-rank test of grades against themselves says the same for 13 students as for 14.
# Truth: by default p is 1.0 up to 13 pairs and NaN from 14 on (the permutation path ends at 13 when
#   there are ties, the normal approximation divides zero by zero); and method="exact" with
#   zero_method="pratt" calls twenty untouched grades a change at p = 0.000002.
# Why: "did this week's prompt move the grades?" is asked of grades that mostly did not move. NaN < 0.05
#   is false and 0.000002 < 0.05 is true: one check goes blind and the other cries wolf.
# Versions: scipy 1.17.1. Source: scipy/stats/_wilcoxon.py (_wilcoxon_nd, the choice of method="auto").
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  scipy==1.17.1 numpy==2.4.6

"$work/venv/bin/python" - <<'PY'
import math
import warnings

import scipy
from scipy.stats import wilcoxon

warnings.simplefilter("ignore")


def expect(holds, sentence):
    if not holds:
        raise SystemExit(f"CHANGED: {sentence}")


def unchanged(pairs, **options):
    grades = [4 + 0.25 * number for number in range(pairs)]
    return float(wilcoxon(grades, grades, **options).pvalue)


print(f"scipy {scipy.__version__}")
for pairs in (12, 13, 14, 20):
    exact = unchanged(pairs, method="exact", zero_method="pratt")
    print(f"{pairs} unchanged grades: default p = {unchanged(pairs)}, exact with pratt p = {exact:.7f}")
expect(unchanged(13) == 1.0, "thirteen unchanged grades no longer give p = 1.")
expect(math.isnan(unchanged(14)), "fourteen unchanged grades no longer give NaN.")
expect(
    unchanged(20, method="exact", zero_method="pratt") < 0.00001,
    "exact with pratt no longer finds a significant change in unchanged grades.",
)
PY
