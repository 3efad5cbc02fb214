"""The stack as an operations team runs it: brought up by one command, killed in parts and as a whole, and shut to who is taken over."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from contracts.event import SERVICES as NAMES
from tests.containers.stack import SERVICES, Stack, all_are_there, while_recording
from tests.runbook import DEPLOY, sections
from vekha import story
from vekha.archive import verify
from vekha.deployment.readers import readers
from vekha.testing import BINARY

pytestmark = [pytest.mark.containers, pytest.mark.timeout(1800)]

FOUNDATIONS = ("nats", "postgres")


_SPEAK_OUTWARD = ("identity", "notifier")
_OVERLAYS = ("", ":deploy/cluster.yml", ":deploy/tls.yml", ":deploy/cluster.yml:deploy/tls.yml:deploy/cluster-tls.yml")


@pytest.mark.parametrize("overlays", _OVERLAYS)
def test_the_compose_files_are_clean_and_every_container_is_closed_bounded_and_on_loopback(stack: Stack, overlays: str) -> None:
    done = stack.run("docker", "compose", "--profile", "*", "config", "--format", "json", COMPOSE_FILE=f"docker-compose.yml{overlays}")
    assert done.stderr == ""
    composed = json.loads(done.stdout)
    assert composed["networks"]["default"]["internal"]
    assert composed["networks"]["door"]["driver_opts"] == {"com.docker.network.bridge.enable_ip_masquerade": "false"}
    services = composed["services"]
    assert {name for name, service in services.items() if "outward" in (service.get("networks") or ())} == {
        *_SPEAK_OUTWARD,
        "otel",
        "prometheus",
    }
    assert services.keys() >= {*SERVICES, *FOUNDATIONS, "owner", "provision", "vekha", "otel", "prometheus", "grafana"}
    for name, service in services.items():
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["logging"] == {"driver": "json-file", "options": {"max-size": "10m", "max-file": "5"}}, name
        assert service["mem_limit"], name
        assert service["pids_limit"], name
        assert service["restart"], name
        assert not service.get("privileged"), name
        ends = service["restart"] != "unless-stopped"
        assert ends or name == "otel" or service["healthcheck"]["test"], name  # that image holds nothing that could ask
        secret = [mount for mount in service.get("volumes", ()) if "secrets" in mount.get("source", "")]
        assert all(mount["read_only"] and not mount["bind"].get("create_host_path") for mount in secret), (
            name
        )  # what is not there is not made
        assert {port["host_ip"] for port in service.get("ports", ())} <= {"127.0.0.1"}, name
        assert name == "postgres" or not set(service.get("cap_add", ())) - {"CHOWN"}, name


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


def test_whatever_is_told_to_end_does_so_by_itself_and_all_is_there_again(school: Stack) -> None:
    """Within its grace period: what is killed after that has another exit code."""
    before = _positions(school)
    school.compose("stop", *SERVICES, *FOUNDATIONS)
    codes = {service: _exit_code(school, service) for service in (*SERVICES, *FOUNDATIONS)}
    school.up()
    assert codes == dict.fromkeys(codes, 0)
    assert _positions(school) == before


def _exit_code(stack: Stack, service: str) -> int:
    asked = ["docker", "inspect", "--format", "{{.State.ExitCode}}", stack.container(service)]
    return int(subprocess.run(asked, capture_output=True, text=True, check=True).stdout)


# ---- the runbook ----------------------------------------------------------------------------------------------------------


_TYPED_AT_ANY_TIME = (
    *("servicedown", "servicenotready", "quarantined", "eventsparked", "relaybehind", "readerbehind", "logunsealed"),
    *("callsfail", "callsslow", "appendsslow", "hashingfull", "diskfilling", "certificateexpires"),
)


@pytest.mark.parametrize("section", _TYPED_AT_ANY_TIME)
def test_what_is_typed_for_an_alert_ends_well(school: Stack, section: str) -> None:
    school.typed(sections()[section])
    school.wait_until_healthy(*SERVICES, *FOUNDATIONS)


_SEALS_FOLLOW_S = 35.0  # a service asks the bus every half minute which of its seals are there


def test_a_bus_that_was_lost_is_filled_again(school: Stack) -> None:
    before = _positions(school)
    school.compose("rm", "--stop", "--force", "owner", "nats")
    school.run("docker", "volume", "rm", f"{school.name}_bus")
    in_containers, _ = sections()["a-lost-bus"]
    school.typed([in_containers])
    school.wait_until_healthy(*SERVICES, *FOUNDATIONS)
    assert _positions(school) == before
    time.sleep(_SEALS_FOLLOW_S)
    verifying = sections()["a-forged-event"][:3]
    assert "The record verifies." in school.typed(verifying)


# ---- who is taken over ----------------------------------------------------------------------------------------------------

_FORBIDDEN = """
import asyncio, json, os, pathlib, socket, sys
import nats
import psycopg
from sqlalchemy.engine import make_url

