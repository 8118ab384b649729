"""docker-compose.yml, the images and their locks: valid, closed to the outside, and without drift."""

from __future__ import annotations

import importlib.resources
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.support.local_stack.compose import ComposeError, fill_in, read_services, seconds
from tests.support.places import REPOSITORY
from workers.settings import Settings

pytestmark = pytest.mark.acceptance

COMPOSE_FILE = REPOSITORY / "docker-compose.yml"
PASSWORDS = ("REDIS_PASSWORD", "POSTGRES_PASSWORD", "FLOWER_PASSWORD", "GRADEQUEUE_DASHBOARD_PASSWORD")
VARIABLES = dict.fromkeys(PASSWORDS, "letters")


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(COMPOSE_FILE.read_text(encoding="utf-8"))
    return content


def test_the_file_follows_the_compose_specification(document: dict[str, Any]):
    schemas = importlib.resources.files("check_jsonschema") / "builtin_schemas" / "vendor"
    schema = json.loads((schemas / "compose-spec.json").read_text(encoding="utf-8"))

    jsonschema.validate(document, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**document, "services": {"redis": {"imagine": "redis"}}}, schema)


def test_an_engine_s_own_client_takes_it_where_there_is_one():
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode:
        pytest.skip("no docker client with compose here; the specification's schema has judged the file")
    command = [docker, "compose", "--file", str(COMPOSE_FILE), "--profile", "offline", "config", "--quiet"]

    subprocess.run(command, check=True, env={"PATH": str(Path(docker).parent), **VARIABLES})


def test_only_the_page_and_flower_are_published_and_on_loopback(document: dict[str, Any]):
    published = {name: service["ports"] for name, service in document["services"].items() if "ports" in service}

    assert set(published) == {"dashboard", "flower"}
    assert all(port.startswith("127.0.0.1:") for ports in published.values() for port in ports)


def test_each_queue_has_workers_of_its_own_that_may_finish_a_call_when_stopped():
    services = {service.name: service for service in read_services(COMPOSE_FILE, variables=VARIABLES)}
    defaults = {name: field.default for name, field in Settings.model_fields.items()}

    for queue in ("interactive", "bulk"):
        worker = services[f"worker-{queue}"]
        assert worker.command == ("gradequeue", "worker", "--queues", queue, "--log-to-stderr")
        assert worker.stop_grace_seconds > defaults["call_timeout_seconds"] + defaults["store_patience_seconds"]
        assert worker.health_check is not None


def test_everything_that_stays_up_restarts_and_is_asked_for_its_health(document: dict[str, Any]):
    for name, service in document["services"].items():
        if name != "migrate":
            assert service["restart"] == "unless-stopped", name
            assert service["healthcheck"]["test"], name
            assert seconds(service["stop_grace_period"]) >= 10, name


def test_the_key_is_known_to_workers_alone(document: dict[str, Any]):
    holders = {
        name for name, service in document["services"].items() if "OPENAI_API_KEY" in service.get("environment", {})
    }

    assert holders == {"worker-interactive", "worker-bulk"}


def test_the_stand_in_takes_part_in_its_profile_alone():
    without = [service.name for service in read_services(COMPOSE_FILE, variables=VARIABLES)]
    with_it = [service.name for service in read_services(COMPOSE_FILE, variables=VARIABLES, profiles=["offline"])]

    assert set(with_it) - set(without) == {"standin"}
    assert with_it.index("standin") < with_it.index("worker-bulk")
    assert with_it.index("migrate") < with_it.index("beat")


def test_every_variable_that_must_be_set_stands_in_the_example_and_no_other():
    used = set(re.findall(r"(?<!\$)\$\{(\w+)", COMPOSE_FILE.read_text(encoding="utf-8")))
    example = (REPOSITORY / ".env.example").read_text(encoding="utf-8")
    named = set(re.findall(r"^(?:# )?([A-Z_]+)=", example, re.MULTILINE)) - {"COMPOSE_PROFILES"}

    assert named <= used
    assert used - named == {"FLOWER_PUBLISHED_PORT", "DASHBOARD_PUBLISHED_PORT"}


