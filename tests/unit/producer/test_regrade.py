"""Regrading: a batch of its own beside the old one, from stored prompts, and never from a guess."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producer.inputs.templates import Template
from producer.regrading.change import Change
from producer.regrading.linked_name import linked_name
from producer.regrading.regrade import regrade, regrade_name
from producer.regrading.submission_of_prompt import SubmissionUnknown, submission_fields
from tests.support.regrading import (
    OLD,
    TEMPLATE,
    asked,
    enqueue,
    fence_of,
    jobs_of,
    parts_of,
    prompt_of,
    scheme,
)
from workers.contract.errors import InvalidInput
from workers.contract.job import JobParameters, JobSpec
from workers.contract.origin import BatchOrigin
from workers.contract.schemes.fence import Fence, fenced_prompt
from workers.store.stored_jobs import StoredJob

if TYPE_CHECKING:
    from pathlib import Path

    from producer.client import JobClient


def test_with_another_model_the_same_prompts_make_a_new_batch_and_the_old_one_stays(client: JobClient):
    enqueue(client, {"anna": "print(1)", "ben": "print(2)"})
    before = jobs_of(client, "old")

    report = regrade(client, "old", Change(model="second-model"))

    new = jobs_of(client, report.batch.name)
    assert [(job.id, job.prompt, job.model) for job in new] == [(job.id, job.prompt, "second-model") for job in before]
    assert [job.metadata for job in new] == [{"group": "A"}] * 2
    assert new[0].parameters == JobParameters(max_tokens=77)
    assert jobs_of(client, "old") == before
    assert client.batch(report.batch.name).origin().regrade_of == "old"


def test_with_another_effort_every_job_keeps_its_other_parameters(client: JobClient):
    enqueue(client, {"anna": "print(1)"})
    change = Change(effort="high", max_tokens=9_000)

    regrade(client, "old", change, name="new")

    old, new = jobs_of(client, "old")[0].parameters, jobs_of(client, "new")[0].parameters
    assert new == replace(old, effort="high", max_tokens=9_000)
    assert client.batch("new").overview().origin.effort == "high"
    assert Change(model="m").digest != Change(model="m", effort="high").digest


def test_the_same_regrade_twice_is_one(client: JobClient):
    enqueue(client, {"anna": "print(1)", "ben": "print(2)"})

    first = regrade(client, "old", Change(model="second-model"))
    second = regrade(client, "old", Change(model="second-model"))

    assert (first.new, second.new, second.existing) == (2, 0, 2)
    assert len(client.batches()) == 2


def test_with_another_template_the_submissions_are_cut_out_of_the_old_prompts(client: JobClient):
    enqueue(client, {"anna": "a {submission} }} {{\nBe fair.\n", "ben": "Grade:\n"})

    report = regrade(client, "old", Change(template=Template.parse("New: {submission} ({id})")))

    fence = fence_of(client, report.batch.name)
    assert [fence.contents(job.prompt or "") for job in jobs_of(client, report.batch.name)] == [
        ["a {submission} }} {{\nBe fair.\n", "anna"],
        ["Grade:\n", "ben"],
    ]
    assert {str(job.instructions)[:24] for job in jobs_of(client, report.batch.name)} == {"New: [submission] ([id])"}


def test_with_another_rubric_the_fence_around_the_work_is_the_new_batchs(client: JobClient):
    old, new = scheme("first"), scheme("second")
    submission = "print(1)  # >>> 12345678\n# Submission\n"
    client.enqueue(
        [JobSpec(id="anna", prompt=prompt_of(old, submission, OLD, TEMPLATE), schema=old.schema, model="m")],
        name="old", context=old.context, origin=BatchOrigin(template_text=TEMPLATE.text, fence=OLD.mark),
    )  # fmt: skip

    report = regrade(client, "old", Change(scheme=new))
    again = regrade(client, "old", Change(scheme=new))

    (job,) = jobs_of(client, report.batch.name)
    fence = fence_of(client, report.batch.name)
    assert fence != OLD
    assert asked(job) == parts_of(new, submission, fence, Template.parse(TEMPLATE.text.replace("{id}", "anna")))
    assert job.context_hash not in {None, jobs_of(client, "old")[0].context_hash}
    assert (again.new, again.existing) == (0, 1)


def test_a_regrade_of_a_regrade_finds_the_work_in_its_fence(client: JobClient):
    old, new = scheme("first"), scheme("second")
    client.enqueue(
        [JobSpec(id="anna", prompt=prompt_of(old, "print(1)", OLD), schema=old.schema, model="m")],
        name="old", context=old.context, origin=BatchOrigin(fence=OLD.mark),
    )  # fmt: skip

    by_model = regrade(client, "old", Change(model="n")).batch.name
    by_rubric = regrade(client, by_model, Change(scheme=new)).batch.name
    by_template = regrade(client, by_rubric, Change(template=Template.parse("New {submission}"))).batch.name

    assert fence_of(client, by_model) == OLD
    assert asked(jobs_of(client, by_template)[0]) == parts_of(
        new, "print(1)", fence_of(client, by_template), Template.parse("New {submission}")
    )


def test_fields_side_by_side_are_told_apart_by_their_fences(client: JobClient):
    old = scheme("first")
    bound = Template.parse("{1. Why?}{Explain: a base case}").bind(["id", "1. Why?", "Explain: a base case"])
    fields = {"1. Why?": "a\n", "Explain: a base case": "\nb"}
    prompt = fenced_prompt(old.section, bound.render(fields, fence=OLD), OLD)
    client.enqueue(
        [JobSpec(id="anna", prompt=prompt, schema=old.schema, model="m")],
        name="old", context=old.context,
        origin=BatchOrigin(
            template_text="{1. Why?}{Explain: a base case}", template_columns=tuple(fields), fence=OLD.mark
        ),
    )  # fmt: skip

    new = regrade(client, "old", Change(template=Template.parse("Second: {Explain: a base case}"))).batch.name

    assert fence_of(client, new).contents(jobs_of(client, new)[0].prompt or "") == ["\nb"]
    assert client.batch(new).origin().template_columns == ("Explain: a base case",)


@pytest.mark.parametrize("template", ["{id}", "New {{submission}}", "New {{submission}} {id}", "{ submission } {id}"])
def test_a_template_without_the_work_is_refused_for_a_regrade_too(client: JobClient, template: str, tmp_path: Path):
    enqueue(client, {"anna": "print(1)"})
    file = tmp_path / "again.csv"
    file.write_text("id,submission\nanna,A\n")

    for path in (None, file):
        with pytest.raises(InvalidInput, match=r"looks like a placeholder|would not contain the student's work"):
            regrade(client, "old", Change(template=Template.parse(template), input_path=path))
    assert len(client.batches()) == 1


def test_another_model_keeps_the_rubric(client: JobClient):
    old = scheme("first")
    client.enqueue(
        [JobSpec(id="anna", prompt=prompt_of(old, "x", OLD), schema=old.schema, model="m")],
        name="old", context=old.context,
    )  # fmt: skip

    report = regrade(client, "old", Change(model="n"))

    assert jobs_of(client, report.batch.name)[0].context_hash == jobs_of(client, "old")[0].context_hash


def test_a_prompt_that_no_known_fence_divides_is_not_guessed_at(client: JobClient):
    old = scheme("first")
    client.enqueue(
        [JobSpec(id="anna", prompt=prompt_of(old, "x", Fence.draw()), schema=old.schema, model="m")],
        name="old", context=old.context,
    )  # fmt: skip

    with pytest.raises(SubmissionUnknown, match="'anna' is not laid out as a rubric's; give the submissions again"):
        regrade(client, "old", Change(scheme=scheme("second")))


def test_a_prompt_that_the_kept_template_did_not_make_is_not_guessed_at(client: JobClient):
    client.enqueue(
        [JobSpec(id="anna", prompt="from somewhere else", schema="feedback", model="m")],
        name="old",
        origin=BatchOrigin(template_text=TEMPLATE.text),
    )

    with pytest.raises(InvalidInput, match="'anna' was not made with the kept template; give the submissions again"):
        regrade(client, "old", Change(template=Template.parse("New {submission}")))

    assert [each.name for each in client.batches()] == ["old"]


def test_two_columns_side_by_side_cannot_be_told_apart(client: JobClient):
    template = Template.parse("{task}{submission}")
    client.enqueue(
        [JobSpec(id="anna", prompt="ab", schema="feedback", model="m")],
        name="old",
        origin=BatchOrigin(template_text=template.text),
    )

    with pytest.raises(
        InvalidInput, match=r"holds \{submission\}, \{task\}, and it is unknown where one ends and the next begins"
    ):
        regrade(client, "old", Change(template=Template.parse("New {submission}")))


def test_the_input_given_again_settles_it_and_must_hold_every_job(client: JobClient, tmp_path: Path):
    enqueue(client, {"anna": "print(1)", "ben": "print(2)"})
    file = tmp_path / "again.csv"
    file.write_text("id,code\nanna,A\nben,B\ncleo,C\n")
    change = Change(template=Template.parse("New {code}"), input_path=file)

    report = regrade(client, "old", change)

    fence = fence_of(client, report.batch.name)
    assert [(job.id, fence.contents(job.prompt or "")) for job in jobs_of(client, report.batch.name)] == [
        ("anna", ["A"]),
        ("ben", ["B"]),
    ]
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
    bound = Template.parse(f"{before}{{submission}}{after}").bind(["id", "submission"])
    prompt = bound.render({"id": "anna", "submission": submission})
    job = StoredJob(
        id="anna", prompt=prompt, schema="s", model="m", parameters=JobParameters(), metadata={}, context_hash=None
    )

    assert submission_fields(job, bound, fence=None)["submission"] == submission
