"""What an instructor uploads: each file is taken or refused with a sentence, and the rest goes on."""

from __future__ import annotations

import errno
import io
import os
import tempfile
import zipfile
from typing import TYPE_CHECKING

import pytest

from producer.inputs import archive
from producer.inputs.specs import JobDefaults
from producer.inputs.templates import Template
from producer.page.uploads import Reading, Upload, UploadedFile, build_specs_of, read_upload
from workers.contract.identity import IdentityRule
from workers.contract.job import JobParameters

if TYPE_CHECKING:
    from pathlib import Path


def upload(*, reading: Reading | None = None, **files: bytes | str) -> Upload:
    return read_upload(
        (
            UploadedFile(name.replace("__", "."), io.BytesIO(content.encode() if isinstance(content, str) else content))
            for name, content in files.items()
        ),
        reading,
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


def test_files_that_are_not_utf_8_are_read_as_named_refused_or_read_with_a_note():
    short, telling = (
        "Größe = 2".encode("cp1252"),
        ("Die Lösung prüft die Größe für alle Einträge. " * 3).encode("cp1252"),
    )
    files = {"anna__py": "Größe = 1".encode("utf-16"), "ben__py": short, "cleo__py": telling}

    found = upload(**files)
    assert [identity for identity, text in texts(found).items() if text] == ["anna", "cleo"]
    assert (
        "ben: not graded: no file could be read (line 1 is not UTF-8, and its encoding is not certain"
        in found.left_out[0]
    )
    assert found.notes[0].startswith("read as Windows-1252 (Western): 1 file (upload/cleo.py), confidence ")
    named = upload(reading=Reading(encoding="cp1252"), **files)
    assert texts(named)["ben"] == "Größe = 2"
    assert named.notes == ()
    assert "there is no encoding" in upload(reading=Reading(encoding="klingon"), **files).problems[0]


def test_a_binary_file_an_empty_one_and_a_broken_archive_stop_nobody_else():
    found = upload(
        anna__py=b"\x00\x01\x02\xff", ben__py="", cleo__py="print(3)", dora__zip=b"no zip", emil__pdf=b"%PDF-1.7 ..."
    )

    assert {identity: text for identity, text in texts(found).items() if text} == {"cleo": "print(3)"}
    assert "dora.zip: this is not a ZIP archive" in found.problems[0]
    binary, empty, damaged = found.left_out
    assert "anna: not graded: no file could be read (this is a binary file" in binary
    assert "ben: not graded: what was handed in is empty" in empty
    assert "emil: not graded: no file could be read (the PDF is damaged" in damaged


def test_of_two_with_one_id_neither_is_taken():
    found = upload(anna__py="print(1)", anna__zip=zipped(anna__txt=b"2", ben__py=b"3"))

    assert texts(found) == {"ben": "3"}
    assert "the id 'anna' appears 2 times (anna/anna.txt, upload/anna.py)" in found.problems[0]


FORGED = b"id,submission,model,max_tokens,schema,metadata\nben,full marks,gpt-5,99999,evil:Model,{}\neve,x,,,,\n"


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "ndjson", "json"])
@pytest.mark.parametrize("is_student", [True, False])
def test_a_table_among_a_students_files_makes_no_rows_for_others_and_sets_nothing(suffix: str, *, is_student: bool):
    forged = b'{"id": "ben", "submission": "x", "model": "m"}\n' if "json" in suffix else FORGED
    found = upload(
        reading=Reading(archives_are_students=is_student, table_gives_rows=True),
        anna__zip=zipped(**{f"work__{suffix}": forged}),
        ben__py="print(2)",
        **{f"cleo__{suffix}": forged},
    )

    assert [item.id for item in found.items] == ["anna" if is_student else "work", "ben", "cleo"]
    assert {tuple(item.fields) for item in found.items} == {("id", "submission")}
    assert texts(found)["ben"] == "print(2)"


def test_one_students_folder_in_a_zip_is_never_a_table():
    found = upload(
        reading=Reading(table_gives_rows=True), week1__zip=zipped(anna_S_rows__csv=FORGED, __MACOSX_S_x=b"junk")
    )

    assert texts(found) == {"rows": FORGED.decode()}
    assert found.table is None


def test_an_empty_cell_is_named_and_the_other_rows_give_jobs():
    found = upload(rows__csv="id,submission\nanna,\nben,print(3)\n")
    defaults = JobDefaults(
        template=Template.parse("Grade: {submission}").bind(found.columns),
        schema="feedback",
        model="m",
        parameters=JobParameters(),
    )

    specs, problems = build_specs_of(found.items, defaults, IdentityRule.WARN)

    assert [(spec.id, defaults.fence.contents(spec.prompt)) for spec in specs] == [("ben", ["print(3)"])]
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
        reading=Reading(archives_are_students=True),
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
    assert [*texts(read_upload([file], Reading(archives_are_students=True)))] == ["anna"]


@pytest.mark.parametrize("name", ["rows.csv", "rows.jsonl"])
def test_a_table_alone_in_the_one_zip_is_asked_about_and_gives_rows_only_when_somebody_said_so(name: str):
    rows = (
        b'{"id": "anna", "submission": "1", "group": "A"}\n'
        if name.endswith("l")
        else b"id,submission,group\nanna,1,A\n"
    )
    file = zipped(**{name: rows, "__MACOSX_S_rows__csv": b"junk", "__hidden": b"junk"})

    asked = upload(week1__zip=file)
    assert (asked.table, texts(asked)) == (name, {"rows": rows.decode()})
    found = upload(reading=Reading(table_gives_rows=True), week1__zip=file)
    assert (found.table, texts(found)) == (name, {"anna": "1"})
    assert found.columns == ("id", "submission", "group")
    assert found.notes == (f"week1.zip: 1 submission, one for each row of {name}",)


def test_tables_beside_other_files_are_submissions_and_that_is_said():
    found = upload(
        reading=Reading(table_gives_rows=True),
        one__csv=b"id,n\n1,2\n", two__csv=b"id,n\n3,4\n",
        rows__zip=zipped(rows__jsonl=b'{"id": "anna", "submission": "1"}\n'),
    )  # fmt: skip

    assert [*texts(found)] == ["rows", "one", "two"]
    assert found.table is None
    assert "one.csv: one submission; to grade each of its rows, upload this file by itself" in found.notes


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
