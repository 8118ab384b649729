"""Templates: what is a placeholder, what is text, and what a mistake is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from producer.templates import Template
from workers.contract.errors import InvalidInput

if TYPE_CHECKING:
    from pathlib import Path


def _render(template: str, **fields: object) -> str:
    return Template.parse(template).render({"id": "s1", **fields})


def test_placeholders_are_replaced_by_columns():
    template = Template.parse("For {id}:\n{First name} wrote\n{code}{metadata.group}")
    assert template.fields == {"id", "First name", "code", "metadata.group"}
    assert (
        template.render({"id": 7, "First name": "Zoë", "code": "x", "metadata.group": "A"}) == "For 7:\nZoë wrote\nxA"
    )


@pytest.mark.parametrize(
    "text",
    [
        '{"grade": 1, "errors": [{"line": 3}]}',
        '{"a": {"b": {"c": 1}}}',
        "if (x) { return 1; }",
        "x^{2} {0} {} { a } {a,b} {a:b} {1, 2}",
        "f() {\n  while (1) {}\n}",
        "} lone {",
        "{ id}{id }",
    ],
)
def test_braces_around_anything_else_are_text(text: str):
    assert _render(text + "|{id}|" + text) == f"{text}|s1|{text}"


@pytest.mark.parametrize(
    ("template", "rendered"),
    [
        ("{{id}} {id}", "{id} s1"),
        ("{{ }} {id}", "{ } s1"),
        ("{{{id}}}", "{s1}"),
        ('{{"id": {id}}}', '{"id": s1}'),
        ('{"id": {"x": {id}}}', '{"id": {"x": s1}}'),
        ('{{"a": {"b": 1}}} {id}', '{"a": {"b": 1}} s1'),
    ],
)
def test_doubled_braces_give_single_ones(template: str, rendered: str):
    assert _render(template) == rendered


def test_what_was_put_in_is_never_read_again():
    assert _render("{a}{b}", a="{b}{{", b="{a}}}") == "{b}{{{a}}}"


@settings(deadline=None)
@given(text=st.text(st.sampled_from("{} ab\n") | st.characters(codec="utf-8", exclude_characters="\r"), max_size=60))
def test_a_text_with_every_brace_doubled_comes_out_as_it_was(text: str):
    escaped = text.replace("{", "{{").replace("}", "}}")
    assert _render(escaped + "{id}") == text + "s1"


@settings(deadline=None)
@given(work=st.text(max_size=60))
def test_a_submission_is_put_in_verbatim(work: str):
    assert _render("a {submission} z", submission=work) == f"a {work} z"


@pytest.mark.parametrize(
    ("value", "rendered"),
    [("x", "x"), (3, "3"), (0.5, "0.5"), (True, "true"), (None, ""), (["é", {"b": 1}], '["é", {"b": 1}]')],
)
def test_values_other_than_text_are_written_as_json(value: object, rendered: str):
    assert _render("{value}", value=value) == rendered


def test_a_placeholder_without_a_column_names_its_line_the_columns_and_the_nearest_one():
    template = Template.parse("Grade\n\n{ID}", name="grade.txt")
    with pytest.raises(InvalidInput) as caught:
        template.render({"id": "s1", "code": "x"})
    assert str(caught.value) == (
        "grade.txt line 3: no column 'ID' for {ID}; did you mean 'id'?; the columns are 'code', 'id'; "
        "for the braces themselves write {{ID}}"
    )


@pytest.mark.parametrize("text", ["", "Grade this.", "{{id}}", '{"grade": 1}'])
def test_a_template_without_a_placeholder_is_refused(text: str):
    with pytest.raises(InvalidInput, match="every prompt would be the same"):
        Template.parse(text)


def test_a_file_gives_the_same_template_whatever_its_encoding_and_line_ends(tmp_path: Path):
    text = "Grüße\n{submission}\n"
    for name, content in {
        "unix.txt": text.encode(),
        "windows.txt": text.replace("\n", "\r\n").encode("utf-8-sig"),
        "old.txt": text.encode("cp1252"),
    }.items():
        (tmp_path / name).write_bytes(content)
    loaded = [Template.load(tmp_path / name) for name in ("unix.txt", "windows.txt", "old.txt")]
    assert {template.sha256 for template in loaded} == {Template.parse(text).sha256}
    assert {template.render({"submission": "x"}) for template in loaded} == {"Grüße\nx\n"}
    assert Template.parse(text + " ").sha256 != loaded[0].sha256


def test_a_file_that_is_no_text_or_does_not_exist_is_refused(tmp_path: Path):
    (tmp_path / "grade.docx").write_bytes(b"PK\x03\x04")
    with pytest.raises(InvalidInput, match=r"grade\.docx: this is a zip archive or an Office document"):
        Template.load(tmp_path / "grade.docx")
    with pytest.raises(InvalidInput, match=r"absent\.txt: cannot be read: No such file"):
        Template.load(tmp_path / "absent.txt")
