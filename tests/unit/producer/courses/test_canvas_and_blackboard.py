"""Names that a Canvas upload carries itself, the pages that Canvas puts around a text, Blackboard Ultra's receipt."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from producer.inputs import InputOptions
from producer.inputs.item import InputItem
from producer.inputs.reading import scan_items

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

PAGE = (
    "<html><head><title>Essay 1: Ada Byron</title>\n</head>\n<body>\n<h1>Essay 1: Ada Byron</h1>\n"
    '<div style="width: 600px;">\n  {}\n</div>\n</body>\n</html>'
)
LINK_PAGE = (
    '<html><head><meta http-equiv="Refresh" content="0; url=https://site.example/?a=1&copy=2">\n'
    "  <title>Essay 1: Ada Byron</title>\n</head>\n<body>\n<h1>Essay 1: Ada Byron</h1>\n"
    "<p>This submission was a url</p>\n</body>\n</html>"
)


def read(folder: Path, files: Mapping[str, str], layout: str = "canvas") -> dict[str, InputItem]:
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    found = list(scan_items(folder, options=InputOptions(layout=layout, is_strict=False)))
    items = [each for each in found if isinstance(each, InputItem)]
    assert len(items) == len(found)
    return {item.id: item for item in items}


def text_of(item: InputItem) -> str:
    return str(item.fields["submission"]).strip()


@pytest.mark.parametrize(
    ("uploaded", "other"),
    [
        ("annasmith_1001_2001_bobking_LATE_1002_2002_essay.txt", "bobking_LATE_1002_2002_essay.txt"),
        ("annasmith_1001_2001_bobking_1002_2002_essay.txt", "bobking_1002_2002_essay.txt"),
        ("annasmith_1001_2001_LATE_7_8_essay.txt", "bobking_1002_2002_essay.txt"),
        ("annasmith_1001_2001_annasmith_LATE_1001_1990_essay.txt", "bobking_1002_2002_essay.txt"),
        ("annasmith_1001_2001_LATE_5_text.html", "bobking_1002_2002_LATE_5_link.html"),
        ("annasmith_1001_2001_99_text.html", "bobking_1002_2002_99_link.html"),
        ("annasmith_12_1001_2001_bobking_LATE_1002_2002_essay.txt", "bobking_1002_2002_essay.txt"),
    ],
)
def test_what_the_own_name_of_an_upload_repeats_makes_it_nobody_elses(uploaded: str, other: str, tmp_path: Path):
    items = read(tmp_path, {uploaded: "of anna", other: "of bob", "cydee_1003_2003_x.txt": "of cy"})
    assert {identity: text_of(item) for identity, item in items.items()} == {
        "1001": "of anna", "1002": "of bob", "1003": "of cy",
    }  # fmt: skip
    assert items["1001"].metadata["attachments"] == ["2001"]
    assert "late" not in items["1001"].metadata


@pytest.mark.parametrize("head", ["byronada_1001", "byronada_LATE_1001", "anon_aB1x9"])
@pytest.mark.parametrize(
    ("entry", "page", "sent"),
    [
        ("text", PAGE.format("<h1>Heat</h1><div><p>is energy</p></div>"), "Heat\n====\n\nis energy"),
        ("text", PAGE.format("<h1>Essay 1: Ada Byron</h1>"), "Essay 1: Ada Byron\n=================="),
        ("link", LINK_PAGE, "https://site.example/?a=1&copy=2"),
        ("text", "<h1>Heat</h1>", "Heat\n===="),
    ],
)
def test_only_what_stands_inside_of_the_page_is_sent(head: str, entry: str, page: str, sent: str, tmp_path: Path):
    (item,) = read(tmp_path, {f"{head}_{entry}.html": page}).values()
    assert text_of(item) == sent


def test_an_empty_text_entry_is_a_row_with_the_reason(tmp_path: Path):
    (item,) = read(tmp_path, {"byronada_1001_text.html": PAGE.format("")}).values()
    assert (item.left_out, text_of(item)) == ("not graded: nothing was handed in", "")


@pytest.mark.parametrize("title", ["{}:\n", "{}: <br>\n", "{}:<br/>", "{}: <br>"])
@pytest.mark.parametrize("has_file", [True, False])
def test_the_text_of_a_receipt_is_read_however_its_titles_end(title: str, has_file: bool, tmp_path: Path):  # noqa: FBT001
    stem = "HW_{}_attempt_2026-10-10-11-59-00"
    nothing = "<p>There is no student submission text data for this assignment.</p>"
    files = {}
    for user, text in (("s1", "<p>First.</p>\n\nComments:\n<p>Mine.</p>"), ("s2", nothing)):
        below = zip(("Submission Field", "Comments", "Files"), (text, "to the tutor", "\tNone."), strict=True)
        body = "\n\n".join(title.format(name) + each for name, each in below)
        files[stem.format(user) + ".txt"] = f"Name: N {user} ({user})\nAssignment: HW\n\n{body}\n"
        if has_file:
            files[stem.format(user) + "_a.txt"] = f"file of {user}"
    items = read(tmp_path, files, "blackboard")
    first, second = text_of(items["s1"]), text_of(items["s2"])
    assert "First." in first
    assert "Mine." in first
    assert "tutor" not in first
    assert items["s1"].metadata["comments"] == "to the tutor"
    assert ("file of s1" in first, second) == ((True, "file of s2") if has_file else (False, ""))
    assert items["s2"].left_out == ("" if has_file else "not graded: nothing was handed in")
