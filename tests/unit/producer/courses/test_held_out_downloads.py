"""Downloads made from the exporters' own rules: the readers were written without them and are judged by them."""

from __future__ import annotations

import io
import re
import zipfile
from typing import TYPE_CHECKING

import pytest

from producer.inputs import InputOptions
from producer.inputs.item import InputItem
from producer.inputs.reading import scan_items
from producer.page.uploads import UploadedFile, read_upload
from tests.support.held_out_closed import SYSTEMS
from workers.contract.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tests.support.held_out_downloads import HeldOut

LENIENT = InputOptions(is_strict=False)
TOKEN = re.compile(r"tk\d{4}[0-9a-f]{6}kt")
SEEDS = range(4)


def faults(found: Iterable[InputItem | InvalidInput], made: HeldOut) -> list[str]:
    """A sentence for each part that is lost, doubled or somebody else's, and for each student who is."""
    everything = list(found)
    said = [str(each) for each in everything if isinstance(each, InvalidInput)]
    items = [each for each in everything if isinstance(each, InputItem)]
    by_id = {item.id: item for item in items}
    if len(by_id) != len(items):
        said.append("a student stands twice")
    said += [f"{identity!r} is no student" for identity in by_id.keys() - made.expected.keys()]
    said += [f"{identity!r} is missing" for identity in made.expected.keys() - by_id.keys()]
    for identity, item in by_id.items():
        got = TOKEN.findall(str(item.fields["submission"]))
        if sorted(got) != sorted(made.expected.get(identity, ())):
            said.append(f"{identity!r} has other parts {item.left_out}")
        if bool(item.left_out) == bool(got):
            said.append(f"{identity!r}: graded and left out")
        if made.names.get(identity) and item.metadata.get("name") != made.names[identity]:
            said.append(f"{identity!r} is named {item.metadata.get('name')!r}")
    text = "".join(str(item.fields["submission"]) for item in items)
    return said + [f"{word!r} stands in a prompt" for word in made.never if word in text]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("system", SYSTEMS)
def test_every_student_of_a_held_out_download_has_their_own_parts(system: str, seed: int, tmp_path: Path):
    made = SYSTEMS[system](seed)
    path = tmp_path / "download.zip"
    path.write_bytes(made.zipped())
    assert faults(scan_items(path, options=LENIENT), made) == []


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_held_out_download_that_was_unpacked_reads_the_same(system: str, tmp_path: Path):
    made = SYSTEMS[system](5)
    with zipfile.ZipFile(io.BytesIO(made.repacked())) as archive:
        for entry, (name, content) in zip(archive.infolist()[::2], made.members, strict=True):
            assert entry.file_size == len(content)
            (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "in" / name).write_bytes(content)
    assert faults(scan_items(tmp_path / "in", options=LENIENT), made) == []


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_held_out_download_packed_again_on_a_mac_reads_the_same_on_the_page(system: str):
    made = SYSTEMS[system](6)
    found = read_upload([UploadedFile("Handed in.zip", io.BytesIO(made.repacked()))])
    assert list(found.problems) == []
    assert faults(found.items, made) == []


def test_one_file_named_as_another_system_names_its_own_does_not_decide_what_a_download_is(tmp_path: Path):
    for name in ("ann.py", "bob.py", "cleo.py", "Dora Byron_7001_assignsubmission_file_main.py"):
        (tmp_path / name).write_text(f"x = '{name}'\n", encoding="utf-8")
    assert len([item for item in scan_items(tmp_path, options=LENIENT) if not getattr(item, "left_out", "")]) == 4


def test_the_list_of_a_class_is_nobodys_work_wherever_it_lies(tmp_path: Path):
    (tmp_path / "submission_metadata.yml").write_text("---\nsubmission_1:\n  :submitters:\n", encoding="utf-8")
    (tmp_path / "ann.py").write_text("x = 1\n", encoding="utf-8")
    items = [item for item in scan_items(tmp_path, options=LENIENT) if isinstance(item, InputItem)]
    assert [item.id for item in items] == ["ann"]
