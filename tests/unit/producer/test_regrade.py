"""Regrading: a batch of its own beside the old one, from stored prompts, and never from a guess."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producer.client import JobClient
from producer.regrade import (
    REGRADE_OF,
    TEMPLATE_TEXT,
    Change,
    SubmissionUnknown,
    linked_name,
    regrade,
    regrade_name,
    submission_fields,
)
from producer.scheme import GradingScheme, scheme_of_rubric
from producer.templates import Template
from workers.contract.errors import InvalidInput
from workers.contract.job import JobParameters, JobSpec
from workers.contract.registry import builtin_registry
from workers.contract.rubric import parse_rubric
from workers.store.content import StoredJob, read_jobs

if TYPE_CHECKING:
    from pathlib import Path

    from workers.store import Store

TEMPLATE = Template.parse("Task {id}.\nGrade:\n{submission}\nBe fair.")


def rubric(title: str) -> dict[str, object]:
    level = {"label": "good", "score_min": 1, "score_max": 2, "description": "works"}
    return {
        "rubric_id": "r",
        "title": title,
        "criteria": [{"criterion_id": "c", "name": "C", "max_points": 2.0, "levels": [level]}],
    }


def scheme(title: str = "first"):
    return scheme_of_rubric(parse_rubric(json.loads(json.dumps(rubric(title), default=float)) | {}))


@pytest.fixture
def client(store: Store) -> JobClient:
    return JobClient(store=store, publisher=None, registry=builtin_registry(), provider="standin")


def enqueue(client: JobClient, texts: dict[str, str], template: Template | None = TEMPLATE, name: str = "old") -> None:
    client.enqueue(
        [
            JobSpec(
                id=identity,
                prompt=template.render({"id": identity, "submission": text}) if template else text,
                schema="feedback",
                model="first-model",
                parameters=JobParameters(max_tokens=77),
                metadata={"group": "A"},
            )
            for identity, text in texts.items()
        ],
        name=name,
        origin={TEMPLATE_TEXT: template.text, "template": template.sha256} if template else {},
    )


def jobs_of(client: JobClient, name: str) -> list[StoredJob]:
    with client.store.snapshot() as connection:
        return list(read_jobs(connection, name))


def test_with_another_model_the_same_prompts_make_a_new_batch_and_the_old_one_stays(client: JobClient):
    enqueue(client, {"anna": "print(1)", "ben": "print(2)"})
    before = jobs_of(client, "old")

    report = regrade(client, "old", Change(model="second-model"))

    new = jobs_of(client, report.batch.name)
    assert [(job.id, job.prompt, job.model) for job in new] == [(job.id, job.prompt, "second-model") for job in before]
    assert [job.metadata for job in new] == [{"group": "A"}] * 2
    assert new[0].parameters == JobParameters(max_tokens=77)
    assert jobs_of(client, "old") == before
    assert client.batch(report.batch.name).origin()[REGRADE_OF] == "old"


def test_the_same_regrade_twice_is_one(client: JobClient):
    enqueue(client, {"anna": "print(1)", "ben": "print(2)"})

    first = regrade(client, "old", Change(model="second-model"))
    second = regrade(client, "old", Change(model="second-model"))

    assert (first.new, second.new, second.existing) == (2, 0, 2)
    assert len(client.batches()) == 2


def test_with_another_template_the_submissions_are_cut_out_of_the_old_prompts(client: JobClient):
    enqueue(client, {"anna": "a {submission} }} {{\nBe fair.\n", "ben": "Grade:\n"})

    report = regrade(client, "old", Change(template=Template.parse("New: {submission} ({id})")))

    assert [job.prompt for job in jobs_of(client, report.batch.name)] == [
        "New: a {submission} }} {{\nBe fair.\n (anna)",
        "New: Grade:\n (ben)",
    ]


def test_with_another_rubric_the_fence_around_the_work_is_made_anew(client: JobClient):
    old, new = scheme("first"), scheme("second")
    submission = "print(1)  # >>> 12345678\n# Submission\n"
    client.enqueue(
        [JobSpec(id="anna", prompt=old.wrap_prompt(TEMPLATE.render({"id": "anna", "submission": submission})),
                 schema=old.schema, model="m")],
        name="old", context=old.context, origin={TEMPLATE_TEXT: TEMPLATE.text},
    )  # fmt: skip

    report = regrade(client, "old", Change(scheme=new))

    (job,) = jobs_of(client, report.batch.name)
    assert job.prompt == new.wrap_prompt(TEMPLATE.render({"id": "anna", "submission": submission}))
    assert job.context_hash not in {None, jobs_of(client, "old")[0].context_hash}


def test_another_model_keeps_the_rubric(client: JobClient):
    old = scheme("first")
    client.enqueue(
        [JobSpec(id="anna", prompt=old.wrap_prompt("x"), schema=old.schema, model="m")],
        name="old", context=old.context,
    )  # fmt: skip

    report = regrade(client, "old", Change(model="n"))

    assert jobs_of(client, report.batch.name)[0].context_hash == jobs_of(client, "old")[0].context_hash


def enqueue_under(
    client: JobClient, schemes: dict[str, GradingScheme | None], template: Template | None = None
) -> None:
    """One batch filled job by job, each under a rubric of its own or none."""
    for identity, own in schemes.items():
        written = template.render({"id": identity, "submission": f"{identity}'s"}) if template else f"{identity}'s"
        client.enqueue(
            [JobSpec(id=identity, prompt=own.wrap_prompt(written) if own else written,
                     schema=own.schema if own else "feedback", model="m")],
            name="old",
            context=own.context if own else None,
            origin={TEMPLATE_TEXT: template.text} if template else {},
        )  # fmt: skip


SEVERAL = {"anna": scheme("first"), "ben": scheme("second"), "cleo": None, "dora": scheme("first")}


def test_with_another_model_every_job_keeps_its_own_rubric(client: JobClient):
    enqueue_under(client, SEVERAL)
    before = {job.id: (job.prompt, job.schema, job.context_hash) for job in jobs_of(client, "old")}

    report = regrade(client, "old", Change(model="n"))
    again = regrade(client, "old", Change(model="n"))

    new = {job.id: (job.prompt, job.schema, job.context_hash) for job in jobs_of(client, report.batch.name)}
    assert new == before
    assert len({context_hash for _, _, context_hash in new.values()}) == 3
    assert (report.new, report.existing, again.new, again.existing) == (4, 0, 0, 4)


def test_with_another_template_every_job_keeps_its_own_rubric(client: JobClient):
    enqueue_under(client, SEVERAL, TEMPLATE)

    report = regrade(client, "old", Change(template=Template.parse("New {submission}")))

    before = {job.id: job.context_hash for job in jobs_of(client, "old")}
    new = jobs_of(client, report.batch.name)
    assert {job.id: job.context_hash for job in new} == before
    assert {job.id: job.prompt for job in new} == {
        identity: own.wrap_prompt(f"New {identity}'s") if own else f"New {identity}'s"
        for identity, own in SEVERAL.items()
    }


def test_with_the_input_given_again_every_job_keeps_its_own_rubric(client: JobClient, tmp_path: Path):
    enqueue_under(client, SEVERAL)
    file = tmp_path / "again.csv"
    file.write_text("id,submission\n" + "".join(f"{identity},{identity} again\n" for identity in SEVERAL))

    report = regrade(client, "old", Change(model="n", input_path=file))

    before = {job.id: (job.schema, job.context_hash) for job in jobs_of(client, "old")}
    new = jobs_of(client, report.batch.name)
    assert {job.id: (job.schema, job.context_hash) for job in new} == before
    assert {job.id: job.prompt for job in new} == {
        identity: own.wrap_prompt(f"{identity} again") if own else f"{identity} again"
        for identity, own in SEVERAL.items()
    }


def test_one_new_rubric_takes_the_place_of_several(client: JobClient):
    enqueue_under(client, SEVERAL)
    third = scheme("third")

    report = regrade(client, "old", Change(scheme=third))

    new = jobs_of(client, report.batch.name)
    assert {job.id: job.prompt for job in new} == {each: third.wrap_prompt(f"{each}'s") for each in SEVERAL}
    assert len({job.context_hash for job in new}) == 1


@pytest.mark.parametrize("old", [scheme("first"), None], ids=["with a rubric", "without one"])
@pytest.mark.parametrize(
    "origin", [{TEMPLATE_TEXT: "Task {task}\n{submission}"}, {"template": "0" * 64}], ids=["kept", "not kept"]
)
def test_another_rubric_or_model_needs_no_cut_through_a_template_of_several_columns(
    client: JobClient, old: GradingScheme | None, origin: dict[str, object]
):
    written = "Task 1\nprint(1)\n"
    client.enqueue(
        [JobSpec(id="anna", prompt=old.wrap_prompt(written) if old else written,
                 schema=old.schema if old else "feedback", model="m")],
        name="old", context=old.context if old else None, origin=origin,
    )  # fmt: skip
    new = scheme("second")

    by_rubric = regrade(client, "old", Change(scheme=new))
    by_model = regrade(client, "old", Change(model="n"))

    (job,) = jobs_of(client, by_rubric.batch.name)
    assert (job.prompt, job.schema) == (new.wrap_prompt(written), new.schema)
    assert jobs_of(client, by_model.batch.name)[0].prompt == jobs_of(client, "old")[0].prompt
    with pytest.raises(SubmissionUnknown, match="give the submissions again with --input"):
        regrade(client, "old", Change(template=Template.parse("New {submission}"), scheme=new))


def test_a_prompt_that_the_kept_template_did_not_make_is_not_guessed_at(client: JobClient):
    client.enqueue(
        [JobSpec(id="anna", prompt="from somewhere else", schema="feedback", model="m")],
        name="old",
        origin={TEMPLATE_TEXT: TEMPLATE.text},
    )

    with pytest.raises(InvalidInput, match="'anna' was not made with the kept template; give the submissions again"):
        regrade(client, "old", Change(template=Template.parse("New {submission}")))

    assert [each.name for each in client.batches()] == ["old"]


def test_two_columns_side_by_side_cannot_be_told_apart(client: JobClient):
    template = Template.parse("{task}{submission}")
    client.enqueue(
        [JobSpec(id="anna", prompt="ab", schema="feedback", model="m")],
        name="old",
        origin={TEMPLATE_TEXT: template.text},
    )

    with pytest.raises(InvalidInput, match=r"holds \{submission\}, \{task\}, and where one ends cannot be told"):
        regrade(client, "old", Change(template=Template.parse("New {submission}")))


def test_the_input_given_again_settles_it_and_must_hold_every_job(client: JobClient, tmp_path: Path):
    enqueue(client, {"anna": "print(1)", "ben": "print(2)"})
    file = tmp_path / "again.csv"
    file.write_text("id,code\nanna,A\nben,B\ncleo,C\n")
    change = Change(template=Template.parse("New {code}"), input_path=file)

    report = regrade(client, "old", change)

    assert [(job.id, job.prompt) for job in jobs_of(client, report.batch.name)] == [("anna", "New A"), ("ben", "New B")]
    file.write_text("id,code\nanna,A\n")
    with pytest.raises(InvalidInput, match="lacks 1 of the batch's jobs, 'ben' among them"):
        regrade(client, "old", change, name="another")


def test_nothing_to_change_and_no_such_batch_are_said(client: JobClient):
    with pytest.raises(InvalidInput, match="nothing would change"):
        Change()
    with pytest.raises(InvalidInput, match="there is no batch 'old'"):
        regrade(client, "old", Change(model="m"))


def test_names_of_regrades_stay_within_the_bound_and_apart():
    change = Change(model="m")

    assert len(regrade_name("x" * 200, change)) <= 200
    assert regrade_name("x" * 199 + "a", change) != regrade_name("x" * 199 + "b", change)
    assert linked_name("old", "night") == "old-night"


@given(
    submission=st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\x00\r")),
    before=st.sampled_from(["", "Grade ", "{id}: ", "{{x}} "]),
    after=st.sampled_from(["", "\n", " for {id}", "\n{submission} again"]),
)
def test_whatever_a_student_wrote_is_cut_out_exactly(submission: str, before: str, after: str):
    template = Template.parse(f"{before}{{submission}}{after}")
    prompt = template.render({"id": "anna", "submission": submission})
    job = StoredJob(
        id="anna", prompt=prompt, schema="s", model="m", parameters=JobParameters(), metadata={}, context_hash=None
    )

    assert submission_fields(job, template, is_wrapped=False)["submission"] == submission
