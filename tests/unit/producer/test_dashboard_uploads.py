"""What an instructor uploads: each file is taken or refused with a sentence, and the rest goes on."""

from __future__ import annotations

import io
import zipfile

from producer.dashboard.uploads import Upload, UploadedFile, build_specs_of, read_upload
from producer.inputs.specs import JobDefaults
from producer.templates import Template
from workers.contract.job import JobParameters


def upload(**files: bytes | str) -> Upload:
    return read_upload(
        UploadedFile(name.replace("__", "."), io.BytesIO(content.encode() if isinstance(content, str) else content))
        for name, content in files.items()
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
