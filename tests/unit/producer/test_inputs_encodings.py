"""What a file in another encoding becomes: the same text, or a sentence; never another text."""

from __future__ import annotations

import codecs
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producer.inputs import check_items
from producer.inputs.encodings import NAME_IT_ON_THE_PAGE, Encodings
from producer.inputs.reading import scan_items
from producer.inputs.templates import Template
from workers.contract.errors import InvalidInput
from workers.contract.job import JobParameters
from workers.contract.schemes.fence import Fence

if TYPE_CHECKING:
    from pathlib import Path

GERMAN = (
    "# Die Funktion berechnet die Größe und prüft, ob die Lösung für alle Einträge möglich ist.\n"
    "print('Schöne Grüße aus der Übung, wir prüfen natürlich auch die Äußerungen')\n"
)
RUSSIAN = "# Функция вычисляет среднее значение и проверяет, что результат правильный для всех.\nprint('привет')\n"
POLISH = "# Funkcja oblicza średnią ważoną i sprawdza, czy wynik jest poprawny dla wszystkich uczniów. Żółw, gęś.\n"
CHINESE = "# 这个函数计算平均值并检查结果是否正确 对所有学生都适用。递归函数调用自身直到基本情况。\n"
SHORT = {
    "gbk": '// 计算平均值\nint main(){ cout << "平均分: " << 90; }\n',
    "cp1251": "# вычислить сумму\nprint('Сумма:', s)\n",
    "shift_jis": "# 合計を計算する\nprint('合計')\n",
    "mac_roman": "# Größe prüfen, naïve café\nprint('übung')\n",
    "iso8859_2": "# obliczyć średnią, żółw\nprint('wynik')\n",
    "koi8_r": "# вычислить сумму\nprint('s')\n",
    "cp1253": "# μέσος όρος\nprint('x')\n",
    "euc_kr": "# 평균을 계산\nprint('평균')\n",
    "cp850": '10 PRINT "Größe"\n',
    "cp1252": "# Größe = 1\n",
    "utf-16-le": "print('hello')\n",
    "utf-32-be": "print('größe')\n",
}


def read(raw: bytes, named: str | None = None) -> str:
    encodings = Encodings(named)
    return raw.decode(encodings.find(lambda: [raw], where="anna.py"))


def refusal(raw: bytes, named: str | None = None) -> str:
    with pytest.raises(InvalidInput) as caught:
        read(raw, named)
    return str(caught.value)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("text", [*SHORT.values(), GERMAN, CHINESE])
def test_unicode_is_read_as_what_it_says(encoding: str, text: str):
    assert read(text.encode(encoding)) == text


@pytest.mark.parametrize("mark", ["utf-16-be", "utf-32-be"])
def test_the_other_byte_order_is_read_too(mark: str):
    assert (
        read({"utf-16-be": codecs.BOM_UTF16_BE, "utf-32-be": codecs.BOM_UTF32_BE}[mark] + GERMAN.encode(mark)) == GERMAN
    )


@pytest.mark.parametrize("encoding", SHORT)
def test_a_short_file_in_another_encoding_is_refused_and_read_when_it_is_named(encoding: str):
    raw = SHORT[encoding].encode(encoding)

    assert refusal(raw).startswith("anna.py: ")
    assert read(raw, encoding) == SHORT[encoding]


def test_the_refusal_says_where_what_it_may_be_and_what_to_do():
    message = refusal(b"x = 1\ny = 'gr\xf6\xdfe'\n")

    assert message.startswith("anna.py: line 2 is not UTF-8, and its encoding is not certain; it may be Windows-1252")
    assert message.endswith("name the encoding with --encoding")


@pytest.mark.parametrize(
    ("encoding", "text", "name"),
    [
        ("cp1252", GERMAN, "Windows-1252 (Western)"),
        ("cp1251", RUSSIAN, "Windows-1251 (Cyrillic)"),
        ("koi8_r", RUSSIAN, "KOI8-R (Cyrillic)"),
        ("cp1250", POLISH, "Windows-1250 (Central European)"),
        ("gbk", CHINESE, "GB18030 (Chinese)"),
    ],
)
def test_what_only_one_reading_makes_sense_of_is_read_and_the_assumption_is_said(encoding: str, text: str, name: str):
    encodings = Encodings()
    raw = text.encode(encoding)

    for where in ("anna.py", "ben.py", "anna.py"):
        assert raw.decode(encodings.find(lambda: [raw], where=where)) == text
    (note,) = encodings.notes
    assert note.startswith(f"read as {name}: 2 files (anna.py, ben.py), confidence ")


@pytest.mark.parametrize("encoding", ["mac_roman", "cp850", "cp852"])
def test_mac_and_dos_are_never_assumed(encoding: str):
    text = GERMAN if encoding != "cp852" else POLISH
    assert "its encoding is not certain" in refusal(text.encode(encoding))


def mixed(other: str) -> bytes:
    rows = [("ann", "größe = 1  # läuft", "utf-8"), ("bob", "x = 1  # hübsch", other), ("eva", "naïve café", "utf-8")]
    return b"id,submission\n" + b"".join(f'{id_},"{text}"\n'.encode(encoding) for id_, text, encoding in rows)


