"""What lanes ask of one provider account: the calls of `workers.completion.lanes`, bound to its client."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from workers.completion.attempt import host_of
from workers.completion.lanes import background, batches, files
from workers.completion.lanes.lines import ended_line

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from typing import IO

    from openai import AsyncOpenAI

    from workers.completion.attempt import CompletionRequest
    from workers.completion.lanes.files import FileLine
    from workers.completion.lanes.lines import OutputLine
    from workers.completion.lanes.states import BackgroundState, BatchState, Ended, FileId
    from workers.contract.lane import Lane


@dataclass(frozen=True, slots=True)
class LaneDoor:
    """One account's files, batches and background responses. Every call raises `LaneError` as the module's says."""

    client: AsyncOpenAI

    def line(self, custom_id: str, request: CompletionRequest) -> bytes:
        """One line of a batch's file."""
        return batches.request_line(custom_id, request, host=host_of(self.client))

    def read(self, line: OutputLine, request: CompletionRequest) -> Ended:
        """How the request of this line ended."""
        return ended_line(line, request, host=host_of(self.client))

    async def upload(self, content: IO[bytes], marker: str) -> FileId:
        """Give the provider a batch's file."""
        return await files.upload(self.client, content, marker)

    async def find_files(self, marker: str, *, since: float) -> tuple[FileId, ...]:
        """Files of this marker."""
        return await files.find_files(self.client, marker, since=since)

    def download(self, file_id: FileId, *, from_line: int = 0) -> AsyncGenerator[FileLine, None]:
        """The lines of a file, from this one on."""
        return files.download(self.client, file_id, from_line=from_line)

    async def delete_file(self, file_id: FileId) -> bool:
        """Delete it; False where there is none."""
        return await files.delete_file(self.client, file_id)

    async def create(self, file_id: FileId, marker: str) -> BatchState:
        """Start a batch of a file."""
        return await batches.create_batch(self.client, file_id, marker)

    async def find(self, marker: str, *, since: float) -> tuple[BatchState, ...]:
        """Batches of this marker."""
        return await batches.find_batches(self.client, marker, since=since)

    async def retrieve(self, batch_id: str) -> BatchState:
        """Look at a batch."""
        return await batches.retrieve_batch(self.client, batch_id)

    async def cancel(self, batch_id: str) -> BatchState:
        """Ask for a batch's end."""
        return await batches.cancel_batch(self.client, batch_id)

    async def begin(self, request: CompletionRequest, lane: Lane, marker: str) -> BackgroundState:
        """Hand one request in for a window."""
        return await background.create_background(self.client, request, lane, marker)

    async def look(self, response_id: str) -> BackgroundState:
        """Look at a response."""
        return await background.retrieve_background(self.client, response_id)

    async def stop(self, response_id: str) -> BackgroundState:
        """Ask for a response's end."""
        return await background.cancel_background(self.client, response_id)

    async def forget(self, response_id: str) -> bool:
        """Delete a response; False where there is none."""
        return await background.delete_background(self.client, response_id)

    def answer(self, state: BackgroundState, request: CompletionRequest) -> Ended:
        """How the request of this response ended."""
        return background.ended_background(state, request, host=host_of(self.client))
