"""The submission beside the grade: its parts, and the quotations of the grade marked in it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from producer.review.submission import Part, Quote, marked_html, parts_of, quotes_in
from workers.contract.pictures import Picture
from workers.contract.schemes.fence import Fence


def test_the_parts_are_what_was_handed_in_and_nothing_of_the_prompt_around_it():
    fence = Fence.draw()
    prompt = f"Grade.\n\n{fence.around('main.py', 'print(1)')}\n\n{fence.around('notes', 'none')}\n"

    assert parts_of(prompt, fence.mark) == [Part("main.py", ("print(1)",)), Part("notes", ("none",))]
    assert parts_of("Grade: x", None) == [Part("submission", ("Grade: x",))]
    assert parts_of("", fence.mark) == []


def test_pictures_are_shown_where_they_were_sent_and_a_line_that_a_student_wrote_is_text():
    fence, other = Fence.draw(), Fence.draw()
    scan = Picture("image/jpeg", 1200, 1600, "abcd")
    work = f"page 1\n{scan.line(fence.mark)}\npage 2\n{scan.line(other.mark)}"

    (part,) = parts_of(fence.around("scan.pdf", work), fence.mark)

    assert part.pieces == ("page 1\n", scan, f"\npage 2\n{scan.line(other.mark)}")


def test_every_quotation_of_a_result_is_numbered_once():
    result = {
        "criteria": {"a": {"evidence": "x = 1"}, "b": {"errors": [{"evidence": "y = 2"}, {"evidence": "x = 1"}]}},
        "feedback": "fine",
        "evidence": "",
    }

    assert quotes_in(result) == [Quote(1, "x = 1"), Quote(2, "y = 2")]
    assert quotes_in(None) == []


def test_quotations_are_marked_whatever_their_whitespace_and_markup_stays_text():
    text = "if a < b:\n    return  '<b>'\n"

    html, found = marked_html(text, [Quote(1, "return '<b>'"), Quote(2, "not there")])

    assert html == "if a &lt; b:\n    <mark>return  &#x27;&lt;b&gt;&#x27;<sup>1</sup></mark>\n"
    assert found == {1}


def test_of_quotations_that_overlap_the_first_is_marked_and_no_text_is_lost():
    html, _found = marked_html("abcdefgh", [Quote(1, "bcde"), Quote(2, "defg")])

    assert html == "a<mark>bcde<sup>1</sup></mark>fgh"


@given(st.text(max_size=60), st.lists(st.text(min_size=3, max_size=8), max_size=4))
def test_nothing_of_the_work_can_become_a_tag(text: str, quotes: list[str]):
    html, _found = marked_html(text, [Quote(number, quote) for number, quote in enumerate(quotes, 1) if quote.split()])

    without_ours = html.replace("<mark>", "").replace("</mark>", "").replace("<sup>", "").replace("</sup>", "")
    assert "<" not in without_ours
