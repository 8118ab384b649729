"""A refusal on the page names the page's fields, never an option of the command line."""

from __future__ import annotations

import pytest

from producer.page.problem import page_words
from workers.contract.errors import ConflictingJob, GradequeueError, InvalidInput, JobIsRunning


@pytest.mark.parametrize(
    ("problem", "sentence"),
    [
        (InvalidInput("leave --pilot out, or choose another --name"), "leave 'Grade so many first, then ask' out"),
        (InvalidInput("m takes no effort; leave --effort out"), "leave 'Effort' out"),
        (InvalidInput("exceeds --max-prompt-bytes"), "exceeds 'Max prompt bytes'"),
        (ConflictingJob("--update grades the new work"), "Another name of the batch"),
        (JobIsRunning("run the same command again"), "Press the button again"),
    ],
)
def test_an_option_is_named_as_the_page_s_field(problem: GradequeueError, sentence: str):
    said = page_words(problem)
    assert sentence in said
    assert "--" not in said
