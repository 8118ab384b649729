"""What Streamlit's own style leaves below WCAG 2.2 AA, or too far apart for a page of work."""

from __future__ import annotations

import streamlit as st

BESIDE = "beside"
"""Key of what stays in view beside a longer column."""
_STYLE = """<style>
.stMainBlockContainer { padding-top: 4.5rem; padding-bottom: 2rem; }
[data-testid="stCaptionContainer"], [data-testid="stCaptionContainer"] p {
  color: #595959 !important; opacity: 1 !important;
}
button kbd { color: inherit !important; opacity: 1 !important; }
.work { white-space: pre-wrap; overflow-wrap: anywhere; font-family: monospace; font-size: 0.85rem; margin: 0;
  max-height: 620px; overflow: auto; padding: 0.75rem; border: 1px solid #c9c9c9; border-radius: 8px; }
.work.short { max-height: 320px; }
@media (min-width: 641px) {
  .stColumn > .stVerticalBlock > :has(> .st-key-beside) { position: sticky; top: 4rem; }
  .st-key-beside .work { max-height: calc(100vh - 9rem); }
}
[data-testid="stBaseButton-tertiary"] { text-align: left; }
[data-testid="stBaseButton-tertiary"] :is(div, span, p) {
  white-space: normal !important; overflow: visible !important; text-overflow: clip !important; overflow-wrap: anywhere;
}
.work mark { background: #ffe08a; color: #1f1f1f; border-radius: 2px; }
.work sup { font-weight: bold; padding-left: 2px; }
</style>"""


def show_work(html: str, *, name: str, is_short: bool = False) -> None:
    """A text that may be long, in a box that the keyboard can scroll. `html` is escaped already; so must `name` be."""
    short = " short" if is_short else ""
    st.html(f'<pre class="work{short}" tabindex="0" role="region" aria-label="{name}">{html}</pre>')


def use_style() -> None:
    """Once per drawing of the page."""
    st.html(_STYLE)
