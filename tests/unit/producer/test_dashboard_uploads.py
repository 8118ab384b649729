"""What an instructor uploads: each file is taken or refused with a sentence, and the rest goes on."""

from __future__ import annotations

import errno
import io
import os
import tempfile
import zipfile
from typing import TYPE_CHECKING

import pytest

from producer import archive
from producer.dashboard.uploads import Upload, UploadedFile, build_specs_of, read_upload
from producer.inputs.specs import JobDefaults
from producer.templates import Template
from workers.contract.job import JobParameters

if TYPE_CHECKING:
    from pathlib import Path


def upload(*, archives_are_students: bool = False, **files: bytes | str) -> Upload:
    return read_upload(
        (
            UploadedFile(name.replace("__", "."), io.BytesIO(content.encode() if isinstance(content, str) else content))
            for name, content in files.items()
        ),
        archives_are_students=archives_are_students,
    )


def zipped(**files: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in files.items():
            archive.writestr(name.replace("__", ".").replace("_S_", "/"), content)
    return file.getvalue()


def texts(found: Upload) -> dict[str, object]:
    return {item.id: item.fields["submission"] for item in found.items}


def test_plain_files_are_submissions_named_by_their_stem():
    found = upload(anna__py="print(1)", ben__py="print(2)")

    assert texts(found) == {"anna": "print(1)", "ben": "print(2)"}
    assert found.problems == ()


def test_a_zip_gives_a_submission_per_file_or_folder_below_its_one_outer_folder():
    found = upload(week1__zip=zipped(week1_S_anna_S_a__py=b"1", week1_S_anna_S_b__py=b"2", week1_S_ben__py=b"3"))

    assert texts(found) == {"anna": "===== a.py =====\n1\n\n===== b.py =====\n2\n", "ben": "3"}


def test_a_csv_gives_its_rows_with_their_columns():
    found = upload(rows__csv="id,submission,group\nanna,print(1),A\nben,print(2),B\n")

    assert texts(found) == {"anna": "print(1)", "ben": "print(2)"}
    assert found.columns == ("id", "submission", "group")


def test_utf_16_and_windows_1252_are_read_as_what_they_say():
    found = upload(anna__py="Größe = 1".encode("utf-16"), ben__py="Größe = 2".encode("cp1252"))

    assert texts(found) == {"anna": "Größe = 1", "ben": "Größe = 2"}


def test_a_binary_file_an_empty_one_and_a_broken_archive_stop_nobody_else():
    found = upload(
        anna__py=b"\x00\x01\x02\xff", ben__py="", cleo__py="print(3)", dora__zip=b"no zip", emil__pdf=b"%PDF-1.7 ..."
    )

    assert texts(found) == {"cleo": "print(3)"}
    sentences = sorted(found.problems)
    assert len(sentences) == 4
    assert "dora.zip: this is not a ZIP archive" in sentences[0]
    assert "anna.py: this is a binary file" in sentences[1]
    assert "ben.py: the file is empty" in sentences[2]
    assert "emil.pdf: this is a PDF" in sentences[3]


def test_of_two_with_one_id_neither_is_taken():
    found = upload(anna__py="print(1)", rows__csv="id,submission\nanna,print(2)\nben,print(3)\n")

    assert texts(found) == {"ben": "print(3)"}
    assert "the id 'anna' stands 2 times (rows.csv line 2, upload/anna.py)" in found.problems[0]


def test_an_empty_cell_is_named_and_the_other_rows_give_jobs():
    found = upload(rows__csv="id,submission\nanna,\nben,print(3)\n")
    defaults = JobDefaults(
        template=Template.parse("Grade: {submission}"), schema="feedback", model="m", parameters=JobParameters()
    )

    specs, problems = build_specs_of(found.items, defaults)

    assert [(spec.id, spec.prompt) for spec in specs] == [("ben", "Grade: print(3)")]
    assert "rows.csv line 2: nothing to grade" in problems[0]


def test_a_file_name_with_a_path_in_it_cannot_leave_the_scratch_folder():
    found = read_upload([UploadedFile("../../../tmp/anna.py", io.BytesIO(b"1"))])

    assert texts(found) == {"anna": "1"}


def test_how_a_zip_was_read_is_said_because_its_folders_do_not_tell():
    one_student = zipped(anna_S_a__py=b"1", anna_S_b__py=b"2")

    found = upload(late__zip=one_student, flat__zip=zipped(ben__py=b"3"))
    assert [*texts(found)] == ["a", "b", "ben"]
    assert found.notes == (
        "late.zip: 2 submissions, one for each file or folder in anna",
        "flat.zip: 1 submission, one for each file or folder in it",
    )


def test_a_zip_may_be_one_students_work_whatever_folders_it_holds():
    found = upload(
        archives_are_students=True,
        anna__zip=zipped(src_S_a__py=b"1", src_S_b__py=b"2"),
        ben__zip=zipped(a__py=b"3", __MACOSX_S_a__py=b"junk"),
        cleo__py="4",
        dora__zip=zipped(rows__csv=b"id,n\n1,2\n"),
    )

    assert texts(found) == {
        "anna": "===== src/a.py =====\n1\n\n===== src/b.py =====\n2\n",
        "ben": "===== a.py =====\n3\n",
        "cleo": "4",
        "dora": "===== rows.csv =====\nid,n\n1,2\n",
    }
    assert found.problems == ()
    assert found.notes == tuple(f"{name}.zip: 1 submission" for name in ("anna", "ben", "dora"))


def test_an_upload_can_be_read_again_in_another_way():
    file = UploadedFile("anna", io.BytesIO(zipped(a__py=b"1", b__py=b"2")))

    assert [*texts(read_upload([file]))] == ["a", "b"]
    assert [*texts(read_upload([file], archives_are_students=True))] == ["anna"]


@pytest.mark.parametrize("inside", ["rows__csv", "week1_S_rows__csv"])
def test_a_table_that_stands_alone_in_a_zip_gives_its_rows(inside: str):
    table = b"id,submission,group\nanna,print(1),A\nben,print(2),B\n"

    found = upload(week1__zip=zipped(**{inside: table, "__MACOSX_S_rows__csv": b"junk", "__hidden": b"junk"}))

    assert texts(found) == {"anna": "print(1)", "ben": "print(2)"}
    assert found.columns == ("id", "submission", "group")
    assert found.notes == ("week1.zip: 2 submissions, one for each row of rows.csv",)
    assert found.problems == ()


def test_json_lines_alone_in_a_zip_are_rows_and_a_table_beside_other_files_is_one_of_them():
    found = upload(
        rows__zip=zipped(rows__jsonl=b'{"id": "anna", "submission": "1"}\n'),
        mixed__zip=zipped(ben__csv=b"id,n\n1,2\n", cleo__py=b"3"),
    )

    assert texts(found) == {"anna": "1", "ben": "id,n\n1,2\n", "cleo": "3"}


def test_a_zip_with_any_name_is_read_and_names_nothing_outside_the_scratch_folder():
    found = read_upload(
        UploadedFile(name, io.BytesIO(zipped(**{f"s{number}__py": b"1"})))
        for number, name in enumerate(["...zip", "..zip", "../..zip", ".hidden.zip", "~$x.zip"])
    )

    assert [*texts(found)] == ["s0", "s1", "s2", "s3", "s4"]
    assert found.problems == ()


def test_a_file_that_cannot_be_stored_is_named_and_the_rest_goes_on():
    long = "x" * 300
    found = read_upload(
        [
            UploadedFile(f"{long}.zip", io.BytesIO(zipped(zoe__py=b"1"))),
            UploadedFile(f"{long}.csv", io.BytesIO(b"id,submission\nyve,1\n")),
            UploadedFile(f"{long}.py", io.BytesIO(b"1")),
            UploadedFile("..", io.BytesIO(b"1")),
            UploadedFile("anna.py", io.BytesIO(b"print(1)")),
        ]
    )

    assert texts(found) == {"anna": "print(1)"}
    assert [problem.replace(long, "x") for problem in found.problems] == [
        *(f"x.{suffix}: the file cannot be stored: File name too long" for suffix in ("zip", "csv", "py")),
        "..: the file cannot be stored: Is a directory",
    ]


def test_a_full_disk_refuses_an_archive_as_a_whole_and_goes_on_with_the_next_file(monkeypatch: pytest.MonkeyPatch):
    real = archive._copy

    def full(source: object, copy: io.BufferedWriter, *rest: object) -> None:
        if copy.name.endswith("b.py"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(source, copy, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(archive, "_copy", full)

    found = upload(week1__zip=zipped(anna_S_a__py=b"1", anna_S_b__py=b"2"), cleo__py="print(3)")

    assert texts(found) == {"cleo": "print(3)"}, "a folder without one of its files would be graded as if whole"
    assert found.problems == ("week1.zip: there is no room left to unpack it; it was not taken",)


def test_without_any_scratch_folder_the_upload_is_refused_with_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))

    found = upload(anna__py="print(1)")

    assert found.items == ()
    assert found.problems == ("the upload cannot be stored: No such file or directory",)


def test_an_entry_that_cannot_be_stored_under_its_name_says_so():
    found = upload(week1__zip=zipped(**{"x" * 300: b"1", "a": b"2", "a_S_b__py": b"3", "cleo__py": b"4"}))

    assert texts(found) == {"a": "2", "cleo": "4"}
    assert [problem.partition(": ")[2] for problem in found.problems] == [
        "the file cannot be stored under its name: File name too long",
        "the file cannot be stored under its name: File exists",
    ]


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_damaged_entry_of_a_rarer_kind_is_named_and_the_rest_goes_on(method: int):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as made:
        made.writestr("anna.py", bytes(range(256)) * 8)
        made.writestr("ben.py", b"2")
    content = bytearray(file.getvalue())
    start = 30 + len("anna.py") + 20  # behind the entry's header and the first bytes of what is compressed
    content[start : start + 60] = b"\xff" * 60

    found = upload(week1__zip=bytes(content))

    assert texts(found) == {"ben": "2"}
    assert "week1.zip/anna.py: the file cannot be unpacked; it is damaged" in found.problems[0]
