"""The page that makes a batch: upload, say how to grade, see the first prompt, go."""

from __future__ import annotations

import hashlib
import json
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from producer.dashboard.batch_list import ENQUEUED
from producer.dashboard.limits import MAX_UPLOAD_MIB
from producer.dashboard.queries import batch_named
from producer.dashboard.services import client, settings
from producer.dashboard.uploads import Upload, UploadedFile, build_specs_of, is_archive, read_upload
from producer.dashboard.words import enqueued, listed, plain
from producer.inputs.specs import JobDefaults
from producer.regrade import TEMPLATE_TEXT
from producer.scheme import RUBRIC_SCHEMA, GradingScheme, scheme_of_catalogue, scheme_of_rubric
from producer.templates import Template
from workers.contract.error_catalogue import load_catalogues
from workers.contract.errors import GradequeueError, InvalidInput
from workers.contract.job import JobParameters, JobSpec, QueueName
from workers.contract.rubric import parse_rubric, read_document

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MOST_PROBLEMS = 100
"""Sentences shown about an upload; the rest is counted."""
MOST_NOTES = 5
"""Sentences shown on how archives were read; the rest is counted."""
MOST_STEM = 60
"""Characters of the upload's name in the batch's."""
_STANDIN_MODEL = "standin"
"""The model of offline jobs that name none, as on the command line."""
_TYPED_NAME = "typed name"
"""Key in the session: the batch's name as somebody typed it. The field's own value goes while it is not drawn."""
_DECIDES_THE_GRADE = {
    "template": "template",
    "schema": "schema",
    "scheme": "rubric or error catalogue",
    "model": "model",
}
"""Key in a batch's origin -> what the page calls it; jobs that differ in one of them do not belong together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Order:
    """How the upload is to be graded, as the form says it."""

    schema: str
    model: str
    template: Template
    scheme: GradingScheme | None
    parameters: JobParameters


def show() -> None:
    """Draw the page."""
    st.title("Grade submissions", anchor=False)
    if settings().offline:
        st.badge("stand-in provider: no grade will be real", color="violet", icon=":material/science:")
    upload = _upload()
    if upload is None:
        st.caption(
            "Upload single files, a ZIP with one file or folder per student, or a CSV with a column id. "
            "Nothing is graded before you have seen the first prompt."
        )
        return
    try:
        order = _order(upload)
    except InvalidInput as problem:
        _say(problem)
        return
    if order is not None:
        _preview_and_go(upload, order)


def _upload() -> Upload | None:
    files = st.file_uploader(
        "Submissions", accept_multiple_files=True, key="submissions", max_upload_size=MAX_UPLOAD_MIB
    )
    if not files:
        return None
    given = [UploadedFile(file.name, file) for file in files]
    archives_are_students = any(is_archive(file) for file in given) and st.toggle(
        "Each ZIP is the work of one student, named after the ZIP", key="archives are students"
    )
    key = (archives_are_students, *(file.file_id for file in files))
    before = st.session_state.get("upload_key", ())
    if before != key:
        if not {*before[1:]} & {*key[1:]}:
            st.session_state.pop(_TYPED_NAME, None)  # nothing of the upload is left that it was typed for
        st.session_state.upload = read_upload(given, archives_are_students=archives_are_students)
        st.session_state.upload_key = key
        st.session_state.upload_stem = Path(files[0].name).stem if len(files) == 1 else "submissions"
    upload: Upload = st.session_state.upload
    _tell(upload)
    if not upload.items:
        st.error("Nothing in this upload can be graded.")
        return None
    return upload


def _tell(upload: Upload) -> None:
    """What was read, and what was left out."""
    for note in upload.notes[:MOST_NOTES]:
        st.caption(plain(note))
    if len(upload.notes) > MOST_NOTES:
        st.caption(f"and {len(upload.notes) - MOST_NOTES} more archives")
    if upload.problems:
        with st.expander(
            f"{len(upload.problems)} left out: see why", expanded=not upload.items, icon=":material/warning:"
        ):
            for problem in upload.problems[:MOST_PROBLEMS]:
                st.text(problem)
            if len(upload.problems) > MOST_PROBLEMS:
                st.text(f"and {len(upload.problems) - MOST_PROBLEMS} more")


def _order(upload: Upload) -> _Order | None:
    registry = client().registry
    names = list(registry.names())
    first, second = st.columns(2)
    schema = first.selectbox(
        "Schema", names, key="schema", format_func=lambda name: f"{name}: {registry.describe(name)}"
    )
    default_model = settings().model or (_STANDIN_MODEL if settings().offline else "")
    model = (second.text_input("Model", value=default_model, key="model", live=True) or "").strip()
    scheme = _scheme(schema) if schema and registry.needs_context(schema) else None
    if schema and registry.needs_context(schema) and scheme is None:
        return None
    suggested = _suggested_template(upload, scheme)
    written = st.text_area(
        "Template", value=suggested, key=f"template {hash(suggested)}", height=140,
        help="What stands in braces is filled in for each student; the columns of your upload may stand there.",
    )  # fmt: skip
    st.caption(plain(f"You may use: {', '.join(f'{{{column}}}' for column in upload.columns)}"))
    parameters = _parameters()
    if not model:
        st.info("Say which model to ask.")
        return None
    return _Order(
        schema=schema or "",
        model=model,
        template=Template.parse(written or "", name="template"),
        scheme=scheme,
        parameters=parameters,
    )


def _scheme(schema: str) -> GradingScheme | None:
    is_rubric = schema == RUBRIC_SCHEMA
    what = "Rubric" if is_rubric else "Error catalogue"
    file = st.file_uploader(f"{what} (JSON)", type="json", key=f"scheme {schema}")
    if file is None:
        st.info(f"This schema needs {'a rubric' if is_rubric else 'an error catalogue'}.")
        return None
    with tempfile.TemporaryDirectory(prefix="gradequeue-scheme-") as folder:
        path = Path(folder) / (Path(file.name).name or "scheme.json")
        path.write_bytes(file.getvalue())
        found = _rubrics(path) if is_rubric else _catalogues(path)
    chosen = st.selectbox(what, list(found), key=f"chosen {schema}") if len(found) > 1 else next(iter(found), None)
    if chosen is None:
        raise InvalidInput("holds nothing to grade by", where=file.name)
    scheme = found[chosen]()
    for warning in scheme.warnings:
        st.warning(plain(warning))
    return scheme


def _rubrics(path: Path) -> dict[str, Callable[[], GradingScheme]]:
    """Rubrics by key; only the chosen one is judged."""
    document = read_document(path)
    if not isinstance(document, dict):
        raise InvalidInput("holds no rubrics; expected is an object with one rubric under each id", where=path.name)
    entries = {str(document.get("rubric_id", "rubric")): document} if "criteria" in document else document
    return {key: partial(_rubric_scheme, entry, where=f"{path.name} {key}") for key, entry in entries.items()}


def _rubric_scheme(entry: object, *, where: str) -> GradingScheme:
    return scheme_of_rubric(parse_rubric(entry, where=where))


def _catalogues(path: Path) -> dict[str, Callable[[], GradingScheme]]:
    return {
        f"{each.course_id} / {each.assignment_name or each.assignment_id}": partial(scheme_of_catalogue, each)
        for each in load_catalogues(path)
    }


def _suggested_template(upload: Upload, scheme: GradingScheme | None) -> str:
    usual = [name for name in ("submission", "code", "text", "answer", "prompt") if name in upload.columns]
    column = next(iter([*usual, *(name for name in upload.columns if name != "id")]), "submission")
    if scheme is not None or column == "prompt":
        return f"{{{column}}}"
    return f"Grade this student's submission. Be fair, concrete and brief.\n\n{{{column}}}\n"


def _parameters() -> JobParameters:
    with st.expander("More"):
        first, second, third = st.columns(3)
        temperature = first.number_input("Temperature", 0.0, 2.0, JobParameters().temperature, 0.1, key="temperature")
        max_tokens = second.number_input(
            "Longest answer (tokens)", 1, None, JobParameters().max_tokens, key="max_tokens"
        )
        repair = third.toggle("Show an invalid answer to the model once", key="allow_repair")
    return JobParameters(temperature=float(temperature or 0.0), max_tokens=int(max_tokens or 1), allow_repair=repair)


def _preview_and_go(upload: Upload, order: _Order) -> None:
    specs, problems = build_specs_of(
        upload.items,
        JobDefaults(
            template=order.template,
            schema=order.schema,
            model=order.model,
            parameters=order.parameters,
            known_schemas=(order.schema,),
            wrap_prompt=order.scheme.wrap_prompt if order.scheme else None,
        ),
    )
    if problems:
        with st.expander(f"{len(problems)} cannot be graded like this: see why", icon=":material/warning:"):
            for problem in problems[:MOST_PROBLEMS]:
                st.text(problem)
    if not specs:
        st.error("No submission gives a prompt.")
        return
    st.subheader("First prompt", anchor=False)
    st.caption(f"for {plain(specs[0].id)}, as the model will see it")
    st.code(specs[0].prompt, language=None, wrap_lines=True, height=320)
    name = _name_of_batch(_derived_name(st.session_state.upload_stem, specs, order))
    if st.button(f"Grade {len(specs)} submissions", type="primary", icon=":material/play_arrow:", key="grade"):
        _enqueue(specs, order, name)


def _name_of_batch(suggested: str) -> str:
    """What somebody typed, whatever is changed after that; the suggestion until then, or when the field is emptied."""

    def keep() -> None:
        st.session_state[_TYPED_NAME] = st.session_state["name of batch"].strip()

    st.session_state["name of batch"] = st.session_state.get(_TYPED_NAME) or suggested
    return st.text_input("Name of the batch", key="name of batch", on_change=keep).strip()


def _derived_name(stem: str, specs: list[JobSpec], order: _Order) -> str:
    """From the upload's name and all that decides the answers: the same upload again finds its own batch."""
    digest = hashlib.sha256()
    for spec in specs:
        digest.update(json.dumps([spec.id, spec.prompt, spec.model, spec.schema]).encode())
    extra = [order.parameters.as_json(), order.scheme.digest if order.scheme else None, client().provider]
    digest.update(json.dumps(extra, sort_keys=True).encode())
    return f"{stem[:MOST_STEM]}-{digest.hexdigest()[:8]}"


