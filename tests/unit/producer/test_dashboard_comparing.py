"""Two gradings side by side on the page: what moved, and whether that is more than chance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from streamlit.testing.v1 import AppTest

from producer.page import drift_view
from producer.regrading.gradings import drift_of
from producer.regrading.repeats import repeat_name
from producer.review.opening import review_of
from tests.unit.producer.test_dashboard_pages import end, enqueue, the_page_s_client
from workers.contract.errors import ServiceUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from producer import JobClient
    from workers.store import Store

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
STUDENTS = [f"s{number}" for number in range(14)]


@pytest.fixture
def client(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[JobClient]:
    yield from the_page_s_client(store, tmp_path, monkeypatch)


def graded(client: JobClient, name: str, *, shift: int = 0, step: int = 0) -> None:
    enqueue(client, *STUDENTS, name=name)
    for number, student in enumerate(STUDENTS):
        wavers = step * (1 if number % 2 else -1)
        result = {"summary": f"*said* of {name}", "score": 50 + number + shift + wavers, "suggestions": []}
        end(client, student, result, batch=name)


def page_of_comparing() -> None:
    from producer.page import comparing

    comparing.show_comparing("b")


def compared() -> AppTest:
    app = AppTest.from_function(page_of_comparing, default_timeout=60).run()
    app.selectbox(key="compare with").set_value("again").run()
    assert not app.exception
    return app


def switched_on(app: AppTest) -> AppTest:
    app.toggle(key="drift b again").set_value(True).run()
    assert not app.exception
    return app


def verdict_of(app: AppTest, field: str) -> str:
    frame = next(each.value for each in app.dataframe if "verdict" in each.value.columns)
    (said,) = frame[frame["field"] == field]["verdict"]
    return str(said)


def test_a_shift_is_told_from_chance_where_repeats_measured_it(client: JobClient):
    graded(client, "b")
    graded(client, repeat_name("b", 1), step=1)
    graded(client, "again", shift=5)

    app = switched_on(compared())

    assert verdict_of(app, "score").startswith("shift of +5.00")
    assert any("14 pairs of the same work" in each.value for each in app.caption)
    assert "s0: 50 to 55" in [each.label.replace("\\", "") for each in app.expander]
    assert "*said* of again" in [each.value for each in app.text], "a model's words are drawn as text"


def test_without_repeats_the_page_says_what_is_not_known_and_names_no_command(client: JobClient):
    graded(client, "b")
    graded(client, "again", step=1)

    app = switched_on(compared())

    said = " ".join(each.value for each in app.caption)
    assert "was not measured" in said
    assert "gradequeue" not in said
    assert "--" not in said


def page_of_the_question() -> None:
    from producer.page import scatter_form

    scatter_form._ask("b")


def test_the_model_s_own_scatter_is_measured_from_the_page(client: JobClient):
    graded(client, "b")
    graded(client, "again", step=1)

    app = switched_on(compared())
    app.button(key="measure scatter").click().run()
    assert "28 gradings, about $0.0000, by what this batch has cost" in [each.value for each in app.text]
    assert client.find_batch(repeat_name("b", 1)) is None, "looking at the question asks for nothing"
    asked = AppTest.from_function(page_of_the_question, default_timeout=60).run()
    asked.number_input(key="scatter sample").set_value(5).run()
    asked.button(key="really measure").click().run()
    app.run()

    assert not asked.exception
    drawn = [[job.id for job in client.batch(repeat_name("b", number)).jobs()] for number in (1, 2)]
    assert len(drawn[0]) == 5
    assert drawn[0] == drawn[1]
    assert any("0 of 10 graded again" in each.value for each in app.info)
    assert not [each for each in app.button if each.key == "measure scatter"]


def test_the_report_is_read_when_it_is_asked_for_and_its_file_is_in_the_audit_log(
    client: JobClient, monkeypatch: pytest.MonkeyPatch
):
    graded(client, "b")
    graded(client, "again", shift=5)
    asked: list[str] = []
    report_on = drift_view._kept_report
    monkeypatch.setattr(drift_view, "_kept_report", lambda *given: asked.append(given[0]) or report_on(*given))

    app = compared()
    assert asked == []
    switched_on(app)
    assert asked == ["b"]

    file = drift_view._noted(drift_view._kept_report("b", "again"), "Kim")
    assert b"<svg" in file
    for name in ("b", "again"):
        assert [(each.by, each.detail) for each in review_of(client, name).audit()] == [
            ("Kim", "drift from b to again, html")
        ]


def test_where_the_statistics_are_not_installed_the_page_says_so(client: JobClient, monkeypatch: pytest.MonkeyPatch):
    def is_missing(*_given: Any) -> None:
        raise ServiceUnavailable("disk", "judging drift needs the extra")

    graded(client, "b")
    graded(client, "again", shift=5)
    monkeypatch.setattr(drift_view, "_kept_report", is_missing)
    app = switched_on(compared())
    assert any("is not installed" in each.value for each in app.info)


def test_the_report_is_made_again_only_when_a_result_is_another_one(client: JobClient, monkeypatch: pytest.MonkeyPatch):
    made = []
    monkeypatch.setattr(drift_view, "drift_of", lambda *given, **named: made.append(1) or drift_of(*given, **named))
    graded(client, "b")
    graded(client, "again", shift=5)
    enqueue(client, *STUDENTS, "late", name="again")
    app = switched_on(compared())
    app.run()
    assert len(made) == 1
    end(client, "late", batch="again")
    app.run()
    assert len(made) == 2
    monkeypatch.setattr(drift_view, "KEPT_SECONDS", -1.0)  # a purge meanwhile would change no count
    app.run()
    assert len(made) == 3
