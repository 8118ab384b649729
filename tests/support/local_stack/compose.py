"""Reading docker-compose.yml: variables filled in, profiles chosen, services in the order in which they start."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

_VARIABLE = re.compile(r"\$\$|\$\{(?P<name>\w+)(?:(?P<mark>:?[-?])(?P<word>[^}]*))?\}")
_SECONDS = re.compile(r"(\d+)(ms|s|m)")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0}


class ComposeError(Exception):
    """The file, or the variables given to it, cannot be used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthCheck:
    """How to ask a service whether it is well. `test` begins with CMD or CMD-SHELL."""

    test: tuple[str, ...]
    timeout_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One service of the file, variables filled in."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)
    depends_on: Mapping[str, str]
    """Name of another service -> condition; only of services that take part."""
    health_check: HealthCheck | None
    ports: tuple[int, ...]
    """Inside the container."""
    volumes: Mapping[str, str]
    """Path inside the container -> folder or file of the repository, or the name of a volume."""
    stop_grace_seconds: float

    @property
    def is_one_shot(self) -> bool:
        """True when it ends by itself, and others wait for that."""
        return self.health_check is None


def read_services(path: Path, *, variables: Mapping[str, str], profiles: Collection[str] = ()) -> list[Service]:
    """The services that take part, each after those it depends on. Raises `ComposeError` naming a missing variable."""
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    chosen = {
        name: _filled(content, variables)
        for name, content in document["services"].items()
        if not content.get("profiles") or set(content["profiles"]) & set(profiles)
    }
    services = {name: _service(name, content, chosen) for name, content in chosen.items()}
    return _ordered(services)


def fill_in(text: str, variables: Mapping[str, str]) -> str:
    """`${NAME}`, `${NAME:-default}` and `${NAME:?message}`; `$$` is one dollar."""

    def value(match: re.Match[str]) -> str:
        if match["name"] is None:
            return "$"
        found = variables.get(match["name"])
        mark = match["mark"] or ""
        if found is None or (mark.startswith(":") and not found):
            if mark.endswith("?"):
                raise ComposeError(match["word"] or f"{match['name']} is not set")
            return match["word"] or ""
        return found

    return _VARIABLE.sub(value, text)


def seconds(text: str) -> float:
    """`1m30s` as a number."""
    parts = _SECONDS.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ComposeError(f"{text!r} is no duration")
    return sum(int(number) * _UNITS[unit] for number, unit in parts)


def _filled(content: Any, variables: Mapping[str, str]) -> Any:
    match content:
        case dict():
            return {key: _filled(value, variables) for key, value in content.items()}
        case list():
            return [_filled(value, variables) for value in content]
        case str():
            return fill_in(content, variables)
        case _:
            return content


def _service(name: str, content: dict[str, Any], chosen: Collection[str]) -> Service:
    command = content.get("command") or ()
    if isinstance(command, str):
        raise ComposeError(f"the command of {name} is one text; write it as a list")
    return Service(
        name=name,
        command=tuple(map(str, command)),
        environment={key: "" if value is None else str(value) for key, value in content.get("environment", {}).items()},
        depends_on=_dependencies(name, content.get("depends_on", {}), chosen),
        health_check=_health_check(content.get("healthcheck")),
        ports=tuple(_container_port(each) for each in [*content.get("ports", ()), *content.get("expose", ())]),
        volumes=dict(_volume(each) for each in content.get("volumes", ())),
        stop_grace_seconds=seconds(content.get("stop_grace_period", "10s")),
    )


def _dependencies(name: str, given: Mapping[str, Mapping[str, Any]], chosen: Collection[str]) -> dict[str, str]:
    found = {}
    for other, how in given.items():
        if other in chosen:
            found[other] = str(how["condition"])
        elif how.get("required", True):
            raise ComposeError(f"{name} needs {other}, which takes no part")
    return found


def _health_check(given: Mapping[str, Any] | None) -> HealthCheck | None:
    if given is None:
        return None
    return HealthCheck(test=tuple(given["test"]), timeout_seconds=seconds(given.get("timeout", "30s")))


def _container_port(given: str) -> int:
    return int(str(given).rpartition(":")[2])


def _volume(given: str) -> tuple[str, str]:
    source, target, *_mode = given.split(":")
    return target, source


def _ordered(services: dict[str, Service]) -> list[Service]:
    done: dict[str, Service] = {}
    while len(done) < len(services):
        ready = [each for each in services.values() if each.name not in done and each.depends_on.keys() <= done.keys()]
        if not ready:
            raise ComposeError(f"services wait for one another: {', '.join(services.keys() - done.keys())}")
        done |= {each.name: each for each in ready}
    return list(done.values())
