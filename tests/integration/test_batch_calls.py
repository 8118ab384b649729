"""Files and batches: our client against the stand-in, over a real socket."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import httpx2
import pytest
from openai.types import Batch, FileObject
from openai.types.responses import Response

from tests.support.lane_calls import MARKS, PROFILE, asking, endings_of, handed_in, lines_of, provider
from workers.completion.attempt import attempt_completion, host_of
from workers.completion.classify import Throttled, Transient
from workers.completion.lanes import background, batches, files
from workers.completion.lanes.errors import AlreadyEnded, LaneCallFailed, LaneUnavailable, NotFound
from workers.completion.lanes.states import BatchStatus, NotRun, NotRunReason
from workers.completion.transport.clients import new_client
from workers.contract.lane import Lane
from workers.contract.outcome import Failure, FailureKind, Success

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


async def collected(lines: AsyncIterator[files.FileLine], into: list[files.FileLine]) -> None:
    async for line in lines:
        into.append(line)  # noqa: PERF401 - what came before the break is kept


async def test_every_ending_in_a_batch_and_in_the_background_is_the_live_one():
    requests = {mark: asking(f"work {mark} [[standin:{mark}]]" if mark else "work") for mark in MARKS}
    async with provider() as (standin, client):
        live = {name: (await attempt_completion(client, request)).ending for name, request in requests.items()}
        batch_id = await handed_in(client, {name or "plain": request for name, request in requests.items()})
        await standin.pass_time(100)
        named = {name or "plain": request for name, request in requests.items()}
        later = await endings_of(client, batch_id, named)
    assert later.keys() == named.keys()
    for name, ended in later.items():
        expected = live["" if name == "plain" else name]
        assert type(ended.ending) is type(expected), name
        if isinstance(expected, Failure):
            assert isinstance(ended.ending, Failure)
            assert ended.ending.kind is expected.kind, name


async def test_a_batch_goes_through_its_states_and_is_billed_at_half_price():
    requests = {f"job-{n}": asking(f"work {n}") for n in range(20)}
    async with provider() as (standin, client):
        batch_id = await handed_in(client, requests)
        seen = []
        for seconds in (0, 6, 44, 46, 10):
            await standin.pass_time(seconds)
            seen.append(await batches.retrieve_batch(client, batch_id))
        ended = await endings_of(client, batch_id, requests)
        for request in requests.values():
            await attempt_completion(client, request)
        order = [json.loads(line)["custom_id"] for line in await lines_of(client, seen[-1].output_file_id)]
        by_lane = {line["lane"]: line for line in standin.state.invoice.as_json()["lines"]}

    assert [state.status.value for state in seen] == [
        *("validating", "in_progress", "in_progress", "finalizing", "completed"),
    ]
    assert 0 < seen[2].completed < seen[2].total == 20
    assert (seen[-1].completed, seen[-1].failed, seen[-1].marker) == (20, 0, "m1")
    assert order != list(requests)
    assert sorted(order) == sorted(requests)
    assert all(isinstance(each.ending, Success) for each in ended.values())
    assert by_lane["batch"]["requests"] == by_lane["live"]["requests"] == 20
    assert by_lane["batch"]["usd"] == pytest.approx(by_lane["live"]["usd"] / 2)
    ledger = sum(
        PROFILE.cost_usd(each.reply.usage, lane=Lane.BATCH) or 0 for each in ended.values() if each.reply.usage
    )
    assert ledger == pytest.approx(by_lane["batch"]["usd"])


async def test_what_a_batch_does_not_reach_expires_and_is_not_billed():
    requests = {f"job-{n}": asking(f"work {n}") for n in range(20)}
    async with provider(batch_seconds=150, batch_window_seconds=100) as (standin, client):
        batch_id = await handed_in(client, requests)
        await standin.pass_time(100)
        state = await batches.retrieve_batch(client, batch_id)
        ended = await endings_of(client, batch_id, requests)
        invoice = standin.state.invoice.as_json()
    expired = [each for each in ended.values() if isinstance(each.ending, NotRun)]
    assert state.status is BatchStatus.EXPIRED
    assert len(ended) == 20
    assert 0 < len(expired) < 20
    assert {each.ending.reason for each in expired if isinstance(each.ending, NotRun)} == {NotRunReason.EXPIRED}
    assert invoice["requests"] == 20 - len(expired)


async def test_what_ran_before_a_cancel_is_kept_and_billed():
    requests = {f"job-{n}": asking(f"work {n}") for n in range(20)}
    async with provider(cancel_seconds=30) as (standin, client):
        batch_id = await handed_in(client, requests)
        await standin.pass_time(50)
        first = await batches.cancel_batch(client, batch_id)
        again = await batches.cancel_batch(client, batch_id)
        await standin.pass_time(30)
        ended = await endings_of(client, batch_id, requests)
        state = await batches.retrieve_batch(client, batch_id)
        invoice = standin.state.invoice.as_json()
        await batches.cancel_batch(client, batch_id)
    assert (first.status, again.status, state.status) == (
        BatchStatus.CANCELLING,
        BatchStatus.CANCELLING,
        BatchStatus.CANCELLED,
    )
    answered = [each for each in ended.values() if isinstance(each.ending, Success)]
    assert len(ended) == 20
    assert 0 < len(answered) == invoice["requests"] < 20


async def test_what_the_stand_in_says_fits_the_types_of_the_sdk():
    async with provider() as (standin, client):
        batch_id = await handed_in(client, {"a": asking("work"), "b": asking("work [[standin:rejected]]")})
        for seconds in (0, 50, 50):
            await standin.pass_time(seconds)
            batch = await client.get(f"/batches/{batch_id}", cast_to=httpx2.Response)
            Batch.model_validate(batch.json())
        made = await background.create_background(client, asking("work"), Lane.WINDOW_2H, "m")
        await standin.pass_time(100)
        answered = await background.retrieve_background(client, made.response_id)
        listed = await client.get("/files", cast_to=httpx2.Response)
        found = [FileObject.model_validate(each) for each in listed.json()["data"]]
    for state in (made, answered):
        Response.model_validate(state.body)
    assert sorted(file.purpose for file in found) == ["batch", "batch_output", "batch_output"]


async def test_a_completed_batch_cannot_be_cancelled_any_more():
    async with provider() as (standin, client):
        batch_id = await handed_in(client, {"a": asking("work")})
        await standin.pass_time(100)
        with pytest.raises(AlreadyEnded):
            await batches.cancel_batch(client, batch_id)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"\n", "empty_file"),
        (b"{\n", "invalid_json_line"),
        (batches.request_line("a", asking("x")) * 2, "duplicate_custom_id"),
        (batches.request_line("a", asking("x")).replace(b'"POST"', b'"GET"'), "invalid_method"),
        (batches.request_line("a", asking("x")).replace(b"/v1/chat", b"/v2/chat"), "url_mismatch"),
        (
            batches.request_line("a", asking("x")) + batches.request_line("b", asking("x", model="gpt-6.1-sol")),
            "model_mismatch",
        ),
        (batches.request_line("a", asking("x", model="gpt-0")), "model_not_found"),
    ],
)
async def test_a_file_that_is_wrong_fails_the_batch_and_costs_nothing(content: bytes, kind: str):
    async with provider() as (standin, client):
        batch = await batches.create_batch(client, await files.upload(client, content, "m"), "m")
        await standin.pass_time(100)
        state = await batches.retrieve_batch(client, batch.batch_id)
        invoice = standin.state.invoice.as_json()
    assert state.status is BatchStatus.FAILED
    assert isinstance(state.refusal, Failure)
    assert state.refusal.kind is FailureKind.REJECTED_REQUEST
    assert kind in state.refusal.message
    assert invoice["requests"] == 0


async def test_a_full_queue_refuses_a_batch_until_another_has_ended():
    one = asking("word " * 800)
    async with provider(batch_queue_tokens=1_500) as (standin, client):
        first = await handed_in(client, {"a": one}, "m1")
        second = await handed_in(client, {"a": one}, "m2")
        await standin.pass_time(100)
        third = await handed_in(client, {"a": one}, "m3")
        await standin.pass_time(100)
        states = [await batches.retrieve_batch(client, each) for each in (first, second, third)]
    assert [state.status.value for state in states] == ["completed", "failed", "completed"]
    assert isinstance(states[1].refusal, Throttled)


async def test_what_was_made_is_found_again_by_its_marker_after_the_answer_was_lost():
    content = batches.request_line("a", asking("work"))
    async with provider(lane_faults=["upload_lost@1", "create_lost@1"]) as (_standin, client):
        with pytest.raises(LaneCallFailed):
            await files.upload(client, content, "m1")
        (file_id,) = await files.find_files(client, "m1")
        assert await files.find_files(client, "m2") == ()
        with pytest.raises(LaneCallFailed):
            await batches.create_batch(client, file_id, "m1")
        (batch,) = await batches.find_batches(client, "m1")
        assert await batches.find_batches(client, "m2") == ()
    assert batch.input_file_id == file_id


async def test_many_batches_are_searched_page_by_page():
    async with provider() as (_standin, client):
        file_id = await files.upload(client, batches.request_line("a", asking("work")), "m")
        first = await batches.create_batch(client, file_id, "first")
        for n in range(120):
            await batches.create_batch(client, file_id, f"n{n}")
        (found,) = await batches.find_batches(client, "first")
        assert await batches.find_batches(client, "first", since=(found.created_at or 0) + 1) == ()
    assert found.batch_id == first.batch_id


async def test_a_download_goes_on_from_a_line_after_it_broke():
    requests = {f"job-{n}": asking(f"work {n}") for n in range(300)}
    async with provider() as (standin, client):
        batch_id = await handed_in(client, requests)
        await standin.pass_time(100)
        output = (await batches.retrieve_batch(client, batch_id)).output_file_id
        assert output is not None
        standin.configure(lane_faults=["download_cut@1"])
        got: list[files.FileLine] = []
        with pytest.raises(LaneCallFailed):
            await collected(files.download(client, output), got)
        broke_after = len(got)
        got += [line async for line in files.download(client, output, from_line=broke_after)]
        rest = [line async for line in files.download(client, output, from_line=290)]
    assert broke_after < 300
    assert [line.number for line in got] == list(range(300))
    assert rest == got[290:]
    assert {json.loads(line.content)["custom_id"] for line in got} == requests.keys()


async def test_a_download_above_its_bound_ends():
    async with provider() as (_standin, client):
        file_id = await files.upload(client, batches.request_line("a", asking("w" * 100_000)), "m")
        with pytest.raises(LaneCallFailed):
            _ = [line async for line in files.download(client, file_id, max_bytes=10_000)]


async def test_files_go_up_from_a_file_and_are_deleted(tmp_path: Path):
    path = tmp_path / "lines.jsonl"
    path.write_bytes(batches.request_line("a", asking("work")))
    async with provider() as (_standin, client):
        with path.open("rb") as content:
            file_id = await files.upload(client, content, "m")
        assert await lines_of(client, file_id) == [path.read_bytes().rstrip(b"\n")]
        assert await files.delete_file(client, file_id)
        assert not await files.delete_file(client, file_id)
        with pytest.raises(NotFound):
            await lines_of(client, file_id)
        with pytest.raises(NotFound):
            await batches.create_batch(client, file_id, "m")
        with pytest.raises(NotFound):
            await batches.retrieve_batch(client, "batch_unknown")


async def test_a_server_without_the_lanes_says_so_once():
    async with provider(lanes="none") as (_standin, client):
        for call in (
            files.upload(client, b"{}", "m"),
            files.find_files(client, "m"),
            batches.create_batch(client, "file-1", "m"),
            batches.retrieve_batch(client, "batch_1"),
            batches.find_batches(client, "m"),
            background.create_background(client, asking("x"), Lane.WINDOW_2H, "m"),
            background.retrieve_background(client, "resp_1"),
        ):
            with pytest.raises(LaneUnavailable):
                await call


async def test_a_call_that_hangs_ends_at_its_deadline():
    async with provider(lane_faults=["call_hang@1"]) as (_standin, client):
        with pytest.raises(LaneCallFailed) as failed:
            await files.upload(client, b"{}", "m", seconds=0.2)
    assert isinstance(failed.value.ending, Transient)
    assert failed.value.ending.timed_out


async def test_one_call_is_one_request_also_where_the_server_is_overloaded():
    async with provider(lane_faults=["call_unavailable@2"]) as (_standin, client):
        for _ in range(2):
            with pytest.raises(LaneCallFailed) as failed:
                await batches.find_batches(client, "m")
            assert failed.value.status_code == 503
        assert await batches.find_batches(client, "m") == ()


def test_hosts_decide_as_for_live_calls():
    client = new_client(api_key="k", base_url="http://127.0.0.1:9/v1", timeout_seconds=1)
    assert host_of(client) == "127.0.0.1"
    asyncio.run(client.close())
