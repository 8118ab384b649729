"""Which role a login has. Pure: knows no Streamlit.

`GRADEQUEUE_ROLES` is read from left to right, and the first entry whose pattern fits the e-mail address decides. Who
fits none has no access: a university's login lets in everybody who studies there.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from producer.page.who import Role
from workers.contract.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping


def parse_roles(text: str) -> list[tuple[str, Role]]:
    """Pattern and role in order; raises `InvalidInput` that names the entry that is none."""
    found = []
    for entry in filter(None, map(str.strip, text.split(","))):
        pattern, equals, role = (part.strip() for part in entry.rpartition("="))
        if not pattern or not equals or role not in list(Role):
            raise InvalidInput(
                f"GRADEQUEUE_ROLES: {entry!r} is no entry such as kim@uni.edu=owner; roles are {', '.join(Role)}"
            )
        found.append((pattern.casefold(), Role(role)))
    return found


def role_of(claims: Mapping[str, object], roles: list[tuple[str, Role]]) -> Role | None:
    """Of who signed in; None without access. An address that the provider has not verified counts for nothing."""
    address = claims.get("email")
    if not isinstance(address, str) or not address or claims.get("email_verified") in {False, "false"}:
        return None
    return next((role for pattern, role in roles if fnmatchcase(address.casefold(), pattern)), None)


def name_of(claims: Mapping[str, object]) -> str:
    """What decisions carry: name and address, for two people may have one name."""
    name, address = str(claims.get("name") or "").strip(), str(claims.get("email") or "")
    return f"{name} <{address}>" if name else address
