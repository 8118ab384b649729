"""`gradequeue models`, and what the provider itself says about the end of its models."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from ops.bench.processes import standin
from producer.cli.commands import cli
from producer.local.doctor import service_findings
from producer.local.embedded import Services
from producer.local.provider_models import listed_models, shutdown_dates
from workers.contract.errors import InvalidInput, ServiceUnavailable
from workers.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Iterator


def run(*arguments: str) -> str:
    done = CliRunner().invoke(cli, ["models", *arguments])
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.fixture
def redirecting() -> Iterator[tuple[str, list[str]]]:
    """A server that sends every question elsewhere; the paths that it was asked for."""
    asked: list[str] = []

    class Elsewhere(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(307)
            self.send_header("Location", "/other/models")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1", asked
    server.shutdown()
    thread.join()
    server.server_close()


def test_every_living_model_is_listed_with_price_and_end():
    listed = json.loads(run("--json"))

    assert listed["gpt-6.1-terra"]["price_cache_write_usd_per_mtok"] == 1.25
    assert listed["gpt-4o"]["replacement"] == "gpt-6-luna"
    assert "o4-mini" not in listed
    assert json.loads(run("--json", "--all"))["o4-mini"]["shutdown_on"] == "2026-10-23"


def test_the_provider_knows_better_when_a_model_ends(monkeypatch: pytest.MonkeyPatch):
    with standin() as provider:
        settings = load_settings(openai_api_key="sk-x", openai_base_url=provider.base_url)
        dates = shutdown_dates(settings)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-x")
        monkeypatch.setenv("OPENAI_BASE_URL", provider.base_url)
        listed = json.loads(run("--json", "--live"))

    assert dates["gpt-4.1-mini"] == "2027-01-14"
    assert dates["gpt-6-luna"] is None
    assert listed["gpt-4.1-mini"]["shutdown_on"] == "2027-01-14"


def test_doctor_warns_of_the_end_that_the_provider_tells():
    with standin() as provider:
        settings = load_settings(openai_api_key="sk-x", openai_base_url=provider.base_url, model="gpt-4.1-mini")
        assert settings.provider_host == "127.0.0.1", "the bundled file says nothing of this server's models"
        *_others, found = service_findings(settings, Services("redis://127.0.0.1:9/0", "sqlite://", None))

    assert found.source == "GRADEQUEUE_MODEL"
    assert "gpt-4.1-mini shuts down on 2027-01-14" in found.value or "was shut down on 2027-01-14" in found.value


def test_the_key_is_not_carried_to_another_address(redirecting: tuple[str, list[str]]):
    url, asked = redirecting
    with pytest.raises(ServiceUnavailable, match="answers 307: check OPENAI_BASE_URL"):
        listed_models(load_settings(openai_api_key="sk-x", openai_base_url=url))
    assert asked == ["/v1/models"]


def test_a_provider_that_is_not_there_is_named():
    with pytest.raises(ServiceUnavailable, match="cannot be reached; check OPENAI_BASE_URL"):
        listed_models(load_settings(openai_api_key="sk-x", openai_base_url="http://127.0.0.1:9/v1"))


def test_without_a_key_nobody_is_asked():
    with pytest.raises(InvalidInput, match="OPENAI_API_KEY is not set"):
        listed_models(load_settings())
