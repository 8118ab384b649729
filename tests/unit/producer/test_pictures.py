"""Scanned and photographed work: sent to models that see, else a row that says why it was not graded."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from producer.inputs.checking import CheckedInput, check_items
from producer.inputs.documents.pictures import MOST_BYTES, MOST_PICTURES, sendable
from producer.inputs.documents.piece import Unreadable
from producer.inputs.item import InputOptions
from producer.inputs.templates import Template
from producer.regrading.change import Change
from producer.regrading.regrade import regrade
from tests.support.regrading import jobs_of
from workers.contract.errors import InvalidInput
from workers.contract.job import JobParameters
from workers.contract.model_parameters import ChoiceCheck
from workers.contract.model_profile import profile_of
from workers.contract.origin import PARTS, BatchOrigin
from workers.contract.pictures import Picture, has_pictures, prompt_parts

if TYPE_CHECKING:
    from pathlib import Path

    from producer.client import JobClient

TEMPLATE = Template.parse("Grade.\n{submission}\n", name="t.md")


def photo(size: tuple[int, int] = (600, 400), kind: str = "JPEG", **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, "white").save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    for name in ("ada", "bob", "cleo"):
        (folder / name).mkdir(parents=True)
    (folder / "ada" / "page.jpg").write_bytes(photo())
    (folder / "ada" / "scan.pdf").write_bytes(photo(kind="PDF"))
    (folder / "bob" / "notes.txt").write_text("see the photo")
    (folder / "bob" / "photo.png").write_bytes(photo(kind="PNG"))
    (folder / "cleo" / "main.py").write_text("print(1)")
    return folder


def checked(work: Path, model: str, *, fallback: str | None = None) -> CheckedInput:
    return check_items(
        work,
        template=TEMPLATE,
        schema="feedback",
        model=model,
        parameters=JobParameters(fallback_model=fallback),
        options=InputOptions(is_strict=False),
        choices=ChoiceCheck(profile_of),
    )


def test_a_model_that_sees_gets_every_picture_in_its_place(work: Path):
    found = checked(work, "gpt-4o")
    specs = {spec.id: spec for spec in found.specs()}
    ada = list(prompt_parts(specs["ada"].prompt, specs["ada"].instructions))
    assert [(part.width, part.height) for part in ada if isinstance(part, Picture)] == [(600, 400)] * 2
    assert [part for part in ada if isinstance(part, str) and "scan.pdf" in part]
    assert has_pictures(specs["bob"].prompt, specs["bob"].instructions)
    assert "see the photo" in specs["bob"].prompt
    assert (specs["ada"].not_read, specs["ada"].left_out, specs["cleo"].not_read) == ((), "", ())
    assert found.left_out == 0
    assert not [note for note in found.notes if "picture" in note]


@pytest.mark.parametrize(("model", "fallback"), [("o3-mini", None), ("nobody-knows", None), ("gpt-4o", "o3-mini")])
def test_for_one_that_does_not_it_is_a_row_with_the_reason(work: Path, model: str, fallback: str | None):
    found = checked(work, model, fallback=fallback)
    specs = {spec.id: spec for spec in found.specs()}
    assert specs["ada"].left_out == "not graded: pictures only"
    assert specs["bob"].not_read == ("it is a picture",)
    assert "could not be read: it is a picture" in specs["bob"].prompt
    assert found.left_out == 1
    assert "ada: not graded: pictures only" in found.notes


def test_a_scanned_page_within_a_text_is_named_or_shown(work: Path):
    import pypdf
    from reportlab.pdfgen.canvas import Canvas

    buffer = io.BytesIO()
    canvas = Canvas(buffer)
    canvas.drawString(100, 700, "the first page is typed")
    canvas.save()
    both = pypdf.PdfWriter()
    for content in (buffer.getvalue(), photo(kind="PDF")):
        both.append(io.BytesIO(content))
    (work / "cleo" / "report.pdf").write_bytes(b"")
    with (work / "cleo" / "report.pdf").open("wb") as file:
        both.write(file)
    blind = {spec.id: spec for spec in checked(work, "o3-mini").specs()}["cleo"]
    assert "the first page is typed" in blind.prompt
    assert "report.pdf page 2 =====\n[This file was handed in and could not be read: it is a picture.]" in blind.prompt
    assert blind.not_read == ("it is a picture",)
    seen = {spec.id: spec for spec in checked(work, "gpt-4o").specs()}["cleo"]
    assert has_pictures(seen.prompt, seen.instructions)
    assert seen.not_read == ()


def test_what_a_camera_writes_into_its_files_stays_behind():
    exif = Image.Exif()
    exif[0x010F] = "Ada's telephone"
    exif[0x0112] = 6
    (picture,) = sendable([photo((600, 400), exif=exif)])
    assert (picture.width, picture.height) == (400, 600), "turned upright"
    assert b"telephone" not in base64.b64decode(picture.data)
    assert sendable([photo((600, 400), exif=exif)]) == [picture], "the same bytes at every reading"


def test_many_pages_get_smaller_until_they_fit_into_one_prompt():
    noise = Image.effect_noise((2400, 3000), 80).convert("RGB")
    buffer = io.BytesIO()
    noise.save(buffer, "JPEG", quality=90)
    few, many = sendable([buffer.getvalue()]), sendable([buffer.getvalue()] * 8)
    assert max(few[0].width, few[0].height) == 2048
    assert max(many[0].width, many[0].height) < 2048
    assert sum(len(picture.data) for picture in many) <= MOST_BYTES
    with pytest.raises(Unreadable, match=f"more than {MOST_PICTURES} pictures"):
        sendable([photo((8, 8))] * (MOST_PICTURES + 1))
    with pytest.raises(Unreadable, match="cannot be opened"):
        sendable([b"\x89PNG and nothing"])


def test_a_regrade_sends_the_pictures_on_and_refuses_a_model_that_does_not_see(work: Path, client: JobClient):
    fence = client.fence("old")
    origin = BatchOrigin(
        fence=fence.mark,
        prompt_layout=PARTS,
        template=TEMPLATE.sha256,
        template_text=TEMPLATE.text,
        template_columns=("submission",),
    )
    client.enqueue(checked(work, "gpt-4o").specs(fence), name="old", origin=origin)
    anew = regrade(client, "old", Change(template=Template.parse("Other words.\n{submission}\n", name="t2.md")))
    (ada, *_rest) = jobs_of(client, anew.batch.name)
    assert has_pictures(ada.prompt or "", ada.instructions)
    assert "Other words" in str(ada.instructions)
    with pytest.raises(InvalidInput, match="the work of 'ada' is pictures, and o3-mini takes none"):
        regrade(client, "old", Change(model="o3-mini"))