name, others, readers = sys.argv[1], sys.argv[2].split(","), json.loads(sys.argv[3])
seed = pathlib.Path("/run/secrets/nats.seed").read_text().strip()
url = make_url(os.environ["VEKHA_DATABASE_URL"]).set(
    drivername="postgresql", password=pathlib.Path("/run/secrets/database.password").read_text().strip()
)
done = []

changes = [f"STREAM.{verb}" for verb in ("CREATE", "UPDATE", "DELETE", "PURGE", "MSG.DELETE", "SNAPSHOT", "RESTORE")]
changes += [f"CONSUMER.{verb}" for verb in ("CREATE", "DURABLE.CREATE", "DELETE", "PAUSE", "LEADER.STEPDOWN")]

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
        for verb in changes:
            for subject in (f"$JS.API.{verb}.{stream}", f"JS.{stream}.API.{verb}.{stream}"):
                await nc.publish(subject, b"{}", reply=f"{inbox}.{verb.replace('.', '-')}")
                await nc.publish(f"{subject}.x", b"{}", reply=f"{inbox}.{verb.replace('.', '-')}")
        for verb in ("told", "kept"):
            await nc.publish(f"seal.{other}.{verb}", b"{}", reply=f"{inbox}.seal-{other}-{verb}")
        victim = f"evt.{other}.school-7.forged"
        await nc.publish(f"JS.{stream}.API.DIRECT.GET.{stream}", b'{"seq": 1}', reply=victim)
        await nc.publish(f"$JS.API.DIRECT.GET.{name.upper()}", b'{"seq": 1}', reply=victim)
        await nc.publish(f"$JS.API.STREAM.INFO.{name.upper()}", b"", reply=victim)
        await nc.publish(f"call.{other}.head", b"{}", reply=victim)
        for of, durable, reader in readers:
            if reader == name:
                api = "$JS.API" if of == name.upper() else f"JS.{of}.API"
                await nc.publish(f"{api}.CONSUMER.MSG.NEXT.{of}.{durable}", b'{"batch": 1, "no_wait": true}', reply=victim)
    for of, durable, reader in readers:
        for verb in ("INFO", "RESET", "MSG.NEXT") if reader != name else ():
            for subject in (f"$JS.API.CONSUMER.{verb}.{of}.{durable}", f"JS.{of}.API.CONSUMER.{verb}.{of}.{durable}"):
                await nc.publish(subject, b'{"seq": 1}', reply=f"{inbox}.{durable}")
    for verb in changes:
        await nc.publish(f"$JS.API.{verb}.{name.upper()}", b"{}", reply=f"{inbox}.own")
        await nc.publish(f"$JS.API.{verb}.{name.upper()}.x", b"{}", reply=f"{inbox}.own")
    for subject in (">", "*", "*.>", "_INBOX.>", "$SYS.>", "$JS.>", "$JS.ACK.>", "$JS.EVENT.>", "evt.>"):
        await nc.subscribe(subject, cb=hear)
    await nc.publish("$SYS.REQ.SERVER.PING", b"", reply=f"{inbox}.server")
    for of, durable, _ in readers:
        await nc.publish(f"$JS.ACK.{of}.{durable}.1.1.1.1.0", b"+TERM", reply=f"{inbox}.ack-{durable}")
    await nc.flush()
    await asyncio.sleep(1)
    done.extend(f"bus: {message.subject}" for message in heard)
    await nc.close()

