"""The page from an upload to a release, in a real browser, by an owner and a grader, at both widths.

One running system and one long scene: starting either costs more than all that is looked at here.
"""

from __future__ import annotations

import csv
import io
import json
import os
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import TimeoutError as PlaywrightTimeout
from playwright.sync_api import expect

from ops.standin.keys import account_of
from tests.support.accessibility import violations
from tests.support.browser import PATIENCE_MILLISECONDS, PHONE, open_browser
from tests.support.page_stack import archive, upload
from tests.support.served_page import Served
from tests.support.unnamed_provider import unnamed_provider
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Locator, Page

    from tests.support.command_line import Bench

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(1200)]
OWNER, GRADER = "the owners password", "the graders password"
NAMES = [f"s{number:02}" for number in range(8)]
LEVELS = [
    {"label": "Full", "score_min": 6, "score_max": 6},
    {"label": "Half", "score_min": 3, "score_max": 3},
    {"label": "Not", "score_min": 0, "score_max": 0},
]
RUBRIC = {
    "rubric_id": "r",
    "title": "Functions",
    "criteria": [
        {"criterion_id": "correct", "name": "Correctness", "max_points": 6, "levels": LEVELS},
        {"criterion_id": "style", "name": "Style", "max_points": 6, "levels": LEVELS},
    ],
}


@pytest.fixture
def served(bench: Bench) -> Iterator[Served]:
    with unnamed_provider(bench.standin.base_url) as base_url:
        (bench.folder / "accounts.toml").write_text(
            f'[course-b]\nkey_variable = "COURSE_B_KEY"\nbase_url = "{base_url}"\n'
        )
        bench.environment |= {
            "OPENAI_BASE_URL": base_url,
            "OPENAI_API_KEY": "none",
            "COURSE_B_KEY": "of-course-b",
            "GRADEQUEUE_ACCOUNTS": str(bench.folder / "accounts.toml"),
            "GRADEQUEUE_STANDIN_URL": "",
            "GRADEQUEUE_MODEL": "standin",
            "GRADEQUEUE_CONCURRENCY": "20",
            "GRADEQUEUE_DASHBOARD_PASSWORD": OWNER,
            "GRADEQUEUE_GRADER_PASSWORD": GRADER,
        }
        running = Served(bench)
        yield running
        running.stop()


def come_in(page: Page, url: str, name: str, password: str) -> None:
    page.goto(url)
    page.get_by_label("Your name").fill(name)
    page.get_by_label("Password", exact=True).fill(password)
    page.get_by_role("button", name="Enter").click()


def shown(page: Page, name: str) -> None:
    page.get_by_role("heading", name=name, exact=True).wait_for()


def say_of(page: Page, text: str) -> Locator:
    found = page.get_by_text(text).first
    found.wait_for()
    return found


def at_rest(page: Page) -> None:
    """Until nothing is drawn any more: what was drawn before may be there twice meanwhile."""
    page.wait_for_function(
        "() => document.querySelector('[data-test-script-state=\"notRunning\"]')"
        " && !document.querySelector('[data-stale=\"true\"]')"
    )


def choose(page: Page, label: str, option: str) -> None:
    """Choose from a list. One that is drawn again or moved meanwhile is closed and opened again."""

    def is_chosen() -> bool:
        at_rest(page)
        page.get_by_role("combobox", name=label).click()
        try:
            page.get_by_role("option", name=option).click(timeout=3000)
        except PlaywrightTimeout:
            page.keyboard.press("Escape")
            return False
        return True

    wait_until(is_chosen, f"{label} offers {option}")


def look(page: Page, what: str) -> None:
    """Nothing is wrong for who cannot see or use a mouse, and nothing sticks out; a picture where one is wanted."""
    assert violations(page) == [], what
    width = page.viewport_size["width"] if page.viewport_size else 0
    assert page.evaluate("document.documentElement.scrollWidth") <= width, what
    if folder := os.environ.get("SCREENSHOTS_OF_THE_PAGE"):
        page.screenshot(path=f"{folder}/{width}-{what}.png")


