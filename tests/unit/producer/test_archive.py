"""ZIP archives from strangers: what is dangerous is left out with a sentence, the rest is unpacked."""

from __future__ import annotations

import io
import stat
import struct
import zipfile
from typing import TYPE_CHECKING

import pytest

from producer.inputs.archive import ArchiveLimits, unpack
from workers.contract.errors import InvalidInput

if TYPE_CHECKING:
    from pathlib import Path


def archive(*entries: tuple[str | zipfile.ZipInfo, bytes]) -> io.BytesIO:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in entries:
            made.writestr(name, content)
    file.seek(0)
    return file


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_files_and_folders_are_unpacked_as_they_are(tmp_path: Path):
    problems = unpack(archive(("anna/main.py", b"1"), ("ben.py", b"2")), tmp_path, name="all.zip")

    assert problems == []
    assert names(tmp_path) == ["anna/main.py", "ben.py"]


@pytest.mark.parametrize("name", ["../evil.py", "a/../../evil.py", "/etc/evil.py", "..\\evil.py", "C:\\evil.py"])
def test_a_path_that_climbs_out_is_left_out_and_the_rest_goes_on(tmp_path: Path, name: str):
    folder = tmp_path / "deep" / "inside"
    folder.mkdir(parents=True)

    problems = unpack(archive((name, b"x"), ("ben.py", b"2")), folder, name="all.zip")

    assert ["leads out of the archive" in str(problem) for problem in problems] == [True]
    assert names(tmp_path) == ["deep/inside/ben.py"]


def test_a_link_is_left_out(tmp_path: Path):
    link = zipfile.ZipInfo("passwd")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16

    problems = unpack(archive((link, b"/etc/passwd"), ("ben.py", b"2")), tmp_path, name="all.zip")

    assert "link" in str(problems[0])
    assert names(tmp_path) == ["ben.py"]


def test_a_huge_file_is_left_out_whatever_its_header_says(tmp_path: Path):
    content = bytearray(archive(("huge.py", b"0" * 100_000), ("ben.py", b"2")).getvalue())
    directory = content.index(b"PK\x01\x02")
    content[directory + 24 : directory + 28] = (5).to_bytes(4, "little")  # the size the directory claims

    honest = unpack(
        archive(("huge.py", b"0" * 100_000), ("ben.py", b"2")),
        tmp_path,
        name="all.zip",
        limits=ArchiveLimits(max_file_bytes=1000),
    )
    lying_folder = tmp_path / "lying"
    lying_folder.mkdir()
    unpack(io.BytesIO(content), lying_folder, name="all.zip", limits=ArchiveLimits(max_file_bytes=1000))

    assert "larger than 1,000 bytes" in str(honest[0])
    assert names(lying_folder) == ["ben.py"]
    assert (tmp_path / "ben.py").exists()
    assert not (tmp_path / "huge.py").exists()


def test_a_bomb_is_refused_as_a_whole_before_it_fills_the_disk(tmp_path: Path):
    bomb = archive(*((f"{number}.py", b"0" * 50_000) for number in range(100)))

    with pytest.raises(InvalidInput, match=r"all\.zip: unpacked it exceeds"):
        unpack(bomb, tmp_path, name="all.zip", limits=ArchiveLimits(max_total_bytes=1_000_000))

    assert sum(path.stat().st_size for path in tmp_path.rglob("*")) <= 1_000_000


def test_too_many_files_are_refused_as_a_whole(tmp_path: Path):
    many = archive(*((f"{number}.py", b"0") for number in range(11)))

    with pytest.raises(InvalidInput, match="11 files, more than the 10"):
        unpack(many, tmp_path, name="all.zip", limits=ArchiveLimits(max_entries=10))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_that_stands_twice_is_taken_from_neither_place(tmp_path: Path):
    problems = unpack(archive(("a.py", b"1"), ("A.py", b"2"), ("b.py", b"3")), tmp_path, name="all.zip")

    assert len(problems) == 2
    assert names(tmp_path) == ["b.py"]


def test_two_spellings_of_one_path_do_not_replace_one_another(tmp_path: Path):
    problems = unpack(archive(("x/a.py", b"1"), ("x/./a.py", b"2")), tmp_path, name="all.zip")

    assert len(problems) == 1
    assert (tmp_path / "x" / "a.py").read_bytes() == b"1"


def test_an_encrypted_file_is_named(tmp_path: Path):
    content = bytearray(archive(("secret.py", b"x"), ("ben.py", b"2")).getvalue())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(mark) + offset] |= 1

    problems = unpack(io.BytesIO(content), tmp_path, name="all.zip")

    assert "encrypted" in str(problems[0])
    assert names(tmp_path) == ["ben.py"]


def test_a_damaged_file_is_named_and_the_rest_goes_on(tmp_path: Path):
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_STORED) as writing:
        writing.writestr("broken.py", b"print('one')")
        writing.writestr("ben.py", b"2")
    content = made.getvalue().replace(b"print('one')", b"print('two')")

    problems = unpack(io.BytesIO(content), tmp_path, name="all.zip")

    assert "all.zip/broken.py: the file cannot be unpacked" in str(problems[0])
    assert names(tmp_path) == ["ben.py"]


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"no zip at all"])
def test_what_is_no_archive_is_refused_with_a_sentence(tmp_path: Path, content: bytes):
    with pytest.raises(InvalidInput, match="not a ZIP archive"):
        unpack(io.BytesIO(content), tmp_path, name="all.zip")


def directory_of(entries: int, *, said: int | None = None, wide: bool = False) -> io.BytesIO:
    """An archive whose directory lists so many empty files and says `said`; nothing but the directory is real."""
    one = struct.pack("<4s4B4HL2L5H2L", b"PK\x01\x02", 20, 3, 20, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"a"
    directory = one * entries
    said = entries if said is None else said
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, min(said, 0xFFFF), min(said, 0xFFFF), len(directory), 0, 0)
    if wide:
        end_64 = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, said, said, len(directory), 0)
        locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, len(directory), 1)
        end = end_64 + locator + struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1, 1, 47, 0, 0)
    return io.BytesIO(directory + end)


@pytest.mark.parametrize("wide", ["ZIP", "ZIP64"])
@pytest.mark.parametrize("said", [None, 3])
def test_a_directory_of_very_many_entries_is_refused_before_it_is_listed(
    wide: str, said: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def list_it(*_arguments: object) -> None:
        raise AssertionError("zipfile began to list the directory")

    monkeypatch.setattr("zipfile.ZipFile.__init__", list_it)
    for count in (50_000, 1_000_000):
        with pytest.raises(InvalidInput, match="more than the 40,000 allowed"):
            unpack(directory_of(count, said=said, wide=wide == "ZIP64"), tmp_path, name="big.zip")