def database():
    mine = (name, "keys") if name == "roster" else (name,)
    with psycopg.connect(url.render_as_string(hide_password=False), autocommit=True) as connection:
        found = "SELECT schemaname, tablename FROM pg_tables WHERE schemaname !~ '^(pg_|information_schema)'"
        tables = connection.execute(found).fetchall()
    foreign = [f'{schema}."{table}"' for schema, table in tables if schema not in mine]
    if len({schema for schema, _ in tables}) < 5:
        done.append("the other schemas were not found")
    statements = [f"SELECT 1 FROM {table}" for table in foreign] + [f"DELETE FROM {table}" for table in foreign]
    statements += ["UPDATE log SET bytes = ''", "DELETE FROM log", "TRUNCATE log", "DROP TABLE log", "ALTER TABLE log DISABLE TRIGGER ALL"]
    statements += ["UPDATE command SET reply = ''", "DELETE FROM command", "DELETE FROM seal", "UPDATE seal SET hash = ''"]
    statements += ["DELETE FROM head", "UPDATE head SET schema_version = 0", "UPDATE alembic_version SET version_num = ''"]
    statements += ["CREATE TABLE mine (a int)", "CREATE ROLE mine", "CREATE SCHEMA mine"]
    statements += ["SELECT * FROM pg_authid", "COPY log TO PROGRAM 'cat'", "SELECT pg_read_file('/etc/passwd')"]
    statements += [f"ALTER ROLE {name} SUPERUSER", f"SET ROLE {name}_owner", "SET ROLE postgres", "SET session_replication_role = replica"]
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

def monitoring():
    try:
        socket.create_connection(("nats", 8222), timeout=5).close()
    except OSError:
        return
    done.append("sees who is connected to the bus")

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
monitoring()
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
    durables = json.dumps([(reader.stream, reader.durable, reader.service) for reader in readers()])
    assert json.loads(school.inside(service, _FORBIDDEN, name, others, durables)) == []
    assert _positions(school) == before
    school.wait_until_healthy(*SERVICES)


def _positions(stack: Stack) -> dict[str, int]:
    found = {service: stack.call(f"{service}.health", {})["reply"] for service in NAMES}
    return {service: health["published"] for service, health in found.items()} | {
        f"{service} recorded": health["position"] for service, health in found.items()
    }


@pytest.mark.parametrize("service", SERVICES)
def test_nobody_but_who_has_to_finds_a_way_out_of_the_containers(stack: Stack, service: str) -> None:
    routes = stack.inside(service, "print(open('/proc/net/route').read())").splitlines()[1:]
    destinations = [line.split()[1] for line in routes if line.strip()]
    assert destinations
    assert ("00000000" in destinations) == (service in _SPEAK_OUTWARD)


_COLLIDES = """
import os, pathlib, psycopg
from sqlalchemy.engine import make_url
password = pathlib.Path("/run/secrets/database.password").read_text().strip()
url = make_url(os.environ["VEKHA_DATABASE_URL"]).set(drivername="postgresql", password=password)
with psycopg.connect(url.render_as_string(hide_password=False)) as connection:
    for _ in range(2):
        connection.execute("INSERT INTO attempt VALUES (%s, 1, '', '')", ["kovaleva.e"])
"""


def test_what_the_database_says_of_an_error_names_nobody(stack: Stack) -> None:
    done = stack.compose("exec", "--no-TTY", "identity", "python", "-", stdin=_COLLIDES, check=False)
    assert "kovaleva.e" in done.stderr
    said = stack.compose("logs", "postgres").stdout
    assert "attempt_pkey" in said
    assert "kovaleva.e" not in said


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


@pytest.mark.parametrize("service", [*SERVICES, "vekha"])
def test_an_image_is_as_large_as_the_first_day_s_page_says(stack: Stack, service: str) -> None:
    """To a tenth: the image below it is another's."""
    stated = re.search(rf"\| {service}(?: \([^|]*\))? \| (\d+) \|", (DEPLOY / "README.md").read_text())
    assert stated
    inspected = ["docker", "image", "inspect", "--format", "{{.Size}}", f"vekha/{service}:latest"]
    size_mb = int(subprocess.run(inspected, capture_output=True, text=True, check=True).stdout) / 1e6
    assert size_mb == pytest.approx(int(stated[1]), rel=0.1)
