"""Notebooks with plots: the tokens of their prompts against the tokens of what their cells hold.

Each has what a student's has: text, code, `<Figure ...>` and `[<matplotlib...>]` beside every plot, a few printed
lines. Plots are random bytes of the size that matplotlib writes.
"""

from __future__ import annotations

import base64
import json
from random import Random
from statistics import mean
from typing import TYPE_CHECKING, Any

from producer.inputs.documents.notebook import notebook_text
from producer.inputs.token_counts import best_counter

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_RATIO = 1.1
_PNG_BYTES = 24_000
_WORDS = ("mean", "sample", "error", "the", "of", "each", "data", "shows", "we", "plot", "grows", "with", "size", "so")
_CODE = (
    """x = np.linspace(0, {n}, 200)
y = np.sin(x * {n}) + rng.normal(0, 0.1, x.size)
fig, ax = plt.subplots()
ax.plot(x, y, label='run {n}')
ax.set_xlabel('time in s')
ax.set_ylabel('amplitude')
ax.legend()""",
    """def fit_{n}(data):
    # least squares of a line through the points
    a = np.vstack([data[:, 0], np.ones(len(data))]).T
    slope, offset = np.linalg.lstsq(a, data[:, 1], rcond=None)[0]
    return slope, offset

slope, offset = fit_{n}(points)
plt.scatter(points[:, 0], points[:, 1], s=4)
plt.plot(x, slope * x + offset)""",
)


def measure(notebooks: int) -> dict[str, Any]:
    """How many times the tokens of its cells a notebook's prompt has, on average and at worst, and its file's."""
    random = Random(2)  # noqa: S311 - words and plots
    count_of = best_counter().count
    ratios, sent = [], []
    for _ in range(notebooks):
        cells = list(_cells(random))
        content = json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}).encode()
        bare = count_of("\n\n".join(str(cell["source"]) for cell in cells))
        ratios.append(count_of(notebook_text(content)) / bare)
        sent.append(len(content) / 4 / bare)
    return {
        "notebooks": notebooks,
        "counted_by": best_counter().name,
        "tokens_by_those_of_the_cells": round(mean(ratios), 3),
        "worst": round(max(ratios), 3),
        "the_file_itself_would_be_about": round(mean(sent)),
    }


def _cells(random: Random) -> Iterator[dict[str, Any]]:
    for number in range(random.randint(6, 14)):
        said = " ".join(random.choices(_WORDS, k=random.randint(25, 70)))
        yield {"cell_type": "markdown", "metadata": {}, "source": f"## Part {number}\n{said.capitalize()}."}
        yield {
            "cell_type": "code", "metadata": {}, "execution_count": number, "outputs": _outputs(random),
            "source": random.choice(_CODE).format(n=number + 2),
        }  # fmt: skip


def _outputs(random: Random) -> list[dict[str, Any]]:
    png = base64.b64encode(random.randbytes(_PNG_BYTES)).decode()
    figure = {"image/png": png, "text/plain": "<Figure size 640x480 with 1 Axes>"}
    line = {"text/plain": f"[<matplotlib.lines.Line2D at 0x{random.getrandbits(44):x}>]"}
    found: list[dict[str, Any]] = [
        {"output_type": "execute_result", "metadata": {}, "execution_count": 1, "data": line},
        {"output_type": "display_data", "metadata": {}, "data": figure},
    ]
    if random.random() < 0.2:  # noqa: PLR2004 - one cell in five prints
        found.append({"output_type": "stream", "name": "stdout", "text": f"slope {random.random():.4f}\n"})
    return found
