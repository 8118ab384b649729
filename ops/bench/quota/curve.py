"""The served-per-second curve as SVG, by hand: what was available, and what each contender made of it."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ops.bench.quota.measure import Drain

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 900, 380, 60, 40, 30
FONT = 'font-family="sans-serif" font-size="12"'
COLOURS = ("#1b6ca8", "#c0392b", "#7d8c2b", "#8e44ad")


def draw(drains: Sequence[Drain], path: Path, *, title: str) -> None:
    """Write the picture."""
    longest = max(len(drain.served) for drain in drains)
    highest = 1.5 * max(max(drain.available, default=1.0) for drain in drains)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" {FONT}>',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="18">{escape(title)}</text>',
        *_axes(longest, highest),
        _line(max(drains, key=lambda drain: len(drain.available)).available, longest, highest, "#999", "4 3"),
    ]
    for drain, colour in zip(drains, COLOURS, strict=False):
        parts.append(_line(drain.served, longest, highest, colour))
    for place, (drain, colour) in enumerate(zip(drains, COLOURS, strict=False)):
        parts.append(
            f'<text x="{LEFT + 130 * place + 10}" y="{TOP + 12}" fill="{colour}">{escape(drain.contender)}</text>'
        )
    path.write_text("\n".join([*parts, "</svg>"]) + "\n")


def _axes(longest: int, highest: float) -> list[str]:
    floor = HEIGHT - BOTTOM
    return [
        f'<line x1="{LEFT}" y1="{floor}" x2="{WIDTH}" y2="{floor}" stroke="black"/>',
        f'<line x1="{LEFT}" y1="{TOP}" x2="{LEFT}" y2="{floor}" stroke="black"/>',
        f'<text x="{WIDTH - 10}" y="{HEIGHT - 12}" text-anchor="end">{longest} s</text>',
        f'<text x="{LEFT - 6}" y="{TOP + 10}" text-anchor="end">{highest:,.0f}/s</text>',
    ]


def _line(values: Sequence[float], longest: int, highest: float, colour: str, dashes: str = "none") -> str:
    width, height = WIDTH - LEFT, HEIGHT - BOTTOM - TOP
    points = " ".join(
        f"{LEFT + width * (second + 0.5) / longest:.1f},{TOP + height * (1 - min(value / highest, 1)):.1f}"
        for second, value in enumerate(values)
    )
    return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-dasharray="{dashes}" stroke-width="1.5"/>'
