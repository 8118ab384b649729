"""Files that students hand in, as the text that a model reads."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile

import pytest

from producer.inputs.documents.reading import DocumentReader
from producer.inputs.encodings import Encodings
from workers.contract.errors import InvalidInput

W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
PICTURE = "iVBORw0KGgo" * 20_000


def read(name: str, content: bytes, *, is_strict: bool = False, is_form_text: bool = False):
    reader = DocumentReader(encodings=Encodings(), max_text_bytes=4_000_000, is_strict=is_strict)
    return reader.pieces(name, content, where=name, is_form_text=is_form_text)


def text(name: str, content: bytes, **options: bool) -> str:
    (piece,) = read(name, content, **options)
    assert piece.text is not None, piece.problem
    return piece.text


def reason(name: str, content: bytes) -> str:
    (piece,) = read(name, content)
    return piece.problem or ""


def notebook(*cells: dict[str, object]) -> bytes:
    return json.dumps(
        {"cells": cells, "metadata": {"language_info": {"name": "python"}}, "nbformat": 4, "nbformat_minor": 5}
    ).encode()


def code(source: str, *outputs: dict[str, object]) -> dict[str, object]:
    return {"cell_type": "code", "id": "x", "metadata": {}, "execution_count": 7, "source": source, "outputs": outputs}


PLOT = {"output_type": "display_data", "metadata": {}, "data": {"image/png": PICTURE, "text/plain": "<Figure>"}}


def test_a_notebook_is_its_cells_with_text_outputs_and_without_pictures():
    found = text(
        "a.ipynb",
        notebook(
            {"cell_type": "markdown", "id": "y", "metadata": {}, "source": ["# Answer\n", "because"]},
            code("print(6 * 7)", {"output_type": "stream", "name": "stdout", "text": "42\n"}, PLOT),
            code("1/0", {"output_type": "error", "ename": "ZeroDivisionError", "evalue": "division", "traceback": []}),
        ),
    )
    assert found == (
        "# Answer\nbecause\n\n```python\nprint(6 * 7)\n```\nOutput:\n```\n42\n(picture)\n```\n\n"
        "```python\n1/0\n```\nOutput:\n```\nZeroDivisionError: division\n```\n"
    )


def test_notebooks_with_plots_cost_what_their_cells_cost():
    """Characters stand for tokens: both sides are counted alike."""
    cells = [code("x = np.linspace(0, 1)\nplt.plot(x, x ** 2)\nplt.title('squares of the line')\n" * 6, PLOT)] * 8
    bare = sum(len(str(cell["source"])) for cell in cells)
    assert len(text("plots.ipynb", notebook(*cells))) <= 1.1 * bare


@pytest.mark.parametrize(
    "returned",
    [
        "[<matplotlib.lines.Line2D at 0x7f3a1c0d5f10>]",
        "Text(0.5, 1.0, 'squares')",
        "<Axes: xlabel='x', ylabel='y'>",
        "array([<Axes: >, <Axes: >], dtype=object)",
        "(<Figure size 640x480 with 1 Axes>, <Axes: >)",
    ],
)
def test_what_a_plotting_call_returns_is_left_out_beside_its_plot_and_kept_without_one(returned: str):
    result = {"output_type": "execute_result", "metadata": {}, "data": {"text/plain": returned}}
    assert text("a.ipynb", notebook(code("plot()", result, PLOT))) == "```python\nplot()\n```\n(picture)\n"
    assert returned in text("a.ipynb", notebook(code("plot()", result)))
    said = {"output_type": "execute_result", "metadata": {}, "data": {"text/plain": "(array([3, 4]), <BarContainer>)"}}
    assert "array([3, 4])" in text("a.ipynb", notebook(code("plot()", said, PLOT)))
    printed = {"output_type": "stream", "name": "stdout", "text": "<p>"}
    assert "<p>" in text("a.ipynb", notebook(code("plot()", printed, PLOT)))


def test_a_long_output_is_shortened_and_says_so():
    log = "".join(f"epoch {number}\n" for number in range(5000))
    found = text("a.ipynb", notebook(code("train()", {"output_type": "stream", "name": "stdout", "text": log})))
    assert len(found) < 1_700
    assert "characters left out" in found
    assert "epoch 4999" in found


def word_document(body: str) -> bytes:
    import docx
    from docx.oxml import parse_xml

    document = docx.Document()
    for element in parse_xml(f"<w:body {W}>{body}</w:body>"):
        document.element.body.append(element)
    file = io.BytesIO()
    document.save(file)
    return file.getvalue()


def test_a_word_document_has_no_holes():
    run = "<w:r><w:t>{}</w:t></w:r>"
    found = text(
        "essay.docx",
        word_document(
            f"<w:p>{run.format('The claim is ')}<w:ins w:id='1' w:author='s'>{run.format('not ')}</w:ins>"
            f"<w:del w:id='2' w:author='s'><w:r><w:delText>surely </w:delText></w:r></w:del>"
            f"{run.format('proven.')}</w:p>"
            f"<w:p>{run.format('Answer: ')}<w:sdt><w:sdtContent>{run.format('platinum')}</w:sdtContent></w:sdt></w:p>"
            f"<w:p><w:fldSimple w:instr='NUMWORDS'>{run.format('412')}</w:fldSimple></w:p>"
            f"<w:tbl><w:tr><w:tc><w:p>{run.format('cell')}</w:p></w:tc></w:tr></w:tbl>"
            f"<w:p><w:r><w:pict><w:txbxContent><w:p>{run.format('boxed')}</w:p></w:txbxContent></w:pict></w:r></w:p>"
        ),
    )
    assert "The claim is not proven." in found
    for word in ("platinum", "412", "cell", "boxed"):
        assert word in found


def pdf(words: str) -> bytes:
    import pypdf
    from pypdf.generic import DecodedStreamObject, DictionaryObject, NameObject

    writer = pypdf.PdfWriter()
    page = writer.add_blank_page(200, 200)
    stream = DecodedStreamObject()
    stream.set_data(f"BT /F1 12 Tf 10 100 Td ({words}) Tj ET".encode())
    font = {"/Type": "/Font", "/Subtype": "/Type1", "/BaseFont": "/Helvetica"}
    font_object = DictionaryObject({NameObject(key): NameObject(value) for key, value in font.items()})
    fonts = DictionaryObject({NameObject("/F1"): font_object})
    page[NameObject("/Resources")] = DictionaryObject({NameObject("/Font"): fonts})
    page[NameObject("/Contents")] = writer._add_object(stream)
    file = io.BytesIO()
    writer.write(file)
    return file.getvalue()


def test_a_pdf_gives_its_text_and_a_scan_says_that_it_has_none():
    assert "a base case" in text("a.pdf", pdf("a base case"))
    assert reason("scan.pdf", pdf("")) == "the PDF holds no text"
    assert "damaged" in reason("half.pdf", pdf("x")[:200])


def test_what_was_typed_into_a_form_is_read_without_its_html_and_a_students_page_is_source():
    html = b"<p>Hello <b>you</b></p><pre>x_1 = 2*3*4</pre><script>alert(1)</script>"
    assert text("onlinetext.html", html, is_form_text=True) == "Hello **you**\n\n```\nx_1 = 2*3*4\n```"
    assert text("index.html", html) == html.decode()


def zipped(**files: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name.replace("__", "."), content)
    return file.getvalue()


def test_archives_in_archives_are_opened_within_bounds():
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w:gz") as archive:
        entry = tarfile.TarInfo("src/deep.py")
        entry.size = 5
        archive.addfile(entry, io.BytesIO(b"deep\n"))
    found = read("all.zip", zipped(a__py=b"a", inner__zip=zipped(b__py=b"b", t__tar__gz=tar.getvalue())))
    assert {piece.name: piece.text for piece in found} == {
        "all.zip/a.py": "a",
        "all.zip/inner.zip/b.py": "b",
        "all.zip/inner.zip/t.tar.gz/src/deep.py": "deep\n",
    }
    assert "too large" in reason("big.zip", zipped(**{f"{number}": bytes(4_000_000) for number in range(10)}))
    nested = b"x"
    for _ in range(5):
        nested = zipped(n__zip=nested)
    assert "too deep" in str(read("n.zip", nested)[0].problem)


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("photo.JPG", b"\xff\xd8\xff\xe0", "it is a picture"),
        ("photo", b"\x89PNG\r\n", "it is a picture"),
        ("old.doc", b"\xd0\xcf\x11\xe0", "old Word document"),
        ("a.rar", b"Rar!", "ZIP is"),
        ("a.bin", b"\x00\x01", "this is a binary file"),
        ("a.ipynb", b"{}", "not a notebook"),
        ("a.docx", b"PK\x03\x04", "not a Word document"),
    ],
)
def test_a_file_that_gives_no_text_says_why_and_is_refused_when_strict(name: str, content: bytes, sentence: str):
    assert sentence in reason(name, content)
    with pytest.raises(InvalidInput, match=sentence):
        read(name, content, is_strict=True)
