"""The five services as containers, on a stack of its own beside whatever else runs here.

Where Docker does not answer, the tests skip and say so; VEKHA_CONTAINERS=required makes that a failure instead.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import Any, NoReturn

import pytest
from sqlalchemy import Connection

from eventkit.alone import database_url
from eventkit.database import Database
from vekha.deployment import making
from vekha.deployment.layout import DeploymentSecrets
from vekha.testing import BINARY, Outcome

ROOT = Path(__file__).parents[2]
SERVICES = ("roster", "consent", "identity", "plan-tracker", "notifier")
"""As the compose file names them."""

_BUILD_TIMEOUT_S = 1200.0
_HEALTHY_WITHIN_S = 120.0
_PULL_TIMEOUT_S = 600.0
_USER = 10001


def require_docker() -> None:
    """Skips the test where Docker cannot be had, or fails it where it has to be."""
    reason = ""
    if shutil.which("docker") is None:
        reason = "there is no docker command"
    elif subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode:
        reason = "docker has no compose"
    elif subprocess.run(["docker", "info"], capture_output=True, check=False).returncode:
        reason = "no docker daemon answers"
    if reason:
        _cannot_run(reason)


def require_image(name: str) -> None:
    """As above, where an image is neither here nor to be had."""
    if not has_image(name):
        _cannot_run(f"the image {name} cannot be had")


def has_image(name: str) -> bool:
    """Whether an image is here, or comes when it is asked for."""
    asking = (["docker", "image", "inspect", name], ["docker", "pull", "--quiet", name])
    return any(subprocess.run(command, capture_output=True, check=False, timeout=_PULL_TIMEOUT_S).returncode == 0 for command in asking)


def _cannot_run(reason: str) -> NoReturn:
    if os.environ.get("VEKHA_CONTAINERS") == "required":
        pytest.fail(f"container tests cannot run: {reason}")
    pytest.skip(f"CONTAINER TESTS DID NOT RUN: {reason}")


@dataclass
class Stack:
    """A project of compose with secrets, a port and volumes of its own."""

    name: str
    folder: Path
    files: Sequence[str] = ("docker-compose.yml",)
    settings: Mapping[str, str] | None = None
    nodes: int = 1
    """Of the bus."""
    root: Path = ROOT
    """Where the files are that it is made of."""

    def __post_init__(self) -> None:
        self.secrets = DeploymentSecrets(self.folder / "secrets")
        self.ports = [free_port() for _ in range(self.nodes)]

    @property
    def url(self) -> str:
        return ",".join(f"nats://127.0.0.1:{port}" for port in self.ports)

    def make_secrets(self) -> None:
        making.make(self.secrets)
        if os.geteuid() == 0:
            making.give_to(self.secrets, _USER, _USER)

    def compose(
        self, *arguments: str, timeout_s: float = 300.0, check: bool = True, stdin: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        return self.run("docker", "compose", *arguments, timeout_s=timeout_s, check=check, stdin=stdin)

    def run(
        self, *command: str | Path, timeout_s: float = 300.0, check: bool = True, stdin: str | None = None, **settings: str
    ) -> subprocess.CompletedProcess[str]:
        """Runs a command at the root of the repository, as who operates the stack would."""
        user = f"{_USER}:{_USER}" if os.geteuid() == 0 else f"{os.getuid()}:{os.getgid()}"
        mine = {
            "VEKHA_PROJECT": self.name,
            "VEKHA_SECRETS": str(self.secrets.root),
            "VEKHA_DEPLOYMENT_SECRETS": str(self.secrets.root),
            "VEKHA_USER": user,
            "COMPOSE_FILE": ":".join(self.files),
        }
        mine |= {name: str(port) for name, port in zip(("VEKHA_PORT", "VEKHA_PORT_2", "VEKHA_PORT_3"), self.ports, strict=False)}
        environment = os.environ | mine | dict(self.settings or {}) | settings
        done = subprocess.run(
            command, cwd=self.root, env=environment, capture_output=True, text=True, timeout=timeout_s, check=False, input=stdin
        )
        if check and done.returncode:
            pytest.fail(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
        return done

    def build(self) -> None:
        self.compose("build", timeout_s=_BUILD_TIMEOUT_S)

    @contextmanager
    def running(self) -> Generator[float]:
        """Builds and starts everything; answers after how many seconds all were healthy. It is gone afterwards, and so is what a run
        that was cut off has left."""
        self.build()
        self.down()
        try:
            yield self.up()
        finally:
            self.down()

    def up(self) -> float:
        """Starts everything, and answers after how many seconds all were healthy."""
        began = time.monotonic()
        self.compose("up", "--wait", "--wait-timeout", str(int(_HEALTHY_WITHIN_S)), timeout_s=_HEALTHY_WITHIN_S + 60)
        return time.monotonic() - began

    def down(self) -> None:
        self.compose("--profile", "*", "down", "--volumes", "--remove-orphans", "--timeout", "20", check=False)

    def container(self, service: str) -> str:
        return self.compose("ps", "--all", "--quiet", service).stdout.strip()

    def pid(self, service: str) -> int:
        found = subprocess.run(
            ["docker", "inspect", "--format", "{{.State.Pid}}", self.container(service)], capture_output=True, text=True, check=True
        )
        return int(found.stdout)

    def kill(self, *services: str) -> None:
        """Ends the containers' processes as the kernel would: `docker kill` would count as somebody's wish that they stay dead."""
        for pid in [self.pid(service) for service in services]:
            os.kill(pid, signal.SIGKILL)

    def wait_until_healthy(self, *services: str, within_s: float = _HEALTHY_WITHIN_S) -> None:
        deadline = time.monotonic() + within_s
        while True:
            lines = self.compose("ps", "--format", "json").stdout.splitlines()
            health = {row["Service"]: row["Health"] for row in map(json.loads, lines)}
            if all(health.get(service) == "healthy" for service in services):
                return
            if time.monotonic() > deadline:
                pytest.fail(f"not healthy after {within_s:.0f} s: {health}\n{self.compose('logs', '--tail', '20').stdout}")
            time.sleep(0.5)

    def inside(self, service: str, program: str, *arguments: str) -> str:
        """Runs a Python program in a service's container, as the service's user and with what it can see; answers what it printed."""
        return self.compose("exec", "--no-TTY", service, "python", "-", *arguments, stdin=program).stdout

    def vekha(self, *arguments: str | Path, check: bool = True, timeout_s: float = 120.0) -> Outcome:
        """Runs the command line against the stack, as its operator."""
        target = ["--data", str(self.secrets.operator.root), "--server", self.url]
        command = [str(BINARY), *(str(argument) for argument in arguments), *target]
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)
        outcome = Outcome(done.returncode, done.stdout, done.stderr)
        if check and outcome.code:
            pytest.fail(f"vekha {' '.join(map(str, arguments))} ended with {outcome.code}:\n{outcome.out}\n{outcome.err}")
        return outcome

    def typed(self, lines: Iterable[str], words: Mapping[str, str] | None = None, *, timeout_s: float = 600.0) -> str:
        """Types lines of the operator's pages as they stand there, but for the names and places that are this stack's, and for `words`.
        The first that fails ends it. Answers what they said."""
        secrets = str(self.secrets.root)
        ours = {"$PWD/deploy/secrets": secrets, "deploy/secrets": secrets, "nats://127.0.0.1:4222": self.url, "vekha_": f"{self.name}_"}
        text = "\n".join(lines)
        for said, meant in (ours | dict(words or {})).items():
            text = text.replace(said, meant)
        program = self.root / ".venv/bin/vekha"
        before = f"vekha() {{ {program} \"$@\"; }}\nstack='--data {self.secrets.operator.root} --server {self.url}'\n"
        return self.run("bash", "-euo", "pipefail", "-c", before + text, timeout_s=timeout_s).stdout

    @contextmanager
    def reading(self, service: str) -> Generator[Connection]:
        """One consistent view of a service's database, as the service sees it."""
        inspected = [
            "docker",
            "inspect",
            "--format",
            "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}",
            self.container("postgres"),
        ]
        host = subprocess.run(inspected, capture_output=True, text=True, check=True).stdout.strip()
        url = database_url(f"postgresql+psycopg://{service}@{host}/vekha", self.secrets.passwords(service)[0])
        with closing(Database(url, service)) as database, database.reading() as connection:
            yield connection

    def call(self, name: str, body: Mapping[str, Any], *more: str) -> dict[str, Any]:
        return self.vekha("call", name, json.dumps(body), "--json", *more).json


def while_recording(stack: Stack, act: Callable[[], object]) -> list[str]:
    """Opens schools one after the other while something happens; answers those that were acknowledged."""
    acknowledged: list[str] = []
    ended = threading.Event()

    def record() -> None:
        run, number = token_hex(4), 0
        while not ended.is_set():
            name = f"school-{run}-{number}"
            body = json.dumps({"school": name, "name": name, "municipality": "mytishchi"})
            if stack.vekha("call", "roster.open-school", body, check=False).code == 0:
                acknowledged.append(name)
            number += 1

    recording = threading.Thread(target=record)
    recording.start()
    try:
        threading.Event().wait(3)
        act()
        threading.Event().wait(3)
    finally:
        ended.set()
        recording.join()
    return acknowledged


def all_are_there(stack: Stack, schools: list[str]) -> None:
    """Asserts that some were acknowledged, and that each was recorded once."""
    assert schools
    opened = [event["school"] for event in stack.vekha("events", "--service", "roster", "--type", "school-opened", "--json").lines]
    assert [opened.count(name) for name in schools] == [1] * len(schools)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
