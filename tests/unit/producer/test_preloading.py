"""What the browser is told to fetch with the document: files of Streamlit; nothing where the layout is another."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

streamlit = pytest.importorskip("streamlit")

from pathlib import Path  # noqa: E402 - after the check

from starlette.applications import Starlette  # noqa: E402
from starlette.responses import HTMLResponse, PlainTextResponse  # noqa: E402
from starlette.routing import Route  # noqa: E402
from starlette.testclient import TestClient  # noqa: E402

from producer.page.preloading import MOST_BYTES, PARTS, Preloading, links  # noqa: E402

if TYPE_CHECKING:
    from starlette.requests import Request

SCRIPTS = Path(streamlit.__file__).with_name("static") / "static" / "js"


def test_each_part_is_named_with_all_it_imports_and_what_the_document_loads_is_not():
    names = re.findall(r"<\./static/js/([^>]+)>; rel=modulepreload", links())

    assert {name.split(".")[0] for name in names} >= set(PARTS)
    assert all((SCRIPTS / name).is_file() for name in names)
    assert not [name for name in names if name.startswith("index.")]
    assert len(names) == len(set(names))
    assert 0 < len(links()) <= MOST_BYTES


def test_another_layout_of_streamlits_files_means_no_header(tmp_path: Path):
    assert links(tmp_path) == ""
    (tmp_path / "static" / "js").mkdir(parents=True)
    (tmp_path / "index.html").write_text('<script src="./static/js/gone.js"></script>')
    assert links(tmp_path) == ""


def test_documents_carry_the_header_and_other_answers_do_not():
    def document(_request: Request) -> HTMLResponse:
        return HTMLResponse("<!doctype html>")

    def health(_request: Request) -> PlainTextResponse:
        return PlainTextResponse("ok")

    app = Preloading(Starlette(routes=[Route("/", document), Route("/health", health)]))
    client = TestClient(app)

    assert client.get("/").headers["link"] == links()
    assert "link" not in client.get("/health").headers
