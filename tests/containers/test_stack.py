"""The stack as an operations team runs it: brought up by one command, killed in parts and as a whole, and shut to who is taken over."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from contracts.event import SERVICES as NAMES
from tests.containers.stack import SERVICES, Stack, all_are_there, while_recording
from vekha import story
from vekha.archive import verify
from vekha.testing import BINARY

pytestmark = [pytest.mark.containers, pytest.mark.timeout(1800)]

FOUNDATIONS = ("nats", "postgres")


def test_the_compose_file_is_clean(stack: Stack) -> None:
    done = stack.compose("config", "--quiet")
    assert done.stderr == ""


def test_the_demo_s_school_has_the_same_board_as_in_one_process(school: Stack, tmp_path: Path) -> None:
    """The same inputs under the same clock give the same answer, but for the positions that it names."""
    demo = subprocess.run([BINARY, "demo", "--data", tmp_path / "demo", "--json"], capture_output=True, text=True, check=True)
    embedded = json.loads(demo.stdout)["board"]
    composed = school.vekha("plan", "status", "--school", story.SCHOOL, "--json").json
    assert composed["steps"] == embedded["steps"]
    assert composed | {"at": embedded["at"]} == embedded


def test_forms_are_typeset_in_it(school: Stack) -> None:
    school.vekha("consent", "forms", "--school", story.SCHOOL, "--staff", "--out", school.folder / "staff.pdf")
    assert (school.folder / "staff.pdf").read_bytes().startswith(b"%PDF-")


def test_the_record_is_exported_beside_the_services_verifies_without_them_and_replays_to_what_they_answer(school: Stack) -> None:
    out = school.folder / "archives"
    out.mkdir()
    out.chmod(0o777)  # another user writes there
    beside = ("run", "--rm", "--no-TTY", "--volume", f"{out}:/out", "vekha", "audit")
    made = json.loads(school.compose(*beside, "export", "--out", "/out/record.zip", "--json").stdout)
    assert min(made["heads"][service] for service in NAMES) > 0
    alone = subprocess.run(
        [sys.executable, "-I", verify.__file__, out / "record.zip", "--json"], capture_output=True, text=True, check=False, timeout=120
    )
    assert json.loads(alone.stdout) == {"ok": True, "heads": made["heads"], "damage": []}
    replayed = json.loads(school.compose(*beside, "replay", "/out/record.zip", "--compare", "--json").stdout)
    assert (replayed["at"], replayed["differences"]) == (made["heads"], [])


@pytest.mark.parametrize("killed", [*SERVICES, *FOUNDATIONS])
def test_a_container_that_is_killed_comes_back_and_nothing_acknowledged_is_lost(school: Stack, killed: str) -> None:
    acknowledged = while_recording(school, lambda: school.kill(killed))
    school.wait_until_healthy(*SERVICES, *FOUNDATIONS)
    all_are_there(school, acknowledged)


def test_all_containers_are_killed_at_once_and_nothing_acknowledged_is_lost(school: Stack) -> None:
    acknowledged = while_recording(school, lambda: school.kill(*SERVICES, *FOUNDATIONS))
    school.wait_until_healthy(*SERVICES, *FOUNDATIONS)
    all_are_there(school, acknowledged)


# ---- who is taken over ----------------------------------------------------------------------------------------------------

_FORBIDDEN = """
import asyncio, json, os, pathlib, sys
import nats
import psycopg
from sqlalchemy.engine import make_url

name, others = sys.argv[1], sys.argv[2].split(",")
seed = pathlib.Path("/run/secrets/nats.seed").read_text().strip()
url = make_url(os.environ["VEKHA_DATABASE_URL"]).set(
    drivername="postgresql", password=pathlib.Path("/run/secrets/database.password").read_text().strip()
)
done = []

async def bus():
    heard = []
    async def hear(message):
        heard.append(message)
    async def ignore(error):
        pass
    inbox = f"_INBOX_{name}.try"
    nc = await nats.connect(os.environ["VEKHA_NATS_URL"], nkeys_seed_str=seed, inbox_prefix=f"_INBOX_{name}".encode(), error_cb=ignore)
    await nc.subscribe(inbox + ".*", cb=hear)
    for other in others:
        await nc.subscribe(f"call.{other}.>", cb=hear)
        await nc.subscribe(f"_INBOX_{other}.>", cb=hear)
        await nc.publish(f"evt.{other}.school-7.forged", b"{}", reply=f"{inbox}.forged-{other}")
        stream = other.upper()
        for verb in ("STREAM.CREATE", "STREAM.UPDATE", "STREAM.DELETE", "STREAM.PURGE", "STREAM.MSG.DELETE", "CONSUMER.CREATE"):
            await nc.publish(f"$JS.API.{verb}.{stream}", b"{}", reply=f"{inbox}.{verb.replace('.', '-')}")
            await nc.publish(f"JS.{stream}.API.{verb}.{stream}", b"{}", reply=f"{inbox}.{verb.replace('.', '-')}")
        await nc.publish(f"JS.{stream}.API.DIRECT.GET.{stream}", b'{"seq": 1}', reply=f"evt.{other}.school-7.forged")
        await nc.publish(f"call.{other}.head", b"{}", reply=f"evt.{other}.school-7.forged")
    for verb in ("STREAM.UPDATE", "STREAM.DELETE", "STREAM.PURGE", "STREAM.MSG.DELETE", "CONSUMER.CREATE", "CONSUMER.DELETE"):
        await nc.publish(f"$JS.API.{verb}.{name.upper()}", b"{}", reply=f"{inbox}.own")
        await nc.publish(f"$JS.API.{verb}.{name.upper()}.x", b"{}", reply=f"{inbox}.own")
    await nc.subscribe(">", cb=hear)
    await nc.flush()
    await asyncio.sleep(1)
    done.extend(f"bus: {message.subject}" for message in heard)
    await nc.close()

