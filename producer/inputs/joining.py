"""Jobs that join a batch: by which rule their prompts are searched for names, and what pseudonyms are made from.

Imports the contract and nothing else of ours.
"""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import TYPE_CHECKING

from workers.contract.errors import InvalidInput
from workers.contract.identity import IdentityRule

if TYPE_CHECKING:
    from pathlib import Path

    from workers.contract.origin import BatchOrigin

_KEY_BYTES = 16


def known_rule(identity: IdentityRule | str) -> IdentityRule:
    """The rule of this name; `InvalidInput` for any other word."""
    if identity not in list(IdentityRule):
        raise InvalidInput(f"there is no rule {str(identity)!r}; choose from {', '.join(IdentityRule)}")
    return IdentityRule(identity)


def rule_of(
    given: IdentityRule | str | None,
    *,
    default: IdentityRule | str | None,
    roster: Path | None,
    name: str,
    begun: BatchOrigin | None,
) -> IdentityRule | None:
    """The rule for jobs that join the batch `name`; None where nobody asks for any.

    In this order: the given one, the batch's own, the default; a roster alone asks for `warn`. Raises `InvalidInput`
    for an unknown rule, and as `refuse_weaker` does.
    """
    if given is not None:
        refuse_weaker(known_rule(given), name=name, begun=begun)
        return known_rule(given)
    if default == IdentityRule.REFUSE:
        return IdentityRule.REFUSE
    if begun is not None and begun.identity == IdentityRule.REPLACE:
        return IdentityRule.REPLACE
    if default is not None:
        return known_rule(default)
    return IdentityRule.WARN if roster is not None else None


def refuse_weaker(rule: IdentityRule, *, name: str, begun: BatchOrigin | None) -> None:
    """`InvalidInput` where a batch that sends pseudonyms would get a prompt with a name."""
    if rule is IdentityRule.WARN and begun is not None and begun.identity == IdentityRule.REPLACE:
        raise InvalidInput(
            f"batch {name!r} sends pseudonyms for names; give the rule `replace` here, too, or choose another name"
        )


def keyed(origin: BatchOrigin, *, name: str, begun: BatchOrigin | None) -> BatchOrigin:
    """What is kept with a batch of pseudonyms: where prompts have no fence to make them from, a key of its own.

    Raises `InvalidInput` for a batch that was begun without pseudonyms and has nothing to make them from.
    """
    origin = replace(origin, identity=str(IdentityRule.REPLACE))
    if begun is None:
        has_key = origin.fence is not None or origin.names_key is not None
        return origin if has_key else replace(origin, names_key=secrets.token_hex(_KEY_BYTES))
    if begun.identity != IdentityRule.REPLACE and not begun.pseudonym_key:
        raise InvalidInput(f"batch {name!r} was begun without pseudonyms; choose another name")
    return replace(origin, names_key=begun.names_key)
