"""The fence of a batch: the same command makes the same prompts again only with the batch's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workers.contract.errors import InvalidInput
from workers.contract.schemes.fence import Fence
from workers.store.overviews import read_origin

if TYPE_CHECKING:
    from workers.contract.origin import BatchOrigin
    from workers.store import Store


def fence_of(store: Store, name: str) -> Fence:
    """The fence of this batch; a new one while there is no such batch, to be kept in its origin.

    `InvalidInput` for a batch that was made without one.
    """
    with store.snapshot() as connection:
        origin = read_origin(connection, name)
    if origin is None:
        return Fence.draw()
    if origin.fence is None:
        raise InvalidInput(f"batch {name!r} was made by an earlier release, or of whole prompts; choose another --name")
    return Fence(origin.fence)


def refuse_another_fence(store: Store, name: str, origin: BatchOrigin) -> None:
    """See `refuse_another_mark`."""
    if origin.fence is None and origin.names_key is None:
        return
    with store.snapshot() as connection:
        kept = read_origin(connection, name)
    if kept is None:
        return
    if origin.fence is not None:
        if kept.prompt_layout != origin.prompt_layout:
            raise InvalidInput(
                f"batch {name!r} was begun by an earlier release, whose prompts were laid out otherwise; its jobs "
                "go on with `gradequeue worker`; to grade more, choose another --name"
            )
        fence_of(store, name)
    refuse_another_mark(origin, name=name, begun=kept)


def refuse_another_mark(given: BatchOrigin, *, name: str, begun: BatchOrigin) -> None:
    """Two commands that made the batch in the same moment drew two marks; the later one finds the other's."""
    drawn = (given.fence or begun.fence, given.names_key or begun.names_key)
    if drawn != (begun.fence, begun.names_key):
        raise InvalidInput(
            f"another command made batch {name!r} at the same time; run the same command again to join it"
        )
