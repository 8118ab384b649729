"""Whatever bytes an input holds, only `InvalidInput` escapes, in a message that can be printed."""

from __future__ import annotations

import csv
import io
import json
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from producer.inputs import check_items, read_items
from producer.inputs.templates import Template
from workers.contract.errors import InvalidInput
from workers.contract.job import JobParameters

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
COLUMNS = ["id", "prompt", "schema", "model", "temperature", "max_tokens", "deadline", "metadata", "metadata.x", "code"]
ROW = st.dictionaries(st.sampled_from(COLUMNS) | st.text(max_size=5), JSON, max_size=6)
PIECES = st.sampled_from(
    [b"id", b",", b";", b'"', b"\n", b"\r", b"\xff\xfe", b"\xef\xbb\xbf", b"sep=;", b"{", b"}", b"\x00"]
)
BYTES = st.lists(PIECES | st.binary(max_size=6), max_size=40).map(b"".join)


def _check(name: str, content: bytes, template: Template | None = None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        try:
            checked = check_items(path, template=template, schema="s", model="m", parameters=JobParameters())
            assert len(list(checked.specs())) == checked.count > 0
        except InvalidInput as problem:
            str(problem).encode()


@settings(deadline=None, max_examples=60)
@given(content=BYTES, name=st.sampled_from(["a.jsonl", "a.csv", "a.txt"]))
def test_random_bytes_in_a_file_give_items_or_invalid_input(content: bytes, name: str):
    _check(name, content)


@settings(deadline=None, max_examples=60)
@given(content=st.binary(max_size=50))
def test_random_bytes_in_a_submission_give_items_or_invalid_input(content: bytes):
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "alice.py").write_bytes(content)
        try:
            assert [item.id for item in read_items(Path(folder))] == ["alice"]
        except InvalidInput as problem:
            str(problem).encode()


@settings(deadline=None, max_examples=60)
@given(rows=st.lists(ROW, max_size=4))
def test_any_json_in_any_column_gives_specs_or_invalid_input(rows: list[dict[str, object]]):
    content = "\n".join(json.dumps(row) for row in rows).encode()
    _check("a.jsonl", content)
    _check("a.jsonl", content, Template.parse("{id} {code}"))


@settings(deadline=None, max_examples=60)
@given(
    rows=st.lists(
        st.tuples(
            st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=8),
            st.text("ab,;\t|\"'\n\r é", max_size=20),
        ),
        min_size=1,
        max_size=5,
    ),
    delimiter=st.sampled_from(",;\t|"),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
def test_what_the_csv_module_writes_is_read_back_unchanged(rows: list[tuple[str, str]], delimiter: str, encoding: str):
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter, quoting=csv.QUOTE_ALL)
    writer.writerow(["id", "name", "prompt"])
    writer.writerows([str(number), name, prompt] for number, (name, prompt) in enumerate(rows))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.csv"
        path.write_bytes(text.getvalue().encode(encoding))
        read = [(item.fields["name"], item.fields["prompt"]) for item in read_items(path)]
    assert read == rows
