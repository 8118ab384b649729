"""Batches to regrade."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from producer.inputs.templates import Template
from workers.contract.job import JobParameters, JobSpec
from workers.contract.origin import BatchOrigin
from workers.contract.schemes.fence import Fence, fenced_prompt
from workers.contract.schemes.layout import instructions_text, students_part
from workers.contract.schemes.rubric import parse_rubric
from workers.contract.schemes.scheme import GradingScheme, scheme_of_rubric
from workers.store.stored_jobs import StoredJob, read_jobs

if TYPE_CHECKING:
    from producer.client import JobClient


TEMPLATE = Template.parse("Task {id}.\nGrade:\n{submission}\nBe fair.")
BOUND = TEMPLATE.bind(["id", "submission"])
OLD = Fence.draw()
"""The old batch's."""


def rubric(title: str) -> dict[str, object]:
    level = {"label": "good", "score_min": 1, "score_max": 2, "description": "works"}
    return {
        "rubric_id": "r",
        "title": title,
        "criteria": [{"criterion_id": "c", "name": "C", "max_points": 2.0, "levels": [level]}],
    }


def scheme(title: str = "first"):
    return scheme_of_rubric(parse_rubric(json.loads(json.dumps(rubric(title), default=float)) | {}))


def enqueue(client: JobClient, texts: dict[str, str], template: Template | None = TEMPLATE, name: str = "old") -> None:
    client.enqueue(
        [
            JobSpec(
                id=identity,
                prompt=template.bind(["id", "submission"]).render({"id": identity, "submission": text})
                if template
                else text,
                schema="feedback",
                model="first-model",
                parameters=JobParameters(max_tokens=77),
                metadata={"group": "A"},
            )
            for identity, text in texts.items()
        ],
        name=name,
        origin=BatchOrigin(template_text=template.text, template=template.sha256) if template else None,
    )


def jobs_of(client: JobClient, name: str) -> list[StoredJob]:
    with client.store.snapshot() as connection:
        return list(read_jobs(connection, name))


def fence_of(client: JobClient, name: str) -> Fence:
    return Fence(str(client.batch(name).origin().fence))


def parts_of(
    own: GradingScheme | None, text: str, fence: Fence, template: Template | None = None, identity: str = "anna"
) -> tuple[str | None, str]:
    """Instructions and prompt, as an enqueue with the command line's options makes them."""
    fields = {"id": identity, "submission": text}
    if own is None and template is None:
        return None, text
    bound = template.bind(fields) if template else None
    values = bound.values(fields) if bound else [("submission", text)]
    words = bound.words if bound else ""
    return instructions_text(section=own.section if own else "", words=words, fence=fence), students_part(values, fence)


def asked(job: StoredJob) -> tuple[str | None, str | None]:
    return job.instructions, job.prompt


def prompt_of(own: GradingScheme | None, text: str, fence: Fence, template: Template | None = None) -> str:
    """As earlier releases made it, in one text."""
    fields = {"id": "anna", "submission": text}
    if own is None:
        return template.bind(fields).render(fields) if template else text
    return fenced_prompt(
        own.section,
        template.bind(fields).render(fields, fence=fence) if template else fence.around("submission", text),
        fence,
    )


def enqueue_under(
    client: JobClient, schemes: dict[str, GradingScheme | None], template: Template | None = None
) -> None:
    """One batch filled job by job, each under a rubric of its own or none."""
    for identity, own in schemes.items():
        fields = {"id": identity, "submission": f"{identity}'s"}
        prompt = prompt_of(own, f"{identity}'s", OLD)
        if template:
            written = template.bind(fields).render(fields, fence=OLD if own else None)
            prompt = fenced_prompt(own.section, written, OLD) if own else written
        client.enqueue(
            [JobSpec(id=identity, prompt=prompt, schema=own.schema if own else "feedback", model="m")],
            name="old",
            context=own.context if own else None,
            origin=BatchOrigin(fence=OLD.mark, template_text=template.text if template else None),
        )
