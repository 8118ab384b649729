"""What must hold after chaos, as sentences about what does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ops.bench.chaos.run import Plan, Report


def complaints(report: Report, plan: Plan) -> list[str]:
    """Empty when the books balance and the run was as hard as planned."""
    books = report.books
    claims = {
        f"{books.lost} jobs were lost": books.lost != 0 or books.stored != books.enqueued,
        f"jobs failed: {dict(books.failed)}": bool(books.failed),
        f"{books.overwritten} outcomes were overwritten": books.overwritten != 0,
        f"{books.rounds_with_outcome} outcomes for {books.enqueued} jobs": books.rounds_with_outcome != books.enqueued,
        f"{books.repeated_calls} calls were repeated, {report.calls_in_flight_at_kills} were in flight at kills": (
            books.repeated_calls > report.calls_in_flight_at_kills
        ),
        f"{books.calls_not_in_ledger} calls are not in the ledger": books.calls_not_in_ledger != 0,
        f"counters differ from a recount: {', '.join(books.miscounted)}": bool(books.miscounted),
        f"requests stand open: {dict(books.endings)}": "None" in books.endings,
        f"the marker is in {report.marker_found_in}": bool(report.marker_found_in),
        "a worker did not stop in order": not report.stopped_in_order,
        "too few kills": len(report.kills) < plan.least_kills,
        "a kill came with too few calls in flight": any(
            kill.calls_at_provider < plan.least_in_flight for kill in report.kills
        ),
    }
    return [claim for claim, is_true in claims.items() if is_true]