@pytest.mark.parametrize("missing", sorted(VARIABLES))
def test_without_a_password_nothing_starts(missing: str):
    with pytest.raises(ComposeError, match=f"set {missing} in .env"):
        read_services(COMPOSE_FILE, variables={**VARIABLES, missing: ""})


def pins(path: Path) -> dict[str, set[str]]:
    """`name==version ; marker` -> hashes."""
    found: dict[str, set[str]] = {}
    for block in re.split(r"\n(?=\S)", path.read_text(encoding="utf-8")):
        if "==" in block and not block.startswith("#"):
            name, _, hashes = block.partition("\\\n")
            found[name.strip()] = set(re.findall(r"sha256:[0-9a-f]{64}", hashes))
    return found


def test_the_images_hold_what_was_tested_and_nothing_of_the_tests():
    tested, installed = pins(REPOSITORY / "requirements.lock"), pins(REPOSITORY / "ops" / "deploy" / "image.lock")
    names = {pin.partition("==")[0] for pin in installed}

    assert {pin: hashes for pin, hashes in installed.items() if tested.get(pin) != hashes} == {}
    assert {"celery", "streamlit", "openai", "psycopg"} <= names
    assert not names & {"pytest", "playwright", "mypy", "fakeredis"}


def test_every_image_that_is_fetched_is_named_by_its_digest(document: dict[str, Any]):
    """A tag moves: what is built or started today need not be what was tried."""
    dockerfile = (REPOSITORY / "ops" / "deploy" / "Dockerfile").read_text(encoding="utf-8")
    stages = set(re.findall(r"^FROM \S+ AS (\S+)$", dockerfile, re.MULTILINE))
    bases = set(re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE)) - stages
    images = {service["image"] for service in document["services"].values() if "build" not in service}

    assert len(bases | images) == 3
    for image in bases | images:
        assert re.fullmatch(r"[a-z]+:[\w.-]+@sha256:[0-9a-f]{64}", image), image


def test_no_image_runs_as_root_and_the_producer_s_holds_no_sdk():
    dockerfile = (REPOSITORY / "ops" / "deploy" / "Dockerfile").read_text(encoding="utf-8")
    stages = re.split(r"^FROM ", dockerfile, flags=re.MULTILINE)[1:]
    by_name = {stage.split()[2]: stage for stage in stages}

    assert re.search(r"^USER gradequeue$", by_name["runtime"], re.MULTILINE)
    for image, source in (("producer", "installed-producer"), ("worker", "installed")):
        assert by_name[image].startswith("runtime AS")
        assert f"COPY --from={source} " in by_name[image]
        assert "USER root" not in by_name[image]
    assert "pip uninstall --yes openai" in by_name["installed-producer"]


def test_all_that_the_producer_image_runs_works_without_the_sdk_and_the_core():
    producers = [
        "producer.cli.main",
        "producer.regrading.nightly",
        "producer.regrading.regrade",
        "producer.page.batch_page",
    ]
    modules = [*producers, "ops.deploy.flower_app", "ops.deploy.healthcheck", "producer.cli.upgrade"]
    program = (
        "import sys; sys.modules['openai'] = None; sys.modules['workers.completion'] = None\n"
        f"import importlib; [importlib.import_module(name) for name in {modules!r}]"
    )

    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True, cwd=REPOSITORY, capture_output=True)


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("$$A ${A} ${B:-b} ${EMPTY:-c} ${EMPTY-d}", "$A 1 b c "),
        ("plain", "plain"),
    ],
)
def test_variables_are_filled_in_as_compose_does_it(text: str, filled: str):
    assert fill_in(text, {"A": "1", "EMPTY": ""}) == filled


def test_durations_are_read_as_compose_does_it():
    assert (seconds("180s"), seconds("1m30s"), seconds("500ms")) == (180.0, 90.0, 0.5)
    with pytest.raises(ComposeError):
        seconds("3 minutes")