def test_from_an_upload_through_pilot_review_and_correction_to_a_release(bench: Bench, served: Served):
    with open_browser() as page:
        before_anything(page, served.url)
        upload_and_pilot(page)
        served.restart()
        come_in(page, f"{served.url}/batches?batch=week1", "Kim", OWNER)
        page.get_by_role("button", name="Grade the rest").click()
        say_of(page, "10 of 10 done")
        page.reload()
        come_in(page, f"{served.url}/batches?batch=week1", "Kim", OWNER)
        say_of(page, "in this list")
        look(page, "batch")
        review_by_keyboard(page)
        two_reviewers(page, served.url)
        correct(page)
        release_and_download(page)
        graded_again(bench)
        look_at_the_other_tabs(page)
        page.get_by_role("tab", name="Problems (1)").click()
        page.get_by_role("button", name="Show who has no grade").click()
        say_of(page, "1 in this list")
    with open_browser(size=PHONE) as page:
        on_a_phone(page, served.url)

    entries = [json.loads(line) for line in bench.run("audit", "week1", "--json").stdout.splitlines()]
    actions = [(entry["by"], entry["action"]) for entry in entries]
    assert actions.count(("Kim", "release")) == 9
    assert {("Lee", "hold"), ("Kim", "override"), ("Kim", "download")} <= set(actions)
    paid = {account: bench.run("bill", "--account", account, "--json").stdout for account in ("course-b", "default")}
    assert {line["batch"] for line in json.loads(paid["course-b"])} == {"week1", "again"}
    assert json.loads(paid["default"]) == []
    assert [each["account"] for each in bench.standin.stats()["accounts"]] == [account_of("of-course-b")]


def before_anything(page: Page, url: str) -> None:
    """Who knocks, who is refused, and the pages while there is nothing on them."""
    come_in(page, url, "Kim", "no password of ours")
    say_of(page, "Wrong password.")
    look(page, "wrong password")
    come_in(page, f"{url}/batches", "Kim", OWNER)
    say_of(page, "There are no batches yet")
    look(page, "no batches")
    page.goto(f"{url}/batches?batch=nobody&student=s00")
    look(page, "login")
    come_in(page, f"{url}/batches?batch=nobody&student=s00", "Kim", OWNER)
    say_of(page, "There is no such student, or no such batch.")
    look(page, "no such student")
    come_in(page, url, "Kim", OWNER)
    shown(page, "Grade submissions")
    look(page, "nothing uploaded")


def upload_and_pilot(page: Page) -> None:
    """What was understood is said before anything is graded; three go first."""
    work = {f"{name}.py": f"def f():\n    return {number}\n".encode() for number, name in enumerate(NAMES)}
    work |= {"part/main.py": b"def g():\n    return 9\n", "part/photo.png": b"\x89PNG\r\n\x1a\n\x00", "empty.py": b""}
    upload(page, ("week1.zip", archive(work)))
    say_of(page, "Understood: 9 students to grade, 1 with nothing to grade, 1 graded in part")
    page.get_by_text("Who handed in what").click()
    choose(page, "Account that pays", "course-b")
    choose(page, "Kind of result", "Grade by a rubric")
    say_of(page, "This kind of result needs a rubric")
    rubric = {"name": "r.json", "mimeType": "application/json", "buffer": json.dumps(RUBRIC).encode()}
    page.locator("input[type=file]").last.set_input_files([rubric])
    say_of(page, "First prompt")
    look(page, "upload")
    page.get_by_role("spinbutton", name="Grade so many first, then ask").fill("3")
    page.get_by_role("spinbutton", name="Grade so many first, then ask").press("Enter")
    page.get_by_label("Name of the batch").fill("week1")
    page.get_by_label("Name of the batch").press("Enter")
    page.get_by_role("button", name="Grade 3 of 9 submissions first").click()
    say_of(page, "4 of 10 done")
    say_of(page, "The pilot of 3 submissions is over")
    at_rest(page)
    look(page, "pilot")


def release_and_download(page: Page) -> None:
    """What the rule allows is released, what it does not is named; the download is everything."""
    page.get_by_role("button", name="All students").click()
    page.get_by_role("tab", name="Release").click()
    at_rest(page)
    page.get_by_role("button", name="Approve all that have no flag").click()
    say_of(page, "approved")
    page.get_by_role("button", name="Release", exact=True).click()
    page.get_by_role("button", name="Release them").wait_for()
    look(page, "release dialog")
    page.get_by_role("button", name="Release them").click()
    say_of(page, "9 grades released")
    say_of(page, "1 left out: it needs a decision")
    look(page, "release")
    with page.expect_download() as download:
        page.get_by_role("button", name="CSV", exact=True).click()
    rows = list(csv.DictReader(io.StringIO(download.value.path().read_bytes().decode("utf-8-sig"))))
    assert {row["id"] for row in rows} == {*NAMES, "part", "empty"}
    page.get_by_role("tab", name="Charts").click()
    say_of(page, "Cost over time")
    look(page, "charts")
    page.get_by_role("tab", name="Activity").click()
    say_of(page, "Kim downloaded CSV")
    look(page, "activity")


