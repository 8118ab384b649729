"""Templates: what is a placeholder, what is text, and what a mistake is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from producer.inputs.templates import Template, keep_template, template_of_origin
from workers.contract.errors import InvalidInput
from workers.contract.origin import BatchOrigin
from workers.contract.schemes.fence import Fence

if TYPE_CHECKING:
    from pathlib import Path


def _render(template: str, **fields: object) -> str:
    given = {"id": "s1", **fields}
    return Template.parse(template).as_made_for(given).render(given)


def test_placeholders_are_replaced_by_columns():
    template = Template.parse("For {id}:\n{First name} wrote\n{code}{metadata.group}").bind(
        ["id", "First name", "code", "metadata.group"]
    )
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
        template.bind(["id", "code"])
    assert str(caught.value) == (
        "grade.txt line 3: no column 'ID' for {ID}; did you mean 'id'?; the columns are 'code', 'id'; "
        "for the braces themselves write {{ID}}"
    )


@pytest.mark.parametrize("text", ["", "Grade this.", "{{id}}", '{"grade": 1}'])
def test_a_template_without_a_placeholder_is_refused(text: str):
    with pytest.raises(InvalidInput, match=r"every prompt would be the same.*'code'"):
        Template.parse(text).bind(["id", "code"])


def test_a_file_gives_the_same_template_whatever_its_encoding_and_line_ends(tmp_path: Path):
    text = "Grüße\n{submission}\n"
    for name, content in {
        "unix.txt": text.encode(),
        "windows.txt": text.replace("\n", "\r\n").encode("utf-8-sig"),
        "excel.txt": text.encode("utf-16"),
    }.items():
        (tmp_path / name).write_bytes(content)
    loaded = [Template.load(tmp_path / name) for name in ("unix.txt", "windows.txt", "excel.txt")]
    assert {template.sha256 for template in loaded} == {Template.parse(text).sha256}
    assert {template.bind(["submission"]).render({"submission": "x"}) for template in loaded} == {"Grüße\nx\n"}
    assert Template.parse(text + " ").sha256 != loaded[0].sha256


def test_a_file_that_is_no_text_or_does_not_exist_is_refused(tmp_path: Path):
    (tmp_path / "grade.docx").write_bytes(b"PK\x03\x04")
    with pytest.raises(InvalidInput, match=r"grade\.docx: this is a zip archive or an Office document"):
        Template.load(tmp_path / "grade.docx")
    (tmp_path / "old.txt").write_bytes("Be fair.\nGrüße\n".encode("cp1252"))
    with pytest.raises(InvalidInput, match=r"old\.txt: line 2 is not UTF-8; save the file in UTF-8"):
        Template.load(tmp_path / "old.txt")
    with pytest.raises(InvalidInput, match=r"absent\.txt: cannot be read: No such file"):
        Template.load(tmp_path / "absent.txt")


FORMS = ["Timestamp", "id", "1. What does recursion mean?", "Explain: a base case", "Answer (in your own words)"]


@pytest.mark.parametrize("column", [*FORMS[2:], "2", "a{b}c", "x + y; z", "naïve?", "1. Two\nlines"])
def test_any_column_of_the_file_can_be_named(column: str):
    template = Template.parse(f"Grade\n{{{' '.join(column.split())}}}!").bind([*FORMS, column])

    assert template.fields == {column}
    assert template.render({column: "work"}) == "Grade\nwork!"


@pytest.mark.parametrize(
    ("written", "suggestion"),
    [
        ("{{submission}}", "{submission}"),
        ("{ submission }", "{submission}"),
        ("{submission }", "{submission}"),
        ("{{ submission }}", "{submission}"),
        ("{{{{submission}}}}", "{submission}"),
        ("{Submision}", "'submission'"),
        ("{ Submision }", "{submission}"),
        ("<submission>", "{submission}"),
        ("<<submission>>", "{submission}"),
        ("$submission", "{submission}"),
        ("%submission%", "{submission}"),
        ("%(submission)s", "{submission}"),
        ("[submission]", "{submission}"),
        ("[[ Submission ]]", "{submission}"),
        ("{{ submission | trim }}", "{submission}"),
        ("{{#submission}}", "{submission}"),
        ("{% submission %}", "{submission}"),
        ("{submission!s}", "{submission}"),
        ("\uff5bsubmission\uff5d", "{submission}"),
        ("{What does recursion mean?}", "{1. What does recursion mean?}"),
        ("{1. what does  recursion mean?}", "{1. What does recursion mean?}"),
        ("{Explain: the base case}", "{Explain: a base case}"),
        ("{{Answer (in your own words)}}", "{Answer (in your own words)}"),
        ("{And what is it good for?}", "no such column"),
        ("{submission:>10}", "{submission}"),
        ("{Submission[0]!r}", "{submission}"),
    ],
)
@pytest.mark.parametrize("beside", ["", " {code}"])
def test_what_looks_like_a_placeholder_and_is_none_is_refused_with_a_suggestion(
    written: str, suggestion: str, beside: str
):
    template = Template.parse(f"Grade {{id}}{beside}.\n\n{written}\n", name="grade.txt")

    with pytest.raises(InvalidInput) as caught:
        template.bind([*FORMS, "submission", "code"])

    assert caught.value.where == "grade.txt line 3"
    assert suggestion in caught.value.message


@pytest.mark.parametrize(
    "code",
    [
        '{"submission": "text", "code": [1, {"id": 2}]}',
        "int code[submission] = { 0 }; if (x) { return code; }",
        "for x in submissions: print({code}, items[id], d[name])",
        "echo $name %Timestamp% <id> [id] { id } {{ id }}",
        "<code> stands around {code}</code>",
        "<submission>the work</submission>",
        "{{submission} is written in single braces",
        "a[code](b) \\frac{1}{2} {1, 2} x{3,5}",
        "is it {a ? b : c} or {key: value}",
        'f({submission: 1}, {"submission"}, {submission=1})',
        "100% submission % of [submission](http://x)",
    ],
)
def test_code_json_and_tags_that_name_a_column_stay_text(code: str):
    columns = ["id", "code", "name", "Timestamp", "submission"]
    template = Template.parse(f"{{code}} in\n{code}").bind(columns)

    expected = code.replace("{code}", "work").replace("{{ id }}", "{ id }").replace("{{submission}", "{submission}")
    assert template.render(dict.fromkeys(columns, "work")) == f"work in\n{expected}"


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("Grade {id}.", ["id", "submission"]),
        ("{id} {Timestamp} {First name} {E-mail address}", ["id", "Timestamp", "First name", "E-mail address", "code"]),
        ("{id} {model} {max_tokens} {metadata.group}", ["id", "model", "max_tokens", "metadata.group", "code"]),
        ("{id}", ["id"]),
    ],
)
def test_a_template_that_brings_no_work_is_refused(text: str, columns: list[str]):
    with pytest.raises(InvalidInput, match="the prompt would not contain the student's work"):
        Template.parse(text).bind(columns)


def test_where_no_other_column_exists_what_the_file_has_is_the_work():
    assert Template.parse("{name}").bind(["id", "name"]).render({"id": "1", "name": "x"}) == "x"


def test_a_keep_template_is_read_again_as_it_was_made():
    template = Template.parse("{id}: {1. What does recursion mean?} {x: y} {{submission}}{submission}")
    bound = template.bind([*FORMS, "submission"])

    again = template_of_origin(keep_template(BatchOrigin(), template, bound.fields), name="kept")

    assert again is not None
    assert again.parts == bound.parts
    assert template_of_origin(BatchOrigin(template_text="{code} {a: b}"), name="old").fields == {"code"}  # type: ignore[union-attr]
    assert template_of_origin(BatchOrigin(), name="none") is None


@settings(deadline=None)
@given(values=st.lists(st.text(max_size=40), min_size=3, max_size=3), between=st.sampled_from(["", " ", "\n", "a\nb"]))
def test_each_field_but_the_id_stands_in_its_own_fence_and_comes_out_exactly(values: list[str], between: str):
    fence = Fence.draw()
    template = Template.parse(f"For {{id}}:{between}{{First name}}{between}{{code}} as {{code}}.").bind(
        ["id", "First name", "code"]
    )
    fields = dict(zip(["id", "First name", "code"], ["s1", *values[1:]], strict=True))

    prompt = template.render(fields, fence=fence)

    assert fence.contents(prompt) == [values[1], values[2], values[2]]
    outside = prompt
    for name, value in (("First name", values[1]), ("code", values[2])):
        outside = outside.replace(fence.around(name, value), "")
    assert [line for line in outside.split("\n") if line] == [
        line for line in f"For s1:{between}\n{between}\n as \n.".split("\n") if line
    ]