@pytest.mark.parametrize("named", [None, "cp1252", "latin-1", "mac_roman"])
@pytest.mark.parametrize("other", ["latin-1", "mac_roman", "cp850"])
def test_a_file_that_mixes_encodings_is_refused_with_its_lines_also_under_a_named_one(
    tmp_path: Path, other: str, named: str | None
):
    path = tmp_path / "mixed.csv"
    path.write_bytes(mixed(other))

    (problem,) = scan_items(path, encodings=Encodings(named))

    assert str(problem).startswith("mixed.csv: the file mixes encodings: line 3 is not UTF-8, lines 2, 4 are; ")


def test_one_line_may_mix_encodings_by_itself():
    assert "line 1 is not UTF-8, line 1 is" in refusal("größe läuft ".encode() + b"h\xfcbsch\n")


def test_a_named_encoding_is_for_files_that_are_not_utf_8(tmp_path: Path):
    for name, encoding in {"a.py": "utf-8", "b.py": "cp1252", "c.py": "utf-16", "d.py": "ascii"}.items():
        (tmp_path / name).write_bytes(("x" if encoding == "ascii" else "größe").encode(encoding))

    items = list(scan_items(tmp_path, encodings=Encodings("cp1252")))

    assert [item.fields["submission"] for item in items if not isinstance(item, InvalidInput)] == ["größe"] * 3 + ["x"]


@pytest.mark.parametrize("encoding", ["utf-16", "cp1251"])
def test_json_lines_are_read_in_a_named_or_marked_encoding(tmp_path: Path, encoding: str):
    path = tmp_path / "rows.jsonl"
    path.write_bytes('{"id": "анна", "n": 1}\n\n{"id": "b"}\n'.encode(encoding))

    found = list(scan_items(path, encodings=Encodings(None if encoding == "utf-16" else encoding)))

    assert [(item.id, item.where) for item in found if not isinstance(item, InvalidInput)] == [
        ("анна", "rows.jsonl line 1"),
        ("b", "rows.jsonl line 3"),
    ]


def test_json_lines_are_never_guessed_at(tmp_path: Path):
    path = tmp_path / "rows.jsonl"
    path.write_bytes('{"id": "a"}\n{"id": "анна"}\n'.encode("cp1251"))

    _, problem = scan_items(path)

    assert str(problem) == (
        "rows.jsonl line 2: the line is not UTF-8 text; save the file in UTF-8, or name the encoding with --encoding"
    )


@pytest.mark.parametrize(
    "named", ["rot13", "base64", "klingon", "idna", "unicode_escape", "utf_7", "undefined", "x\0y"]
)
def test_an_encoding_that_does_not_exist_is_refused(named: str):
    with pytest.raises(InvalidInput, match="--encoding: there is no encoding"):
        Encodings(named)


def test_bytes_without_a_meaning_in_the_named_encoding_are_refused():
    assert "this is not text in cp1252" in refusal(b"x = '\x81'\n", "cp1252")


def test_what_was_assumed_is_known_when_the_input_is_checked_and_holds_for_the_second_reading(tmp_path: Path):
    (tmp_path / "anna.py").write_bytes(GERMAN.encode("cp1252"))
    (tmp_path / "ben.py").write_bytes(GERMAN.encode())

    checked = check_items(
        tmp_path, template=Template.parse("{submission}"), schema="s", model="m", parameters=JobParameters()
    )

    fence = Fence.draw()
    assert [fence.contents(spec.prompt) for spec in checked.specs(fence)] == [[GERMAN], [GERMAN]]
    (note,) = checked.notes
    assert f"1 file ({tmp_path.name}/anna.py)" in note


def test_a_folder_of_utf_8_never_wakes_the_detector(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "charset_normalizer", None)  # importing it would fail
    for number in range(20):
        (tmp_path / f"{number}.py").write_text(GERMAN, encoding="utf-8")

    assert not [each for each in scan_items(tmp_path) if isinstance(each, InvalidInput)]


@given(st.binary(max_size=200))
def test_no_bytes_end_in_anything_but_a_text_or_a_sentence(raw: bytes):
    encodings = Encodings()
    try:
        raw.decode(encodings.find(lambda: [raw], where="anna.py"))
        problem = "anna.py: "
    except InvalidInput as refused:
        problem = str(refused)
    assert problem.startswith("anna.py: ")


def test_the_advice_names_what_the_reader_can_do_where_he_is(tmp_path: Path):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "gbk.cpp").write_bytes("// 计算平均值\n".encode("gbk"))
    (tmp_path / "rows.jsonl").write_bytes(b'{"id": "a", "submission": "h\xfcbsch"}\n')

    for path in (folder, tmp_path / "rows.jsonl"):
        [on_page] = scan_items(path, encodings=Encodings(how_to_name=NAME_IT_ON_THE_PAGE))
        [on_terminal] = scan_items(path)

        assert "choose the encoding in the list" in str(on_page)
        assert "--encoding" not in str(on_page)
        assert "--encoding" in str(on_terminal)