def _enqueue(specs: list[JobSpec], order: _Order, name: str) -> None:
    origin: Mapping[str, object] = {
        "input": "uploaded",
        "schema": order.schema,
        "scheme": order.scheme.digest if order.scheme else None,
        "model": order.model,
        "template": order.template.sha256,
        TEMPLATE_TEXT: order.template.text,
    }
    try:
        _refuse_another_order(name, origin)
        report = client().enqueue(
            specs,
            name=name,
            queue=QueueName.INTERACTIVE,
            context=order.scheme.context if order.scheme else None,
            origin=origin,
        )
    except GradequeueError as problem:
        _say(problem)
        return
    st.session_state[ENQUEUED] = (name, enqueued(report.new, report.existing))
    st.session_state.open_batch = name
    st.rerun()


def _refuse_another_order(name: str, origin: Mapping[str, object]) -> None:
    """One name, one way of grading: other students would else be graded beside these by another rubric, unseen."""
    batch = batch_named(name)
    if batch is None:
        return
    others = [word for key, word in _DECIDES_THE_GRADE.items() if batch.origin.get(key) != origin[key]]
    if batch.provider != client().provider:
        others.append("provider")
    if others:
        raise InvalidInput(
            f"the batch {name!r} exists and was not made with this {listed(others)}; choose another name"
        )


def _say(problem: GradequeueError) -> None:
    st.error("This does not work yet:")
    st.text(problem)
