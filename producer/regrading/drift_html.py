"""A drift report as one HTML file that needs nothing else: no script, no style sheet, no picture of another place."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from producer.regrading.drift_report import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from producer.regrading.drift_report import DriftReport, FieldVerdict
    from producer.regrading.histogram import Histogram
    from producer.regrading.totals import Totals

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 1rem auto; padding: 0 1rem; color: #1a1a1a;
  background: #fff }
table { border-collapse: collapse; width: 100% } td, th { border-bottom: 1px solid #ccc; padding: .3rem .5rem;
  text-align: left; vertical-align: top } .scroll { overflow-x: auto } svg { max-width: 100%; height: auto }
.shift { font-weight: 700; color: #8a1c00 } .warning { border: 2px solid #8a1c00; padding: .5rem }
"""
_WIDTH, _HEIGHT, _EDGE = 420, 260, 40
_BINS = 20


def drift_html(report: DriftReport) -> str:
    """The whole page. Every text of the report is escaped."""
    title = f"Drift: {report.old} to {report.new}"
    drift = report.drift
    counts = (
        f"<p>{drift.compared} compared, {drift.unchanged} unchanged in every field; {drift.only_old} only in the old "
        f"batch, {drift.only_new} only in the new one. Noise: {report.noise_pairs} pairs of the same work graded in "
        "the same way.</p>"
    )
    parts = [
        f"<h1>{escape(title)}</h1>",
        '<p class="warning">Stand-in provider: part of these grades are not real.</p>' if drift.has_standin else "",
        counts,
        *(f"<p>{escape(note)}</p>" for note in report.notes),
        "<h2>Fields</h2>",
        _field_table(report.fields),
        "<h2>Shifts with their 95 % intervals</h2>",
        intervals_svg(report.fields),
        "<h2>Totals</h2>",
        scatter_svg(report.totals.dots),
        f"<p>{said}</p>" if (said := drawn_by_chance(report.totals)) else "",
        histogram_svg(report.totals.changes),
        "<h2>Bands that change</h2>",
        _table(("from", "to", "students"), report.bands) if report.bands else "<p>None.</p>",
        "<h2>Biggest moves</h2>",
        _table(
            ("id", "old", "new", "old feedback", "new feedback"),
            [
                (each.id, f"{each.old:g}", f"{each.new:g}", each.old_feedback, each.new_feedback)
                for each in report.movers
            ],
        )
        if report.movers
        else "<p>None.</p>",
    ]
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
    body = "".join(parts)
    return f'<!doctype html>\n<html lang="en"><head>{head}<style>{_STYLE}</style></head><body>{body}</body></html>\n'


def intervals_svg(fields: Sequence[FieldVerdict]) -> str:
    """One line per field: its shift and interval beside zero."""
    shown = [each for each in fields if each.low is not None and each.high is not None and each.changed]
    if not shown:
        return "<p>No field with ten pairs moved.</p>"
    reach = max(max(abs(each.low or 0.0), abs(each.high or 0.0)) for each in shown) or 1.0
    middle, scale = 400, 180 / reach
    lines = [f'<line x1="{middle}" y1="0" x2="{middle}" y2="{24 * len(shown) + 8}" stroke="#767676"/>']
    for place, each in enumerate(shown):
        y = 24 * place + 16
        color = "#8a1c00" if each.verdict is Verdict.SHIFT else "#1f4e79"
        low, high, mean = (middle + scale * (value or 0.0) for value in (each.low, each.high, each.shift))
        lines.append(
            f'<text x="0" y="{y + 5}" font-size="13">{escape(each.field[-32:])}</text>'
            f'<line x1="{low:.1f}" y1="{y}" x2="{high:.1f}" y2="{y}" stroke="{color}" stroke-width="2"/>'
            f'<circle cx="{mean:.1f}" cy="{y}" r="4" fill="{color}"><title>{each.shift:+.2f}</title></circle>'
        )
    return _svg(600, 24 * len(shown) + 10, lines, "shift of each field with its interval")


