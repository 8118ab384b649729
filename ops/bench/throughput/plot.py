"""The figures as an SVG: bars of jobs per second and of CPU per job, one row of charts per load."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ops.bench.throughput.measure import Figures

WIDTH, CHART_WIDTH, BAR, GAP, LABEL = 900, 430, 18, 6, 120
OURS, THEIRS = "#2a6f97", "#a9b4bd"


def draw(loads: Mapping[str, Mapping[str, Figures]]) -> str:
    """An SVG document."""
    parts: list[str] = []
    top = 10
    for title, medians in loads.items():
        parts.append(f'<text x="10" y="{top + 14}" font-weight="bold">{escape(title)}</text>')
        parts += _chart("jobs/s", {n: f.jobs_per_second for n, f in medians.items()}, left=10, top=top + 26)
        parts += _chart("CPU ms per job", {n: f.cpu_ms_per_job for n, f in medians.items()}, left=460, top=top + 26)
        top += 60 + len(medians) * (BAR + GAP)
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{top}" font-family="sans-serif"'
        f' font-size="12">\n<rect width="100%" height="100%" fill="white"/>\n{body}\n</svg>\n'
    )


def _chart(unit: str, values: Mapping[str, float], *, left: int, top: int) -> list[str]:
    longest = max(values.values(), default=1.0)
    parts = [f'<text x="{left}" y="{top + 8}" fill="#555">{escape(unit)}</text>']
    for row, (name, value) in enumerate(values.items()):
        y = top + 16 + row * (BAR + GAP)
        width = value / longest * (CHART_WIDTH - LABEL - 60)
        colour = OURS if name == "gradequeue" else THEIRS
        parts.append(f'<text x="{left + LABEL - 6}" y="{y + 13}" text-anchor="end">{escape(name)}</text>')
        parts.append(f'<rect x="{left + LABEL}" y="{y}" width="{width:.1f}" height="{BAR}" fill="{colour}"/>')
        parts.append(f'<text x="{left + LABEL + width + 5:.1f}" y="{y + 13}">{value:.3g}</text>')
    return parts
