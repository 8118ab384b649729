"""WCAG 2.2 AA, as far as a program can judge it: axe-core, loaded from its package on disk."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Page

RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]


@cache
def _axe() -> str:
    package = find_spec("axe_playwright_python")
    assert package is not None, "axe is missing; install it with: pip install -e '.[dev]'"
    assert package.origin is not None
    return Path(package.origin).with_name("axe.min.js").read_text()


def violations(page: Page) -> list[str]:
    """What the page as it is drawn now breaks: the rule, where, and what to do. Waits until nothing is stale."""
    page.wait_for_function("() => !document.querySelector('[data-stale=\"true\"]')")
    page.evaluate(_axe())
    found = page.evaluate("rules => axe.run({runOnly: rules})", RULES)
    return [
        f"{each['id']}: {node['target']}: {node['failureSummary']}"
        for each in found["violations"]
        for node in each["nodes"]
    ]
