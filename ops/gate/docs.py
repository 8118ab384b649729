"""`python -m ops.gate.docs`: write the pages of docs/ that are generated: the settings, the index of decisions.

`--check` writes nothing and exits 1 when one of them is out of date; `make check` runs it.
"""

from __future__ import annotations

import sys
from pathlib import Path

from ops.gate import decisions_page, settings_page

REPOSITORY = Path(__file__).parents[2]
PAGES = (settings_page, decisions_page)


def main(arguments: list[str]) -> int:
    """Write the pages, or only compare them."""
    stale = [each for each in PAGES if each.PAGE.read_text(encoding="utf-8") != each.page()]
    if "--check" not in arguments:
        for each in stale:
            each.PAGE.write_text(each.page(), encoding="utf-8")
        return 0
    for each in stale:
        sys.stderr.write(f"{each.PAGE.relative_to(REPOSITORY)} is out of date; run: make docs\n")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
