"""The list of a batch's students: filter, search, sort; a few at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from producer.inputs.courses.roster import known_as
from producer.page.batch_list import BATCH
from producer.page.fields import one_of
from producer.page.paging import page_at, turn_pages
from producer.page.plain_text import plain
from producer.page.words import failure_title, flag_title, points, state_title
from producer.review.glance import Choice, KeptRubrics, Show, Sign, SortBy
from workers.contract.decision import ReviewState

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any

    from producer.review.glance import BatchGlance, Board, Reason, StudentLine
    from workers.contract.flag import FlagKind

STUDENT = "student"
"""Name of the query parameter that says which student is open."""
PER_PAGE = 25
_CHOICE, _PLACE = "choice of students", "page of students"
_SHOWN = {
    Show.ALL: "All",
    Show.UNDECIDED: "Not reviewed",
    Show.FLAGGED: "Flagged only",
    Show.FAILED: "Failed only",
    Show.ON_HOLD: "On hold",
    Show.OVERRIDDEN: "Corrected",
    Show.RELEASED: "Released",
    Show.CHANGED: "Changed since release",
}
_SORTED = {
    SortBy.DOUBT: "What to read first",
    SortBy.INPUT: "As uploaded",
    SortBy.NAME: "Name",
    SortBy.LOWEST: "Lowest first",
    SortBy.HIGHEST: "Highest first",
}


def choice_of(batch: str) -> Choice:
    """What of this batch the session lists; everything, what to read first on top, until it says otherwise."""
    of_batch, choice = st.session_state.get(_CHOICE, (None, None))
    return choice if of_batch == batch and choice is not None else Choice()


def choose(batch: str, choice: Choice) -> None:
    """List this from now on."""
    st.session_state[_CHOICE] = (batch, choice)


def open_student(batch: str, item_id: str) -> None:
    """Show this student; the address says so, and a refresh shows the same."""
    st.query_params[BATCH] = batch
    st.query_params[STUDENT] = item_id


def context_of(board: Board) -> Mapping[str, Any]:
    """The rubric or catalogue of the batch's first item, read once for the session; empty without one."""
    context: Mapping[str, Any]
    name, context = st.session_state.get("context of batch", (None, {}))
    if name != board.batch or not context:
        context = board.context()
        st.session_state["context of batch"] = (board.batch, context)
    return context


def kept_rubrics() -> KeptRubrics:
    """What this session has read of the rubrics of the batch that it looks at."""
    kept: KeptRubrics = st.session_state.setdefault("rubrics", KeptRubrics())
    return kept


def ask_choice(glance: BatchGlance) -> None:
    """The filter, the search field and the order. Values live in the choice, for fields lose theirs when not drawn."""
    choice = choice_of(glance.batch)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        show = one_of("Show", _SHOWN, choice.show, key=f"show {choice.show}", width=190)
        sort = one_of("Order", _SORTED, choice.sort, key=f"sort {choice.sort}", width=190)
        search = st.text_input("Search by id, name or e-mail", value=choice.search, key="search students", width=220)
        flags: dict[FlagKind | None, str] = {None: "Any", **{kind: flag_title(kind) for kind in glance.flags}}
        flag = choice.flag if choice.flag in flags else None
        if show is Show.FLAGGED and len(flags) > 2:  # noqa: PLR2004 - any, and more than one kind
            flag = one_of("Flag", flags, flag, key="flag", width=220)
    wanted = Choice(show=show, sort=sort, search=search or "", flag=flag if show is Show.FLAGGED else None)
    if wanted != choice:
        choose(glance.batch, wanted)
        st.rerun()


def name_of(metadata: Mapping[str, object]) -> str:
    """As the course system or the roster says it; empty when neither does."""
    return str(known_as(metadata).get("name") or "")


def show_students(board: Board, schema: str | None) -> None:
    """The students of the present choice, and where none is, why."""
    choice = choice_of(board.batch)
    rubrics = kept_rubrics()
    found = page_at(
        _PLACE, (board.batch, choice), lambda at: board.students(choice, rubrics=rubrics, at=at, at_most=PER_PAGE)
    )
    if not found.rows:
        st.info("No results yet." if choice == Choice() else "No student here. Choose All, or search for less.")
        return
    if any(line.is_standin for line in found.rows):
        st.caption("Stand-in grades are test data, not real grades.")
    with st.container(gap="xsmall"):
        for line in found.rows:
            _line(board.batch, line, schema=schema)
    turn_pages(_PLACE, found)
    if choice.sort is SortBy.DOUBT:
        _say_compared(board)
    is_all = found.previous is None and found.next is None
    st.caption(f"{len(found.rows) if is_all else board.count_students(choice):,} in this list")


def other_reasons(reasons: Iterable[Reason]) -> list[str]:
    """Why to read a grade, beside failures, flags and decisions, which have badges."""
    return [each.text for each in reasons if each.sign in {Sign.REPAIRED, Sign.BORDER, Sign.NEIGHBOURS}]


def _say_compared(board: Board) -> None:
    """What the order of reading counts, and what it does not know yet."""
    known = board.comparison()
    counts = "Counted: failures, flags, repaired answers, and grades close to a border of their own rubric"
    second = "A second grading is compared under Compare."
    if known.is_current:
        st.caption(f"{counts}, and grades far from those of nearly equal work. {second}")
        return
    old = "" if known.compared_at is None else " since the newest results"
    st.caption(f"{counts}. Not compared with nearly equal work yet{old}. {second}")
    if st.button("Compare nearly equal work", key="compare works", help="Reads every submission once; some seconds."):
        with st.spinner("Comparing"):
            board.compare_works()
        st.rerun()


def _line(batch: str, line: StudentLine, *, schema: str | None) -> None:
    with st.container(horizontal=True, vertical_alignment="center", border=True):
        if st.button(plain(line.id), type="tertiary", key=f"student {line.id}"):
            open_student(batch, line.id)
            st.rerun()  # the whole page: this list is drawn by itself
        if (name := name_of(line.metadata)) and name != line.id:
            st.text(name)
        if (said := points(line.points, schema=schema, most=line.most_points)) != "":
            st.text(said)
        # in one element: a browser draws a page of students in the time that its elements take
        if badges := " ".join(f":{color}-badge[{text}]" for color, text in _badges(line)):
            st.markdown(badges)
        for reason in other_reasons(line.reasons):
            st.caption(plain(reason))


def _badges(line: StudentLine) -> Iterator[tuple[str, str]]:
    """Color and text, with Markdown's signs escaped, of what is to be known before one opens the student."""
    if line.failure_kind is not None:
        yield "red", f":material/error: {plain(failure_title(line.failure_kind))}"
    for kind in line.flags:
        yield "orange", f":material/flag: {plain(flag_title(kind))}"
    if line.is_stale:
        yield "orange", "graded again since"
    if line.state is not ReviewState.UNDECIDED:
        state = state_title(line.state, is_by_hand=line.failure_kind is not None)
        yield "blue", plain(f"{state} by {line.decided_by}")
    if line.released:
        yield "green", "changed since release" if line.changed else "released"
