#!/usr/bin/env bash
# Guess: python-docx's paragraph.text is the text that Word shows.
# Truth: a tracked insertion, a content control and a simple field are shown by Word and absent from
#   paragraph.text and paragraph.runs; a block inside a content control is no paragraph at all.
# Why: an essay handed in with "track changes" on, or typed into a template's answer boxes, is graded
#   with holes: "the claim is not proven" becomes "the claim is proven", and an answer box is blank.
#   Refuse such a file by name, or read the w:t elements below w:ins and w:sdt too.
# Versions: python-docx 1.2.0. Source: docx/oxml/text/paragraph.py (text joins the direct children w:r
#   and w:hyperlink) and docx/oxml/document.py (paragraphs are direct children of the body).
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  python-docx==1.2.0

"$work/venv/bin/python" - <<'PY'
import io
from importlib.metadata import version

import docx
from docx.oxml import parse_xml
from docx.oxml.ns import nsdecls

W = nsdecls("w")


def expect(holds, sentence):
    if not holds:
        raise SystemExit(f"CHANGED: {sentence}")


document = docx.Document()
claim = document.add_paragraph("The claim is ")
claim._p.append(parse_xml(f'<w:ins {W} w:id="1" w:author="Student"><w:r><w:t>not </w:t></w:r></w:ins>'))
claim.add_run("proven.")
box = document.add_paragraph("Answer 1: ")
box._p.append(parse_xml(f"<w:sdt {W}><w:sdtContent><w:r><w:t>platinum</w:t></w:r></w:sdtContent></w:sdt>"))
field = document.add_paragraph("Words: ")
field._p.append(parse_xml(f'<w:fldSimple {W} w:instr="NUMWORDS"><w:r><w:t>412</w:t></w:r></w:fldSimple>'))
block = f"<w:sdt {W}><w:sdtContent><w:p><w:r><w:t>Because it is inert.</w:t></w:r></w:p></w:sdtContent></w:sdt>"
field._p.addnext(parse_xml(block))
stored = io.BytesIO()
document.save(stored)

read = docx.Document(stored)
texts = [paragraph.text for paragraph in read.paragraphs]
whole = [element.text for element in read.element.body.iter("{%s}t" % read.element.body.nsmap["w"])]
print(f"python-docx {version('python-docx')}")
print(f"in the file: {''.join(whole)!r}")
print(f"paragraphs:  {texts}")
for word in ("not ", "platinum", "412", "Because it is inert."):
    expect(word in whole, f"{word!r} did not reach the file.")
    expect(not any(word in text for text in texts), f"{word!r} is part of paragraph.text now.")
expect(texts == ["The claim is proven.", "Answer 1: ", "Words: "], "the paragraphs read otherwise.")
PY