def scatter_svg(totals: Sequence[tuple[float, float]]) -> str:
    """New totals over old ones; the line is where nothing changed."""
    if not totals:
        return "<p>No totals to compare.</p>"
    highest = max(max(pair) for pair in totals) or 1.0
    across, up = (_WIDTH - 2 * _EDGE) / highest, (_HEIGHT - 2 * _EDGE) / highest
    dots = [
        f'<circle cx="{_EDGE + across * old:.1f}" cy="{_HEIGHT - _EDGE - up * new:.1f}" r="3" fill="#1f4e79" '
        'fill-opacity="0.5"/>'
        for old, new in totals
    ]
    line = f'<line x1="{_EDGE}" y1="{_HEIGHT - _EDGE}" x2="{_WIDTH - _EDGE}" y2="{_EDGE}" stroke="#767676"/>'
    return _svg(_WIDTH, _HEIGHT, [line, *dots, *_axes("old total", f"0 to {highest:g}, new total upwards")], "totals")


def drawn_by_chance(totals: Totals) -> str:
    """Says so when a plot shows some of the students; else empty."""
    shown = len(totals.dots)
    return "" if shown == totals.compared else f"{shown} of {totals.compared} students, drawn by chance."


def histogram_svg(changes: Histogram) -> str:
    """How many grades moved by how much."""
    if not changes.counts:
        return ""
    low, high = min(*changes.counts, 0.0), max(*changes.counts, 0.0)
    width = (high - low) / _BINS or 1.0
    counts = [0] * (_BINS + 1)
    for change, times in changes.counts.items():
        counts[min(_BINS, round((change - low) / width))] += times
    step, up = (_WIDTH - 2 * _EDGE) / (_BINS + 1), (_HEIGHT - 2 * _EDGE) / max(counts)
    bars = [
        f'<rect x="{_EDGE + step * place:.1f}" y="{_HEIGHT - _EDGE - up * count:.1f}" width="{step - 1:.1f}" '
        f'height="{up * count:.1f}" fill="#1f4e79"><title>{low + width * place:+.2f}: {count}</title></rect>'
        for place, count in enumerate(counts)
        if count
    ]
    return _svg(_WIDTH, _HEIGHT, [*bars, *_axes("change of the total", f"{low:+g} to {high:+g}")], "changes of totals")


def _axes(name: str, reach: str) -> list[str]:
    y = _HEIGHT - _EDGE
    return [
        f'<line x1="{_EDGE}" y1="{y}" x2="{_WIDTH - _EDGE}" y2="{y}" stroke="#333"/>',
        f'<text x="{_EDGE}" y="{y + 20}" font-size="13">{escape(name)}: {escape(reach)}</text>',
    ]


def _svg(width: int, height: int, parts: Iterable[str], label: str) -> str:
    size = f'viewBox="0 0 {width} {height}" width="{width}"'
    return f'<svg role="img" aria-label="{escape(label)}" {size}>{"".join(parts)}</svg>'


def _field_table(fields: Sequence[FieldVerdict]) -> str:
    rows = "".join(
        f"<tr><td>{escape(each.field)}</td><td>{each.changed} of {each.compared}</td>"
        f"<td{_mark(each)}>{escape(each.sentence)}</td>"
        f"<td>{'' if each.noise_size is None else f'{each.noise_size:.2f}'}</td></tr>"
        for each in fields
        if each.changed
    )
    head = "<tr><th>field</th><th>changed</th><th>verdict</th><th>noise, mean size</th></tr>"
    return f'<div class="scroll"><table>{head}{rows}</table></div>'


def _mark(each: FieldVerdict) -> str:
    return ' class="shift"' if each.verdict in {Verdict.SHIFT, Verdict.SCATTER} else ""


def _table(names: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    body = "".join(f"<tr>{''.join(f'<td>{escape(str(cell))}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="scroll"><table><tr>{head}</tr>{body}</table></div>'
