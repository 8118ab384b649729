"""A folder of submissions as an input."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from producer.inputs import InputLimits, read_items
from workers.contract.errors import InvalidInput


def _tree(root: Path, files: dict[str, str | bytes]) -> Path:
    folder = root / "submissions"
    folder.mkdir()
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def _problem(folder: Path, limits: InputLimits | None = None) -> str:
    with pytest.raises(InvalidInput) as caught:
        list(read_items(folder, limits=limits))
    return str(caught.value)


def test_each_file_is_a_submission_named_by_its_stem(tmp_path: Path):
    folder = _tree(tmp_path, {"bob.py": "b = 1", "alice.py": "a = 1\r\n"})
    assert [(item.id, item.fields, item.where) for item in read_items(folder)] == [
        ("alice", {"id": "alice", "submission": "a = 1\r\n"}, "submissions/alice.py"),
        ("bob", {"id": "bob", "submission": "b = 1"}, "submissions/bob.py"),
    ]


def test_the_files_of_a_sub_folder_are_joined_in_order_each_under_its_name(tmp_path: Path):
    folder = _tree(tmp_path, {"alice/b.py": "two", "alice/a.py": "one\n", "alice/src/__init__.py": ""})
    (item,) = read_items(folder)
    assert item.id == "alice"
    assert (
        item.fields["submission"] == "===== a.py =====\none\n\n===== b.py =====\ntwo\n\n===== src/__init__.py =====\n"
    )


def test_what_systems_leave_behind_is_no_submission(tmp_path: Path):
    junk = [".DS_Store", "Thumbs.db", "desktop.ini", "~$essay.docx", "__MACOSX/alice.py", ".git/config"]
    inner = ["alice/__pycache__/a.pyc", "alice/.DS_Store"]
    folder = _tree(tmp_path, {"alice/a.py": "x", **dict.fromkeys([*junk, *inner], b"\x00junk")})
    assert [item.fields["submission"] for item in read_items(folder)] == ["===== a.py =====\nx\n"]


@pytest.mark.parametrize(
    ("names", "ids"),
    [
        (["a.py", "a.txt", "b.py"], ["a.py", "a.txt", "b"]),
        (["a/x.py", "a.py"], ["a", "a.py"]),
        (["a.py", "a.txt", "a.py.bak"], ["a.py", "a.py.bak", "a.txt"]),
        (["v1.2/x.py"], ["v1.2"]),
    ],
)
def test_ids_stay_unique_when_stems_are_shared(tmp_path: Path, names: list[str], ids: list[str]):
    folder = _tree(tmp_path, dict.fromkeys(names, "x"))
    assert sorted(item.id for item in read_items(folder)) == ids


def test_submissions_are_decoded_as_editors_save_them(tmp_path: Path):
    folder = _tree(tmp_path, {"a.py": "é".encode(), "b.py": "é".encode("utf-16"), "c.py": "é".encode("utf-8-sig")})
    assert [item.fields["submission"] for item in read_items(folder)] == ["é", "é", "é"]


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({}, "submissions: the folder holds no submissions"),
        ({".DS_Store": "x"}, "submissions: the folder holds no submissions"),
        ({"alice.py": " \n"}, "submissions/alice.py: the file is empty"),
        ({"alice/.hidden": "x"}, "submissions/alice: it holds no files"),
        ({"alice/a.py": "\n", "alice/b.py": ""}, "submissions/alice: its files are all empty"),
        ({"alice.docx": b"PK\x03\x04"}, "submissions/alice.docx: it is not a Word document that can be read"),
        ({"alice/a.class": b"\xca\xfe\x00"}, "submissions/alice/a.class: it is compiled, not source"),
    ],
)
def test_a_submission_that_cannot_be_graded_is_named(tmp_path: Path, files: dict[str, str | bytes], sentence: str):
    assert sentence in _problem(_tree(tmp_path, files))


@pytest.mark.parametrize(
    ("sizes", "sentence"),
    [({"alice.py": 101}, "larger than 100 bytes"), ({"bob/a.py": 60, "bob/b.py": 60}, "exceed 100 bytes together")],
)
def test_a_submission_above_the_limit_is_refused(tmp_path: Path, sizes: dict[str, int], sentence: str):
    folder = _tree(tmp_path, {name: "x" * size for name, size in sizes.items()})
    assert sentence in _problem(folder, InputLimits(max_submission_bytes=100))


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path):
    (tmp_path / "secret.txt").write_text("not a submission")
    folder = _tree(tmp_path, {})
    (folder / "alice.py").symlink_to(tmp_path / "secret.txt")
    assert "submissions/alice.py: the link leads out of the folder" in _problem(folder)


def test_a_link_out_of_the_folder_is_refused_below_a_submission_too(tmp_path: Path):
    folder = _tree(tmp_path, {"alice/a.py": "x"})
    (folder / "alice" / "etc").symlink_to(tmp_path)
    assert "submissions/alice/etc: the link leads out of the folder" in _problem(folder)


def test_a_link_to_a_folder_is_refused_and_one_to_a_file_inside_is_read(tmp_path: Path):
    folder = _tree(tmp_path, {"alice.py": "x"})
    (folder / "again.py").symlink_to("alice.py")
    assert [item.fields["submission"] for item in read_items(folder)] == ["x", "x"]
    (folder / "whole").symlink_to(".")
    assert "submissions/whole: the link leads to a folder" in _problem(folder)


@pytest.mark.parametrize("target", ["absent.py", "alice.py"])
def test_a_link_that_leads_nowhere_is_one_sentence(tmp_path: Path, target: str):
    folder = _tree(tmp_path, {})
    (folder / "alice.py").symlink_to(target)
    assert "submissions/alice.py: cannot be read: " in _problem(folder)


def test_a_pipe_among_the_submissions_is_refused_instead_of_waited_for(tmp_path: Path):
    folder = _tree(tmp_path, {})
    os.mkfifo(folder / "alice.py")
    assert "submissions/alice.py: this is not a regular file" in _problem(folder)


def test_a_file_name_in_no_encoding_is_refused_in_a_message_that_can_be_printed(tmp_path: Path):
    folder = _tree(tmp_path, {})
    Path(os.fsdecode(os.fsencode(folder) + b"/Ren\xe9.py")).write_text("x")
    problem = _problem(folder)
    assert problem.startswith("submissions/Ren?.py: the id holds half of a character")
    problem.encode()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_read_permission_is_one_sentence(tmp_path: Path):
    folder = _tree(tmp_path, {"alice.py": "x"})
    (folder / "alice.py").chmod(0)
    assert _problem(folder) == "submissions/alice.py: cannot be read: Permission denied"
