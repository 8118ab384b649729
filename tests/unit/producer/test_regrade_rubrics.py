"""Regrades of batches with a rubric per submission, and of several columns."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from producer.inputs.templates import Template
from producer.regrading.change import Change
from producer.regrading.regrade import regrade
from producer.regrading.submission_of_prompt import SubmissionUnknown
from tests.support.regrading import (
    BOUND,
    OLD,
    TEMPLATE,
    asked,
    enqueue_under,
    fence_of,
    jobs_of,
    parts_of,
    scheme,
)
from workers.contract.job import JobSpec
from workers.contract.origin import BatchOrigin
from workers.contract.schemes.fence import Fence, fenced_prompt

if TYPE_CHECKING:
    from pathlib import Path

    from producer.client import JobClient


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
    fence = fence_of(client, report.batch.name)
    assert {job.id: asked(job) for job in new} == {
        identity: parts_of(own, f"{identity}'s", fence, Template.parse("New {submission}"), identity)
        for identity, own in SEVERAL.items()
    }


@pytest.mark.parametrize("template", [None, Template.parse("New {submission}")], ids=["raw", "in a template"])
def test_with_the_input_given_again_every_job_keeps_its_own_rubric(
    client: JobClient, tmp_path: Path, template: Template | None
):
    enqueue_under(client, SEVERAL)
    file = tmp_path / "again.csv"
    file.write_text("id,submission\n" + "".join(f"{identity},{identity} again\n" for identity in SEVERAL))

    report = regrade(client, "old", Change(model="n", template=template, input_path=file))

    before = {job.id: (job.schema, job.context_hash) for job in jobs_of(client, "old")}
    new = jobs_of(client, report.batch.name)
    assert {job.id: (job.schema, job.context_hash) for job in new} == before
    fence = fence_of(client, report.batch.name)
    assert {job.id: asked(job) for job in new} == {
        identity: parts_of(own, f"{identity} again", fence, template, identity) for identity, own in SEVERAL.items()
    }


def test_one_new_rubric_takes_the_place_of_several(client: JobClient):
    enqueue_under(client, SEVERAL)
    third = scheme("third")

    report = regrade(client, "old", Change(scheme=third))

    new = jobs_of(client, report.batch.name)
    fence = fence_of(client, report.batch.name)
    assert {job.id: asked(job) for job in new} == {each: parts_of(third, f"{each}'s", fence) for each in SEVERAL}
    assert len({job.context_hash for job in new}) == 1


@pytest.mark.parametrize(
    "origin",
    [BatchOrigin(template_text="Task {task}\n{submission}"), BatchOrigin(template="0" * 64)],
    ids=["kept", "not kept"],
)
def test_another_rubric_or_model_needs_no_cut_through_a_template_of_several_columns(
    client: JobClient, origin: BatchOrigin
):
    old, new = scheme("first"), scheme("second")

    def written(fence: Fence) -> str:
        return f"Task\n{fence.around('task', '1')}\n{fence.around('submission', 'print(1)')}"

    client.enqueue(
        [JobSpec(id="anna", prompt=fenced_prompt(old.section, written(OLD), OLD), schema=old.schema, model="m")],
        name="old", context=old.context, origin=replace(origin, fence=OLD.mark),
    )  # fmt: skip

    by_rubric = regrade(client, "old", Change(scheme=new)).batch.name
    by_model = regrade(client, "old", Change(model="n")).batch.name

    fence = fence_of(client, by_rubric)
    (job,) = jobs_of(client, by_rubric)
    assert job.prompt == f"{fence.around('task', '1')}\n{fence.around('submission', 'print(1)')}"
    assert (job.instructions or "").startswith(f"{new.section}\n\nTask\n[task]\n[submission]\n\n")
    assert jobs_of(client, by_model)[0].prompt == jobs_of(client, "old")[0].prompt
    with pytest.raises(SubmissionUnknown, match="give the submissions again with --input"):
        regrade(client, "old", Change(template=Template.parse("New {submission}"), scheme=new))


@pytest.mark.parametrize(
    ("origin", "is_known"),
    [
        (BatchOrigin(template_text=TEMPLATE.text), True),
        (BatchOrigin(template_text="{task}{submission}"), False),
        (BatchOrigin(template="0"), False),
    ],
)
def test_a_rubric_for_prompts_without_a_fence_fences_the_work_alone_or_asks_for_it(
    client: JobClient, origin: BatchOrigin, *, is_known: bool
):
    prompt = BOUND.render({"id": "anna", "submission": "print(1)"})
    client.enqueue([JobSpec(id="anna", prompt=prompt, schema="feedback", model="m")], name="old", origin=origin)
    new = scheme("second")

    if not is_known:
        with pytest.raises(SubmissionUnknown):
            regrade(client, "old", Change(scheme=new))
        return
    name = regrade(client, "old", Change(scheme=new)).batch.name
    assert asked(jobs_of(client, name)[0]) == parts_of(new, "print(1)", fence_of(client, name), TEMPLATE)
