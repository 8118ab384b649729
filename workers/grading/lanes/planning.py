"""What waits, made into submissions: each group of jobs takes its lane, and every submission its jobs.

A submission is of one batch, so that what is said of a batch (cancel, pause, cap) concerns no other. Jobs are taken the
most urgent first, and together only when their deadlines are of one kind: a submission is left as a whole.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from workers.budget.charge import charge_tokens
from workers.completion.lanes.files import MAX_LINES
from workers.contract.lane import Lane
from workers.contract.outcome import Failure
from workers.grading.following import schema_of
from workers.grading.records import Run
from workers.log import get_logger
from workers.store.lanes.placing import send_live
from workers.store.lanes.submissions import tokens_in_flight
from workers.store.lanes.waiting import candidates, take, waiting_groups
from workers.store.ledger import AttemptOpening
from workers.store.sql import new_id
from workers.store.tables import jobs, now_seconds

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from workers.grading.lanes.work import KnownLanes, LaneWork
    from workers.store.claims import ClaimedJob
    from workers.store.lanes.waiting import WaitingGroup

logger = get_logger(__name__)

CHUNK = 500
"""Jobs a transaction."""
MOST_REQUESTS = MAX_LINES
MOST_CHARACTERS = 60_000_000
"""Of prompts, each of which may take three bytes; with the schema in each line it stays below 200 MB (see `filing`)."""
SPREAD_OF_DEADLINES = 1.5
"""Jobs whose time left is within this factor are handed over together."""
SHORTEST_SPREAD_SECONDS = 300.0
LIVE_TOGETHER_SECONDS = 30.0
MOST_IN_WINDOWS = 200
"""Background responses of one model in flight: each is looked at by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """A job with the request that it will send."""

    job: ClaimedJob
    opening: AttemptOpening
    tokens: int
    characters: int


async def plan(work: LaneWork) -> int:
    """Hand over what waits, as far as the provider takes it now; returns how many submissions were made."""
    groups = await work.read(waiting_groups, work.account)
    if not groups:
        return 0
    known = await work.known_lanes()
    made = 0
    for group in groups:
        made += await _plan_group(work, known, group)
    return made


async def _plan_group(work: LaneWork, known: KnownLanes, group: WaitingGroup) -> int:
    made, left = 0, group.jobs
    while left > 0:
        in_flight = await work.read(tokens_in_flight, work.account)
        first = await work.in_store(candidates, group, at_most=1, within_seconds=None)
        if not first:
            return made
        within = _spread(first[0].seconds_to_deadline)
        lane = known.choose(
            group.wish,
            model=group.model,
            seconds_to_deadline=first[0].seconds_to_deadline,
            jobs=min(left, MOST_REQUESTS),
            cheapest=group.lane,
        )
        if lane is Lane.LIVE:
            urgent = first[0].seconds_to_deadline
            left -= await work.in_store(_send_live, group, None if urgent is None else urgent + LIVE_TOGETHER_SECONDS)
            continue
        number, tokens = in_flight.get((group.model, lane), (0, 0))
        room = (MOST_IN_WINDOWS if lane in known.tried else 1) - number if lane.is_background else 1
        most_tokens = work.most_tokens.get(group.model)
        if room <= 0 or (lane is Lane.BATCH and most_tokens is not None and tokens >= most_tokens):
            return made
        room_tokens = None if most_tokens is None else most_tokens - tokens
        took = await _fill(work, group, lane, within=within, most_tokens=room_tokens, is_first=tokens == 0)
        if not took:
            return made
        made, left = made + 1, left - took
    return made


def _spread(seconds_to_deadline: float | None) -> float | None:
    if seconds_to_deadline is None:
        return None
    return max(seconds_to_deadline * SPREAD_OF_DEADLINES, seconds_to_deadline + SHORTEST_SPREAD_SECONDS)


def _send_live(connection: Connection, group: WaitingGroup, within: float | None) -> int:
    of_group = (jobs.c.batch_id == group.batch_id) & (jobs.c.model == group.model) & (jobs.c.lane == str(group.lane))
    urgent = of_group if within is None else of_group & (jobs.c.deadline_at <= now_seconds() + within)
    return send_live(connection, urgent)


async def _fill(
    work: LaneWork,
    group: WaitingGroup,
    lane: Lane,
    *,
    within: float | None,
    most_tokens: int | None,
    is_first: bool,
) -> int:
    """Make one submission of the most urgent jobs; returns how many it took.

    `is_first`: nothing else of the model is at the provider, so that one job is tried whatever its queue takes.
    """
    submission_id, taken, tokens, characters = new_id(), 0, 0, 0
    most = 1 if lane.is_background else MOST_REQUESTS
    while taken < most:
        found = await work.in_store(candidates, group, at_most=min(CHUNK, most - taken), within_seconds=within)
        asked = await asyncio.to_thread(_asked, work, found, lane, submission_id)
        fitting = []
        for each in asked:
            is_too_much = most_tokens is not None and tokens + each.tokens > most_tokens
            if characters + each.characters > MOST_CHARACTERS or (is_too_much and not (is_first and tokens == 0)):
                break
            characters, tokens = characters + each.characters, tokens + each.tokens
            fitting.append(each)
        if unreadable := {job.id for job in found} - {each.job.id for each in asked}:
            await work.in_store(send_live, jobs.c.id.in_(sorted(unreadable)))  # they end there, with a reason
        if not fitting:
            break
        work.is_fresh.add(submission_id)
        admitted = await work.in_store(
            take,
            submission_id,
            [each.opening for each in fitting],
            day_caps=work.day_caps,
            input_tokens=sum(each.tokens for each in fitting),
        )
        work.after("taken")
        sent = [each for each in fitting if admitted[each.opening.attempt_id].may_send]
        taken += len(sent)
        if len(sent) < len(found):
            break
    if not taken:
        work.is_fresh.discard(submission_id)
    else:
        logger.info("lane.submission", lane=str(lane), model=group.model, jobs=taken)
    return taken


def _asked(work: LaneWork, found: list[ClaimedJob], lane: Lane, submission_id: str) -> list[_Asked]:
    """Those of these jobs whose schema this worker knows."""
    provider, registry = work.collaborators.provider, work.collaborators.registry
    asked = []
    for job in found:
        schema_model = schema_of(registry, job)
        if isinstance(schema_model, Failure):
            continue
        run = Run.of(job)
        opening = AttemptOpening(
            attempt_id=new_id(),
            job_id=job.id,
            batch_id=job.batch_id,
            account=job.account,
            round=job.round,
            claim=job.claim,
            worker_id=submission_id,
            purpose=run.purpose,
            model=run.model,
            most_usd=run.most_usd(schema_model, provider, lane),
            lane=lane,
            submission_id=submission_id,
        )
        tokens = charge_tokens(*run.texts, max_tokens=0, picture_tokens=run.picture_tokens(provider))
        asked.append(
            _Asked(job=job, opening=opening, tokens=tokens, characters=sum(map(len, run.texts)) + len(job.prompt))
        )
    return asked
