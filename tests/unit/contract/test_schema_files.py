"""A user's schema file: what of it is taken along, what it cannot reach, and who may run it."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING

import pytest

from workers.contract.errors import InvalidInput, UnknownSchema, UntrustedSchema
from workers.contract.registry import builtin_registry
from workers.contract.schema_files.lookup import InstalledSchemas, LocalSchemas
from workers.contract.schema_files.source import SchemaSource, collect_source
from workers.contract.schema_files.trust import SchemaTrust

if TYPE_CHECKING:
    from pathlib import Path

GRADE = "from pydantic import BaseModel\nclass Grade(BaseModel):\n    points: int\n"


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return folder


def modules(folder: Path, entry: str) -> set[str]:
    return set(collect_source(folder, entry).modules)


def test_a_file_brings_the_files_beside_it_that_it_imports_however_deep(tmp_path: Path):
    write(
        tmp_path,
        {
            "grade.py": "import levels\nfrom parts.inner import deep\nfrom parts import also\n" + GRADE,
            "levels.py": "def late():\n    import lazy\n",
            "lazy.py": "",
            "parts/inner/deep.py": "from .. import also\nfrom ...top import x\n",
            "parts/also.py": "",
            "unused.py": "",
        },
    )
    assert modules(tmp_path, "grade") == {
        "grade", "levels", "lazy", "parts", "parts.inner", "parts.inner.deep", "parts.also",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["queue", "random", "pydantic", "click", "workers"])
def test_a_file_named_like_pythons_a_dependencys_or_ours_is_never_taken_for_it(tmp_path: Path, name: str):
    folder = write(tmp_path, {"grade.py": f"import {name}\n{GRADE}", f"{name}.py": "raise SystemExit('executed')\n"})
    entry = builtin_registry(finder=LocalSchemas(folder)).resolve("grade.py:Grade")
    assert entry.source is not None
    assert set(SchemaSource.from_context(entry.source).modules) == {"grade"}


def test_a_schema_file_may_have_such_a_name_and_shadows_nothing(tmp_path: Path):
    write(tmp_path, {"queue.py": GRADE, "copy.py": "X = 1\n"})
    entry = builtin_registry(finder=LocalSchemas(tmp_path)).resolve("queue.py:Grade")
    import queue

    assert entry.model.__name__ == "Grade"
    assert hasattr(queue, "Queue")
    assert str(tmp_path) not in sys.path


def test_two_schemas_whose_helpers_have_one_name_get_each_its_own(tmp_path: Path):
    points = []
    for folder, most in (("a", 10), ("b", 20)):
        write(
            tmp_path / folder,
            {
                "grade.py": "from limits import MOST\nfrom pydantic import BaseModel, Field\n"
                "class Grade(BaseModel):\n    points: int = Field(le=MOST)\n",
                "limits.py": f"MOST = {most}\n",
            },
        )
        entry = builtin_registry(finder=LocalSchemas(tmp_path)).resolve(f"{folder}/grade.py:Grade")
        points.append(entry.model.model_json_schema()["properties"]["points"]["maximum"])
    assert points == [10, 20]
    assert "limits" not in sys.modules


def test_a_dotted_name_is_found_in_the_working_folder_last(tmp_path: Path):
    write(tmp_path, {"course/exam.py": GRADE, "json.py": GRADE})
    registry = builtin_registry(finder=LocalSchemas(tmp_path))
    assert registry.resolve("course.exam:Grade").model.__name__ == "Grade"
    with pytest.raises(UnknownSchema, match="has no 'Grade'"):
        registry.resolve("json:Grade")


def test_another_validator_is_another_fingerprint(tmp_path: Path):
    found = []
    for text in (GRADE, GRADE + "# rounds up\n"):
        write(tmp_path, {"grade.py": text})
        found.append(builtin_registry(finder=LocalSchemas(tmp_path)).resolve("grade.py:Grade").fingerprint)
    assert found[0] != found[1]


@pytest.mark.parametrize("schema", ["work/grade.py:Grade", "work.grade:Grade", "outside.py:Grade", "link.py:Grade"])
def test_nothing_that_was_handed_in_is_executed(tmp_path: Path, schema: str):
    marker = tmp_path / "executed"
    evil = f"__import__('pathlib').Path({str(marker)!r}).touch()\n{GRADE}"
    write(tmp_path, {"work/grade.py": evil, "work/helper.py": evil, "outside.py": "import work.helper\n" + GRADE})
    (tmp_path / "link.py").symlink_to(tmp_path / "work" / "grade.py")
    registry = builtin_registry(finder=LocalSchemas(tmp_path, untrusted=(tmp_path / "work",)))
    with pytest.raises(InvalidInput, match="lies among the submissions"):
        registry.resolve(schema)
    assert not marker.exists()


def test_a_worker_runs_a_kept_source_only_where_its_digest_is_trusted(tmp_path: Path):
    marker = tmp_path / "executed"
    folder = write(tmp_path / "course", {"grade.py": f"__import__('pathlib').Path({str(marker)!r}).touch()\n{GRADE}"})
    produced = builtin_registry(finder=LocalSchemas(folder)).resolve("grade.py:Grade")
    assert produced.source is not None
    kept = json.loads(json.dumps(produced.source))
    marker.unlink()
    for name in [name for name in sys.modules if name.startswith("gradequeue_schema_")]:
        del sys.modules[name]

    trust = SchemaTrust(tmp_path / "data")
    worker = builtin_registry(trusts=trust.allows)
    with pytest.raises(UntrustedSchema, match="GRADEQUEUE_TRUSTED_SCHEMAS"):
        worker.resolve("grade.py:Grade", kept)
    assert not marker.exists()

    trust.add(SchemaSource.from_context(kept).digest)
    assert worker.resolve("grade.py:Grade", kept).fingerprint == produced.fingerprint

    kept["schema_source"]["modules"]["grade"]["text"] += "\n# one byte more\n"
    with pytest.raises(UntrustedSchema):
        worker.resolve("grade.py:Grade", kept)


def test_digests_may_be_listed_by_the_operator(tmp_path: Path):
    assert SchemaTrust(tmp_path, f" {'A' * 64},{'b' * 64}").allows("a" * 64)
    assert not SchemaTrust(tmp_path, "nonsense").allows("c" * 64)


def test_a_worker_looks_for_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write(tmp_path, {"grade.py": GRADE})
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnknownSchema, match="enqueue it again"):
        builtin_registry(finder=InstalledSchemas()).resolve("grade.py:Grade")
    with pytest.raises(UnknownSchema, match="no module named 'grade'"):
        builtin_registry().resolve("grade:Grade")


@pytest.mark.parametrize(
    ("files", "schema", "words"),
    [
        ({}, "gone.py:Grade", "no schema file"),
        ({"a.b.py": GRADE}, "a.b.py:Grade", "rename it"),
        ({"bad.py": "def ("}, "bad.py:Grade", "not valid Python"),
        ({"bad.py": "\0"}, "bad.py:Grade", "not valid Python"),
        ({"big.py": "#" * 600_000}, "big.py:Grade", "folder of their own"),
        ({"grade.py": GRADE}, f"{'./' * 150}grade.py:Grade", "shorter path"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_sentence(tmp_path: Path, files: dict[str, str], schema: str, words: str):
    write(tmp_path, files)
    with pytest.raises(InvalidInput, match=words):
        builtin_registry(finder=LocalSchemas(tmp_path)).resolve(schema)


@pytest.mark.skipif(os.name != "posix", reason="an encoding's bytes")
def test_a_file_in_the_encoding_it_declares_is_read(tmp_path: Path):
    (tmp_path / "grade.py").write_bytes(f"# coding: latin-1\nX = 'ä'\n{GRADE}".encode("latin-1"))
    assert "ä" in collect_source(tmp_path, "grade").modules["grade"].text


@pytest.mark.parametrize("context", [{}, {"schema_source": 3}, {"schema_source": {"entry": "x", "modules": {"x": 1}}}])
def test_a_stored_source_that_is_none_is_one_sentence(context: dict[str, object]):
    with pytest.raises(InvalidInput, match="enqueue the batch again"):
        SchemaSource.from_context(context)
