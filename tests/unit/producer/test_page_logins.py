"""Who may do what on the page: passwords and logins give roles, and what a role may not do is not there."""

from __future__ import annotations

import pytest

from producer.page.roles import name_of, parse_roles, role_of
from producer.page.who import Role
from workers.contract.errors import InvalidInput

ROLES = parse_roles("kim@uni.edu=owner, *@staff.uni.edu=grader,*=viewer")


@pytest.mark.parametrize(
    ("claims", "role"),
    [
        ({"email": "Kim@Uni.edu"}, Role.OWNER),
        ({"email": "lee@staff.uni.edu", "email_verified": True}, Role.GRADER),
        ({"email": "lee@staff.uni.edu", "email_verified": False}, None),
        ({"email": "someone@else.org"}, Role.VIEWER),
        ({"name": "Kim"}, None),
    ],
)
def test_the_first_pattern_that_fits_a_verified_address_gives_the_role(claims: dict[str, object], role: Role | None):
    assert role_of(claims, ROLES) == role


def test_who_fits_no_pattern_has_no_access():
    assert role_of({"email": "someone@else.org"}, parse_roles("*@uni.edu=viewer")) is None
    assert role_of({"email": "kim@uni.edu"}, parse_roles("")) is None


@pytest.mark.parametrize("text", ["kim@uni.edu", "=owner", "kim@uni.edu=chief"])
def test_an_entry_that_is_none_is_named(text: str):
    with pytest.raises(InvalidInput, match="GRADEQUEUE_ROLES"):
        parse_roles(f"*=viewer,{text}")


def test_decisions_carry_name_and_address():
    assert name_of({"name": "Kim Roe", "email": "kim@uni.edu"}) == "Kim Roe <kim@uni.edu>"
    assert name_of({"email": "kim@uni.edu"}) == "kim@uni.edu"