def database():
    statements = [f"SELECT * FROM {other}.log" for other in others]
    statements += ["UPDATE log SET bytes = ''", "DELETE FROM log", "TRUNCATE log", "DROP TABLE log"]
    statements += ["DELETE FROM command", "DELETE FROM seal", "UPDATE seal SET hash = ''"]
    statements += ["SELECT * FROM pg_authid", "CREATE ROLE mine", "CREATE SCHEMA mine", "COPY log TO PROGRAM 'cat'"]
    if name != "roster":
        statements.append("SELECT * FROM keys.person_key")
    for statement in statements:
        with psycopg.connect(url.render_as_string(hide_password=False), autocommit=True) as connection:
            try:
                connection.execute(statement)
            except psycopg.errors.InsufficientPrivilege:
                continue
            done.append(f"database: {statement}")
    for other in others:
        try:
            psycopg.connect(url.set(username=other).render_as_string(hide_password=False)).close()
        except psycopg.OperationalError:
            continue
        done.append(f"database: as {other}")

def files():
    for path in ("/venv/x", "/etc/x", "/run/secrets/x", "/usr/bin/x"):
        try:
            pathlib.Path(path).write_text("x")
        except OSError:
            continue
        done.append(f"wrote {path}")
    if os.getuid() == 0:
        done.append("is root")
    status = dict(line.split(":", 1) for line in pathlib.Path("/proc/self/status").read_text().splitlines() if ":" in line)
    if int(status["CapEff"], 16) or int(status["CapBnd"], 16):
        done.append("has capabilities")
    if status["NoNewPrivs"].strip() != "1":
        done.append("may gain privileges")
    for found in pathlib.Path("/run/secrets").iterdir():
        if found.suffix != ".public" and any(other in found.name for other in others):
            done.append(f"sees {found.name}")

asyncio.run(bus())
database()
files()
print(json.dumps(done))
"""


@pytest.mark.parametrize("service", SERVICES)
def test_from_inside_a_container_nothing_can_be_done_that_is_not_the_service_s_own(school: Stack, service: str) -> None:
    """Every forbidden act is tried with what the container holds; what succeeds is listed."""
    name = service.removesuffix("-tracker")
    before = _positions(school)
    others = ",".join(other for other in NAMES if other != name)
    assert json.loads(school.inside(service, _FORBIDDEN, name, others)) == []
    assert _positions(school) == before
    school.wait_until_healthy(*SERVICES)


def _positions(stack: Stack) -> dict[str, int]:
    found = {service: stack.call(f"{service}.health", {})["reply"] for service in NAMES}
    return {service: health["published"] for service, health in found.items()} | {
        f"{service} recorded": health["position"] for service, health in found.items()
    }


# ---- images -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("service", [*SERVICES, "vekha"])
def test_an_image_holds_no_build_tools_and_no_secrets(stack: Stack, service: str) -> None:
    image = f"vekha/{service}:latest"
    tools = "for tool in pip pip3 uv gcc cc make git curl; do command -v $tool; done; python -c 'import pip' 2>/dev/null && echo pip; true"
    found = subprocess.run(["docker", "run", "--rm", "--entrypoint", "sh", image, "-c", tools], capture_output=True, text=True, check=True)
    assert found.stdout == ""
    history = subprocess.run(["docker", "history", "--no-trunc", image], capture_output=True, text=True, check=True).stdout
    secrets = [
        path.read_text().strip()
        for path in stack.secrets.root.rglob("*")
        if path.is_file() and path.suffix in (".seed", ".key", ".password")
    ]
    assert not any(secret in history for secret in secrets)
    search = "find / -xdev \\( -name '*.seed' -o -name 'master.key' -o -name '*.password' \\)"
    listed = subprocess.run(
        ["docker", "run", "--rm", "--entrypoint", "sh", image, "-c", search],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert listed.stdout == ""
