"""The stack under TLS, with three nodes of the bus: nothing is said to it, and nothing within it, but encrypted."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.containers.stack import SERVICES, Stack, require_docker
from tests.runbook import sections
from vekha.deployment import certifying

pytestmark = [pytest.mark.containers, pytest.mark.timeout(900)]

_FILES = ("docker-compose.yml", "deploy/cluster.yml", "deploy/tls.yml", "deploy/cluster-tls.yml")
_NODES = ("nats", "nats-2", "nats-3")
_HOW_CONNECTED = "SELECT usename, ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE client_addr IS NOT NULL"
_IN_CLEAR = """
import os, pathlib, psycopg
from sqlalchemy.engine import make_url
password = pathlib.Path("/run/secrets/database.password").read_text().strip()
url = make_url(os.environ["VEKHA_DATABASE_URL"]).set(drivername="postgresql", password=password)
try:
    psycopg.connect(url.render_as_string(hide_password=False), sslmode="disable").close()
    print("in clear")
except psycopg.OperationalError as error:
    print("no encryption" in str(error))
"""

_ROUTE = """
import json, socket, ssl
ours = ssl.create_default_context(cafile="/run/secrets/ca.pem")
told = {}
for node in ("nats", "nats-2", "nats-3"):
    with socket.create_connection((node, 6222)) as route, ours.wrap_socket(route, server_hostname=node) as encrypted:
        told[node] = encrypted.version()
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    require_docker()
    files = _FILES if _has_tls("postgres:18") else (*_FILES, "tests/containers/postgres-17.yml")
    made = Stack("vekha-tls", tmp_path_factory.mktemp("tls"), files=files, nodes=3)
    made.make_secrets()
    certifying.certify(made.secrets, [])
    with made.running():
        yield made


def _has_tls(image: str) -> bool:
    options = subprocess.run(
        ["docker", "run", "--rm", "--entrypoint", "pg_config", image, "--configure"], capture_output=True, text=True, check=False
    )
    return "openssl" in options.stdout


def test_the_compose_files_are_clean_together(stack: Stack) -> None:
    assert stack.compose("config", "--quiet").stderr == ""


def test_the_command_line_plays_on_it(stack: Stack) -> None:
    stack.call("roster.open-school", {"school": "school-7", "name": "Школа № 7", "municipality": "mytishchi"})
    shown = stack.vekha("events", "--school", "school-7", "--json").lines
    assert [event["type"] for event in shown] == ["roster.school-opened.v1"]
    assert "The record verifies." in stack.compose("run", "--rm", "vekha", "audit", "verify").stdout


def test_the_database_is_spoken_to_under_tls_alone(stack: Stack) -> None:
    rows = stack.compose("exec", "--no-TTY", "postgres", "psql", "-U", "postgres", "-d", "vekha", "-tAc", _HOW_CONNECTED).stdout.split()
    assert {row.partition("|")[0] for row in rows} == {service.removesuffix("-tracker") for service in SERVICES}
    assert {row.partition("|")[2] for row in rows} == {"t"}
    assert stack.inside("roster", _IN_CLEAR) == "True\n"


def test_the_bus_is_spoken_to_under_tls_alone_and_so_do_its_nodes_with_each_other(stack: Stack) -> None:
    for authority in stack.secrets.authorities():
        if authority.is_relative_to(stack.secrets.operator.root):
            known = authority.read_bytes()
            authority.unlink()
            try:
                assert stack.vekha("call", "roster.head", "{}", check=False).code != 0
            finally:
                authority.write_bytes(known)
    asked = ("exec", "--no-TTY", "nats", "wget", "-q", "-O", "-")
    clients = json.loads(stack.compose(*asked, "http://127.0.0.1:8222/connz?auth=true").stdout)["connections"]
    assert clients
    assert all(client["tls_version"] for client in clients)
    assert json.loads(stack.inside("roster", _ROUTE)) == dict.fromkeys(_NODES, "TLSv1.3")


def _told_expiry(stack: Stack) -> dict[str, float]:
    """Until when the certificates hold, as roster's figures have it, by server; none before it has looked."""
    page = stack.inside("roster", "import urllib.request as r; print(r.urlopen('http://127.0.0.1:8080/metrics').read().decode())")
    families = {family.name: family for family in text_string_to_metric_families(page)}
    return {one.labels["server"]: one.value for one in families["vekha_certificate_expires_at_seconds"].samples}


def _restarted(stack: Stack) -> dict[str, float]:
    """What a roster tells that has just begun, and so looks at once."""
    stack.compose("restart", "roster")
    stack.wait_until_healthy("roster")
    deadline = time.monotonic() + 60
    while not (told := _told_expiry(stack)):
        assert time.monotonic() < deadline
        time.sleep(1)
    return told


def test_certificates_that_are_about_to_expire_are_told_of_and_replaced_as_the_runbook_has_it(stack: Stack) -> None:
    expiring = certifying.certify(stack.secrets, [], days=20)
    stack.compose("restart", *_NODES, "postgres")
    stack.wait_until_healthy(*SERVICES, *_NODES, "postgres")
    told = _restarted(stack)
    assert told.keys() == {*_NODES, "postgres"}
    assert {datetime.fromtimestamp(at, UTC).date() for at in told.values()} == {expiring}
    lines = sections()["certificates-that-expire"]
    stack.typed([*lines, "docker compose restart nats-2", "docker compose restart nats-3"])
    stack.wait_until_healthy(*SERVICES, *_NODES, "postgres")
    assert min(_restarted(stack).values()) > max(told.values())
    stack.call("roster.open-school", {"school": "school-8", "name": "Школа № 8", "municipality": "mytishchi"})