def graded_again(bench: Bench) -> None:
    """With longer answers allowed: another batch of the same work, to compare with."""
    bench.run("regrade", "week1", "--name", "again", "--max-tokens", "3000", "--queue", "interactive")

    def is_over() -> bool:
        progress = json.loads(bench.run("status", "again", "--json").stdout)
        assert progress["failures"].keys() <= {"not_graded"}, progress
        return bool(progress["succeeded"] == len(NAMES) + 1)

    wait_until(is_over, "the other grading is over")


def look_at_the_other_tabs(page: Page) -> None:
    """What went wrong, other points, another grading of the same work, and what the account lets through."""
    for tab, what in (
        ("Problems (1)", "nothing to grade"),
        ("Points", "can be computed again by other points"),
        ("Limits", "Workers running"),
        ("Compare", "Compare with"),
    ):
        page.get_by_role("tab", name=tab).click()
        say_of(page, what)
        at_rest(page)
        look(page, tab.split()[0].lower())
    choose(page, "Compare with", "again")
    page.get_by_text("Is it more than chance?").click()
    say_of(page, "How far the model scatters by itself")
    at_rest(page)
    look(page, "drift")


def on_a_phone(page: Page, url: str) -> None:
    """Nothing sticks out, and nothing is out of reach."""
    come_in(page, f"{url}/batches", "Kim", OWNER)
    say_of(page, "10 of 10 done")
    look(page, "batches")
    page.get_by_role("button", name="week1", exact=True).click()
    say_of(page, "in this list")
    look(page, "batch")
    look_at_the_other_tabs(page)
    page.get_by_role("tab", name="Students").click()
    page.get_by_label("Search by id, name or e-mail").fill("s03")
    page.get_by_label("Search by id, name or e-mail").press("Enter")
    say_of(page, "1 in this list")
    found = page.get_by_role("button", name="s03", exact=True)
    expect(found).to_have_count(1)  # the row of the list before is gone
    found.click()
    shown(page, "s03")
    say_of(page, "Correctness")
    page.get_by_text("Correct this grade").click()
    page.get_by_text("History", exact=True).click()
    look(page, "student")
    page.goto(url)
    look(page, "login")
    come_in(page, url, "Kim", OWNER)
    upload(page, ("week2.zip", archive({"s00.py": b"print(1)\n", "s01.py": b"print(2)\n"})))
    say_of(page, "First prompt")
    look(page, "upload")


def review_by_keyboard(page: Page) -> None:
    """The flagged one is what to read first after the failure; Left and Right go, Alt and a letter decides."""
    page.get_by_role("button", name="Review 10 grades").click()
    shown(page, "empty")
    look(page, "failed student")
    page.keyboard.press("ArrowRight")
    shown(page, "part")
    say_of(page, "A part of the submission did not reach the model")
    assert page.locator("mark").count() >= 1
    page.keyboard.press("Alt+a")
    shown(page, "s00")
    page.keyboard.press("ArrowRight")
    shown(page, "s01")
    page.keyboard.press("ArrowLeft")
    shown(page, "s00")


def two_reviewers(page: Page, url: str) -> None:
    """The second one is shown the first one's decision, and nothing of it is replaced unseen."""
    browser = page.context.browser
    assert browser is not None
    other = browser.new_page()
    other.set_default_timeout(PATIENCE_MILLISECONDS)
    come_in(other, url, "Lee", GRADER)
    shown(other, "Batches")
    come_in(other, f"{url}/batches?batch=week1&student=s00", "Lee", GRADER)
    shown(other, "s00")
    assert other.get_by_role("button", name="Release").count() == 0
    other.get_by_role("button", name="Hold").click()
    shown(other, "s01")
    other.close()
    page.keyboard.press("Alt+a")
    say_of(page, "Lee decided about it since you looked")
    say_of(page, "on hold by Lee")
    page.get_by_role("button", name="Take back").click()
    say_of(page, "not reviewed")


def correct(page: Page) -> None:
    """Points follow from the corrected level, and the reason stays with the grade."""
    at_rest(page)
    page.get_by_text("Correct this grade").click()
    choose(page, "Correctness, level", "Full")
    page.get_by_role("spinbutton", name="Style, points").fill("4.5")
    look(page, "correction")
    page.get_by_label("Reason (the student may ask for it)").fill("read it again")
    page.get_by_role("button", name="Save the correction").click()
    say_of(page, "corrected by Kim")
    say_of(page, "10.5 of 12")
