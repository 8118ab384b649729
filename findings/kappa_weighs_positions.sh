#!/usr/bin/env bash
# Guess: quadratically weighted kappa weighs a disagreement by the distance between the two grades.
# Truth: scikit-learn weighs by the distance between their positions among the grades that occur.
#   1 against 10 costs no more than 1 against 2 where nobody got anything in between, and grades read
#   as text are ordered as text ("10.00" before "7.00").
# Why: agreement of human and model grades comes out far too good on a sparse scale, and too bad on a
#   CSV column that was read as text. Pass labels= with the whole scale, as numbers, every time.
# Versions: scikit-learn 1.9.1. Source: sklearn/metrics/_classification.py, cohen_kappa_score (weights
#   are built from arange(n_classes)); its documentation speaks of the labels, not of their values.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  scikit-learn==1.9.1 numpy==2.4.6

"$work/venv/bin/python" - <<'PY'
import sklearn
from sklearn.metrics import cohen_kappa_score


def expect(holds, sentence):
    if not holds:
        raise SystemExit(f"CHANGED: {sentence}")


def kappa(left, right, **options):
    return cohen_kappa_score(left, right, weights="quadratic", **options)


teacher, model = [0, 1, 10, 10], [0, 10, 10, 1]
near_teacher, near_model = [0, 1, 2, 2], [0, 2, 2, 1]
sparse, near = kappa(teacher, model), kappa(near_teacher, near_model)
declared = kappa(teacher, model, labels=range(11))
print(f"scikit-learn {sklearn.__version__}")
print(f"mistakes of 9 points: {sparse:.3f}; mistakes of 1 point: {near:.3f}; on the scale 0..10: {declared:.3f}")
expect(sparse == near, "mistakes of 9 points and of 1 point no longer give the same weighted kappa.")
expect(sparse > 0.6 and declared < 0.2, "declaring the whole scale no longer lowers kappa from 0.64 to 0.11.")

teacher = ["9.00", "10.00", "8.00", "9.50", "10.00", "7.00", "9.00", "8.50"]
model = ["9.50", "10.00", "8.00", "9.00", "9.50", "7.50", "9.00", "8.50"]
scale = sorted(set(teacher + model), key=float)
as_text, as_scale = kappa(teacher, model), kappa(teacher, model, labels=scale)
print(f"the same grades as text: {as_text:.3f}; with labels in numeric order: {as_scale:.3f}")
expect(as_text < 0.5 and as_scale > 0.9, "text grades are no longer ordered as text.")
PY
