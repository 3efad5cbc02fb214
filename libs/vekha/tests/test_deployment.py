"""Services apart, on the real bus with an account for each and the real database with a role for each."""

from __future__ import annotations

import asyncio
import os
import stat
import subprocess
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec
import psycopg
import pytest
from cryptography import x509
from nats.aio.client import Client
from nats.aio.msg import Msg
from psycopg.errors import InsufficientPrivilege, InvalidParameterValue
from sqlalchemy.engine import make_url

from contracts.call import CALLS
from contracts.event import SERVICES
from contracts.operations import READERS
from eventkit import jetstream, log
from eventkit.accounts import OPERATIONS, Job, Reader, account, inbox, may_call
from eventkit.alone import database_url
from eventkit.broker import Credential, server_binary
from eventkit.certificates import of_servers
from eventkit.figures import Figure, Labelled
from eventkit.jetstream import BusError, BusReader, JetStream, PipelinedPublisher
from eventkit.testing_servers import new_database
from vekha.deployment import certifying, connecting, making
from vekha.deployment.layout import DeploymentSecrets
from vekha.deployment.migrating import migrate
from vekha.deployment.provisioning import provision_bus, provision_roles
from vekha.deployment.readers import readers
from vekha.failures import Exit, Failure
from vekha.folder import DataFolder
from vekha.records import AUDITOR, last_reads, reading
from vekha.replay import PROJECTIONS
from vekha.testing import Vekha

_HEARD_WITHIN_S = 0.2
_TABLES = "SELECT schemaname, tablename FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
_MAY_READ = "has_schema_privilege(schemaname, 'USAGE') AND has_table_privilege(format('%I.%I', schemaname, tablename), 'SELECT')"
_SETTINGS = ("synchronous_commit", "default_transaction_read_only", "search_path")
_STREAM_VERBS = ("CREATE", "UPDATE", "DELETE", "PURGE", "MSG.DELETE", "SNAPSHOT", "RESTORE")


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> DeploymentSecrets:
    made = DeploymentSecrets(tmp_path_factory.mktemp("deployment") / "secrets")
    making.make(made)
    return made


# ---- secrets ------------------------------------------------------------------------------------------------------------


def test_secrets_are_made_once(secrets: DeploymentSecrets) -> None:
    with pytest.raises(Failure, match="there already"):
        making.make(secrets)


_NOWHERE = "postgresql://127.0.0.1:1/vekha"


@pytest.mark.parametrize(
    ("words", "code", "exit_code", "said"),
    [
        (("secrets", "--owner", "me"), "usage.invalid", Exit.USAGE, "10001:10001"),
        (("secrets", "--owner", f"{2**32}"), "usage.invalid", Exit.USAGE, "10001:10001"),
        (("certificates", "--name", "школа.рф"), "usage.invalid", Exit.USAGE, "xn--"),
        (("certificates", "--name", "a b"), "usage.invalid", Exit.USAGE, "no name of a host"),
        (("accounts",), "secret.missing", Exit.FAILED, "make secrets"),
        (("roles", "--database", _NOWHERE), "secret.missing", Exit.FAILED, "make secrets"),
        (("roles", "--database", "vekha"), "usage.invalid", Exit.USAGE, "postgresql://"),
        (("roles", "--database", "sqlite:///vekha"), "usage.invalid", Exit.USAGE, "postgresql://"),
    ],
)
def test_what_cannot_be_deployed_from_is_told_in_words(
    vekha: Vekha, tmp_path: Path, words: tuple[str, ...], code: str, exit_code: Exit, said: str
) -> None:
    ended = vekha("deploy", *words, "--secrets", tmp_path / "secrets", "--json")
    assert (ended.code, ended.error["code"]) == (exit_code, code)
    assert said in ended.err
    assert not (tmp_path / "secrets").exists()


def test_a_folder_of_secrets_that_cannot_be_made_is_named(vekha: Vekha, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    ended = vekha("deploy", "secrets", "--secrets", tmp_path / "file" / "secrets", "--json")
    assert (ended.code, ended.error["code"]) == (Exit.FAILED, "secrets.unwritable")


def test_a_database_that_lets_nobody_in_is_told_and_no_password(vekha: Vekha, secrets: DeploymentSecrets) -> None:
    ended = vekha("deploy", "roles", "--secrets", secrets.root, "--database", _NOWHERE, "--json")
    assert (ended.code, ended.error["code"]) == (Exit.UNREACHABLE, "database.unreachable")
    assert secrets.superuser_passwords[0].read_text().strip() not in ended.err


def test_a_service_that_its_database_does_not_let_in_says_so_in_a_line(secrets: DeploymentSecrets, tmp_path: Path) -> None:
    told = {
        "VEKHA_SECRETS": str(secrets.service("roster")),
        "VEKHA_STATE": str(tmp_path),
        "VEKHA_DATABASE_URL": "postgresql+psycopg://roster@127.0.0.1:1/vekha",
        "VEKHA_NATS_URL": "nats://127.0.0.1:1",
        "VEKHA_HTTP": "127.0.0.1:0",
    }
    done = subprocess.run([sys.executable, "-m", "roster"], env=os.environ | told, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("roster: database.unreachable: ")
    assert secrets.passwords("roster")[0].read_text().strip() not in done.stderr


def test_roles_are_made_by_what_an_operator_types(vekha: Vekha, secrets: DeploymentSecrets, database: str) -> None:
    ended = vekha("deploy", "roles", "--secrets", secrets.root, "--database", database, "--json")
    assert ended.json == {"services": list(SERVICES)}


@pytest.mark.parametrize("address", ["nats://127.0.0.1:1", "nats://["])
def test_a_job_does_not_wait_for_ever_for_a_bus_that_lets_it_not_in(
    secrets: DeploymentSecrets, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connecting, "_TIMEOUT_S", 0.5)
    with pytest.raises(Failure) as kept_out:
        asyncio.run(provision_bus(secrets, address, readers(), 1))
    assert (kept_out.value.code, kept_out.value.exit_code) == ("bus.unreachable", Exit.UNREACHABLE)


def test_nobody_but_the_owner_may_open_a_secret(secrets: DeploymentSecrets) -> None:
    assert stat.S_IMODE(secrets.root.stat().st_mode) == 0o700
    open_to_others = {path.relative_to(secrets.root) for path in secrets.root.rglob("*") if path.is_file() and path.stat().st_mode & 0o077}
    # The bus's file holds public keys alone; the other one is read by a user whom the database's image chooses, behind a closed folder.
    assert {str(path) for path in open_to_others} == {"nats/accounts.conf", "postgres/superuser.password"}


def test_a_service_has_no_other_s_private_key_and_no_other_s_master_key(secrets: DeploymentSecrets) -> None:
    seen = [path.read_text() for service in SERVICES for path in secrets.service(service).iterdir() if path.suffix != ".public"]
    assert len(seen) == len(set(seen)) == 4 * len(SERVICES)


# ---- the bus ------------------------------------------------------------------------------------------------------------


@dataclass
class Bus:
    """A server with accounts, and what the clients of this module have connected."""

    url: str
    secrets: DeploymentSecrets
    clients: list[Client]

    async def as_(self, service: str, job: Job = "service") -> Client:
        prefix = inbox(service) if job == "service" else inbox(job)
        credential = Credential.read(self.secrets.seed(service, job), own_stream=account(service), inbox=prefix)
        self.clients.append(nc := await jetstream.connect(self.url, credential, name=f"{service}-{job}"))
        return nc

    async def as_operator(self) -> Client:
        credential = Credential.read(self.secrets.operator_seed, own_stream=account(OPERATIONS), inbox=inbox(OPERATIONS))
        self.clients.append(nc := await jetstream.connect(self.url, credential, name="operator"))
        return nc


@pytest.fixture(scope="module")
def server(secrets: DeploymentSecrets, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("nats")
    configuration = folder / "nats.conf"
    configuration.write_text(
        f'listen: "127.0.0.1:-1"\nports_file_dir: "{folder}"\njetstream {{ store_dir: "{folder}/store" }}\n' + secrets.accounts.read_text()
    )
    process = subprocess.Popen([server_binary(), "--config", str(configuration)], stderr=subprocess.DEVNULL)
    try:
        url = asyncio.run(_listening(folder / f"nats-server_{process.pid}.ports"))
        asyncio.run(provision_bus(secrets, url, readers(), 1))
        yield url
    finally:
        process.terminate()
        process.wait(10)


async def _listening(ports: Path) -> str:
    async with asyncio.timeout(10):
        while True:
            with suppress(FileNotFoundError, msgspec.DecodeError):
                return msgspec.json.decode(ports.read_bytes(), type=dict[str, list[str]])["nats"][0]
            await asyncio.sleep(0.02)


@pytest.fixture
async def bus(server: str, secrets: DeploymentSecrets) -> AsyncIterator[Bus]:
    found = Bus(server, secrets, [])
    yield found
    for nc in found.clients:
        await jetstream.disconnect(nc)


@asynccontextmanager
async def _listening_on(nc: Client, *subjects: str) -> AsyncGenerator[list[Msg]]:
    """What arrives there, a moment after the block included."""
    heard: list[Msg] = []

    async def hear(message: Msg) -> None:
        heard.append(message)

    for subject in subjects:
        await nc.subscribe(subject, cb=hear)  # pyright: ignore[reportUnknownMemberType] - nats-py leaves the type of one parameter open
    await nc.flush()
    yield heard
    await nc.flush()
    await asyncio.sleep(_HEARD_WITHIN_S)


async def _answers(nc: Client, service: str, requests: Iterable[tuple[str, bytes]]) -> set[str]:
    """Which of the subjects answer."""
    asked = list(requests)
    async with _listening_on(nc, f"{inbox(service)}.answer.*") as heard:
        for number, (subject, body) in enumerate(asked):
            await nc.publish(subject, body, f"{inbox(service)}.answer.{number}")
    return {asked[int(message.subject.rpartition(".")[2])][0] for message in heard}


async def _last(bus: Bus, service: str) -> int:
    return await JetStream(await bus.as_(service)).last_sequence(account(service))


async def test_a_service_publishes_its_own_events_and_nobody_else_s(bus: Bus) -> None:
    before = {service: await _last(bus, service) for service in SERVICES}
    for service in SERVICES:
        nc = await bus.as_(service)
        run = [(before[service] + 1, f"evt.{service}.school-7.something", b"{}")]
        assert (await PipelinedPublisher(nc, account(service)).send(run)).failure is None
        for other in SERVICES:
            if other != service:
                await nc.publish(f"evt.{other}.school-7.something", b"{}")
        await nc.flush()
    assert {service: await _last(bus, service) for service in SERVICES} == {service: before[service] + 1 for service in SERVICES}


@pytest.mark.parametrize("durable", ["identity-readers", "identity-readers-2", "identity-behind", "identity-behind-2"])
async def test_a_service_reads_by_its_own_durables_across_accounts(bus: Bus, durable: str) -> None:
    nc = await bus.as_("roster")
    first = await _last(bus, "roster") + 1
    run = [(first + number, "evt.roster.school-7.something", b"%d" % number) for number in range(3000)]
    assert (await PipelinedPublisher(nc, "ROSTER").send(run)).failure is None
    got: list[bytes] = []
    async with asyncio.timeout(20):
        async for batch in BusReader(await bus.as_("identity"), "ROSTER", durable).batches(first - 1):
            got += [data for _, _, data in batch]
            if len(got) >= len(run):
                break
    assert got == [data for _, _, data in run]


@pytest.mark.parametrize("service", SERVICES)
async def test_no_service_reads_by_somebody_else_s_durable(bus: Bus, service: str) -> None:
    names = [
        f"CONSUMER.{verb}.{reader.stream}.{reader.durable}"
        for reader in readers()
        if reader.service != service
        for verb in ("INFO", "RESET", "MSG.NEXT")
    ]
    asked = [(subject, b'{"seq": 1}') for name in names for subject in (f"$JS.API.{name}", f"JS.{name.split('.')[-2]}.API.{name}")]
    assert await _answers(await bus.as_(service), service, asked) == set()


@pytest.mark.parametrize("service", SERVICES)
async def test_no_service_makes_changes_or_deletes_a_stream_or_a_durable(bus: Bus, service: str) -> None:
    verbs = ["STREAM.LIST", "STREAM.NAMES", "INFO", "CONSUMER.LIST.ROSTER", "CONSUMER.NAMES.ROSTER"]
    for stream in SERVICES:
        verbs += [
            f"STREAM.{verb}.{account(stream)}" for verb in ("CREATE", "UPDATE", "DELETE", "PURGE", "MSG.DELETE", "SNAPSHOT", "RESTORE")
        ]
        verbs += [f"CONSUMER.{verb}.{account(stream)}" for verb in ("CREATE", "DURABLE.CREATE")]
        verbs += [f"CONSUMER.{verb}.{account(stream)}.mine" for verb in ("CREATE", "DURABLE.CREATE", "DELETE", "PAUSE", "LEADER.STEPDOWN")]
    asked = [(subject, b"{}") for verb in verbs for subject in (f"$JS.API.{verb}", f"JS.{verb.split('.')[-1]}.API.{verb}")]
    assert await _answers(await bus.as_(service), service, asked) == set()


@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_hears_no_other_service_s_calls_nor_its_answers(bus: Bus, service: str) -> None:
    others = [other for other in SERVICES if other != service]
    subjects = [*(f"call.{other}.>" for other in others), *(f"{inbox(other)}.>" for other in others), ">", "evt.>", "$JS.>", "_R_.>"]
    operator = await bus.as_operator()
    async with _listening_on(await bus.as_(service), *subjects) as heard:
        for other in others:
            await operator.publish(f"call.{other}.head", b"{}", f"{inbox(OPERATIONS)}.x")
        await operator.flush()
    assert heard == []


async def test_a_service_is_asked_what_the_contracts_let_others_ask_and_nothing_else(bus: Bus) -> None:
    """Every call of every service, by every other: it arrives where the declaration allows it, and nowhere else."""
    for service in SERVICES:
        await _answering(await bus.as_(service), service)
    for service in SERVICES:
        allowed = {call.subject for call in may_call(service)}
        others = [(call.subject, b"{}") for call in CALLS.values() if call.service in SERVICES and call.service != service]
        assert await _answers(await bus.as_(service), service, others) == allowed


async def _answering(nc: Client, service: str) -> None:
    async def answer(message: Msg) -> None:
        await message.respond(b"{}")

    await nc.subscribe(f"call.{service}.*", queue=service, cb=answer)  # pyright: ignore[reportUnknownMemberType] - as above
    await nc.flush()


async def test_an_answer_cannot_be_aimed_at_somebody_else_s_events(bus: Bus) -> None:
    """The server would store the acknowledgement of a publish, or a message that was pulled, under the reply's subject."""
    before = {service: await _last(bus, service) for service in SERVICES}
    nc = await bus.as_("notifier")
    victim = "evt.roster.school-7.forged"
    reader = next(reader for reader in readers() if reader.service == "notifier" and reader.stream == "PLAN")
    await nc.publish("evt.notifier.school-7.something", b"{}", reply=victim)
    await nc.publish("$JS.API.STREAM.INFO.NOTIFIER", b"", reply=victim)
    await nc.publish("$JS.API.DIRECT.GET.NOTIFIER", b'{"seq": 1}', reply=victim)
    await nc.publish("JS.ROSTER.API.DIRECT.GET.ROSTER", b'{"seq": 1}', reply=victim)
    await nc.publish(f"JS.PLAN.API.CONSUMER.MSG.NEXT.PLAN.{reader.durable}", b'{"batch": 1}', reply=victim)
    await nc.publish("call.roster.head", b"{}", reply=victim)
    await nc.flush()
    await asyncio.sleep(0.2)
    after = {service: await _last(bus, service) for service in SERVICES}
    assert after == before | {"notifier": before["notifier"] + 1}


async def test_seals_are_heard_by_all_and_kept_by_each_for_its_own_log_alone(bus: Bus) -> None:
    roster, plan = await bus.as_("roster"), await bus.as_("plan")
    async with _listening_on(plan, "seal.*.told") as heard:
        for nc in (roster, plan):
            await nc.publish("seal.roster.told", b"its own" if nc is roster else b"forged")
            await nc.flush()
    assert [message.data for message in heard] == [b"its own"]
    assert await _answers(roster, "roster", [("seal.roster.kept", b"its own")]) == {"seal.roster.kept"}
    assert await _answers(plan, "plan", [("seal.roster.kept", b"forged")]) == set()
    kept = await JetStream(plan).last_message("SEALS", "seal.roster.kept")
    assert kept is not None
    assert kept[2] == b"its own"


async def test_only_the_administrator_may_delete_a_stream(bus: Bus) -> None:
    provisioner = await bus.as_("plan", "provisioner")
    assert await _answers(provisioner, "provisioner", [("$JS.API.STREAM.DELETE.PLAN", b"")]) == set()
    await JetStream(await bus.as_("plan", "administrator")).ask("STREAM.DELETE.PLAN")
    with pytest.raises(BusError):
        await _last(bus, "plan")
    await provision_bus(bus.secrets, bus.url, readers(), 1)
    assert await _last(bus, "plan") == 0


async def test_the_operator_calls_every_service_and_publishes_nothing(bus: Bus) -> None:
    for service in SERVICES:
        await _answering(await bus.as_(service), service)
    before = {service: await _last(bus, service) for service in SERVICES}
    operator = await bus.as_operator()
    everything = [call.subject for call in CALLS.values() if call.service in SERVICES]
    assert await _answers(operator, OPERATIONS, [(subject, b"{}") for subject in everything]) == set(everything)
    assert await _answers(operator, OPERATIONS, [(f"evt.{service}.school-7.something", b"{}") for service in SERVICES]) == set()
    assert {service: await _last(bus, service) for service in SERVICES} == before


def test_the_contracts_name_for_each_log_the_services_that_read_it() -> None:
    found = {service: {reader.service for reader in readers() if reader.stream == service.upper()} for service in SERVICES}
    assert {service: found[service] - {service} for service in SERVICES} == {service: set(READERS[service]) for service in SERVICES}


def test_every_durable_is_known_by_its_service() -> None:
    assert all(reader.durable.startswith(f"{reader.service}-") for reader in readers())
    assert Reader("ROSTER", "consent-readers", "consent") in readers()


# ---- certificates --------------------------------------------------------------------------------------------------------


@pytest.fixture
def certified(tmp_path: Path) -> DeploymentSecrets:
    made = DeploymentSecrets(tmp_path / "certified" / "secrets")
    making.make(made)
    certifying.certify(made, ["bus.example"])
    return made


@contextmanager
def _under_tls(secrets: DeploymentSecrets, folder: Path) -> Generator[str]:
    """A server as deploy/tls.yml configures it."""
    folder.mkdir()
    tls = (
        (Path(__file__).parents[3] / "deploy/nats-tls.conf").read_text().replace("/etc/vekha/server.pem", str(secrets.certificate("nats")))
    )
    configuration = folder / "nats.conf"
    configuration.write_text(f'listen: "127.0.0.1:-1"\nports_file_dir: "{folder}"\n{secrets.accounts.read_text()}{tls}')
    process = subprocess.Popen([server_binary(), "--config", str(configuration)], stderr=subprocess.DEVNULL)
    try:
        yield asyncio.run(_listening(folder / f"nats-server_{process.pid}.ports"))
    finally:
        process.terminate()
        process.wait(10)


def _ask(secrets: DeploymentSecrets, url: str) -> bool:
    """Whether the operator comes in."""

    async def connect() -> bool:
        credential = Credential.read(secrets.operator_seed, own_stream=account(OPERATIONS), inbox=inbox(OPERATIONS))
        try:
            async with asyncio.timeout(1):
                nc = await jetstream.connect(url.replace("tls://", "nats://"), credential, name="operator")
        except TimeoutError:  # it would go on trying
            return False
        await jetstream.disconnect(nc)
        return True

    return asyncio.run(connect())


def test_nothing_is_said_to_a_bus_that_shows_no_certificate_of_ours(
    certified: DeploymentSecrets, secrets: DeploymentSecrets, server: str, tmp_path: Path
) -> None:
    assert _ask(secrets, server)
    with _under_tls(certified, tmp_path / "ours") as url:
        assert _ask(certified, url)
        for authority in certified.authorities():
            authority.unlink()
        assert not _ask(certified, url)
    certifying.certify(certified, [])  # another authority
    known = certified.authorities()[0].read_bytes()
    with _under_tls(certified, tmp_path / "again") as url:
        certified.operator_seed.with_name("ca.pem").write_bytes(_authority_of_somebody_else(tmp_path))
        assert not _ask(certified, url)
        certified.operator_seed.with_name("ca.pem").write_bytes(known)
        assert _ask(certified, url)
    assert not _ask(certified, server)  # it shows none at all


def test_until_when_a_certificate_holds_is_told_as_the_server_shows_it(certified: DeploymentSecrets, tmp_path: Path) -> None:
    authority = certified.authorities()[0]
    nowhere = make_url("postgresql+psycopg://roster@/vekha")

    def told(url: str) -> float:
        figure = of_servers(url.replace("tls://", "nats://"), nowhere, authority)
        return dict(asyncio.run(_read(figure)))["127.0.0.1",]

    with _under_tls(certified, tmp_path / "before") as url:
        shown = x509.load_pem_x509_certificate(certified.certificate("nats").read_bytes()).not_valid_after_utc.timestamp()
        assert told(url) == shown
        assert told(f"{url},tls://localhost:1") == shown  # one that is away keeps nobody from hearing of the others'
        certifying.certify(certified, [], days=20)
        assert told(url) == shown  # a file that nobody shows yet
    with _under_tls(certified, tmp_path / "after") as url:
        assert told(url) < shown
    assert asyncio.run(_read(of_servers("nats://127.0.0.1:1", nowhere, None))) == {}


async def _read(figure: Figure) -> Labelled:
    return await figure.read()


def _authority_of_somebody_else(folder: Path) -> bytes:
    other = DeploymentSecrets(folder / "other" / "secrets")
    making.make(other)
    certifying.certify(other, [])
    return other.authorities()[0].read_bytes()


def test_certificates_are_made_anew_by_the_same_authority_whose_key_has_to_be_there(certified: DeploymentSecrets) -> None:
    authority, before = certified.authorities()[0].read_bytes(), certified.certificate("postgres").read_bytes()
    certifying.certify(certified, [])
    assert {path.read_bytes() for path in certified.authorities()} == {authority}
    assert certified.certificate("postgres").read_bytes() != before
    certified.authority_key.unlink()
    with pytest.raises(Failure, match="is not there"):
        certifying.certify(certified, [])


def test_services_ask_the_database_for_a_certificate_where_they_know_who_issues_them(certified: DeploymentSecrets) -> None:
    file = certified.passwords("roster")[0]
    url = database_url("postgresql+psycopg://roster@postgres/vekha", file)
    assert dict(url.query) == {"sslmode": "verify-full", "sslrootcert": str(file.with_name("ca.pem"))}
    file.with_name("ca.pem").unlink()
    assert dict(database_url("postgresql+psycopg://roster@postgres/vekha", file).query) == {}


# ---- the database -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def database(secrets: DeploymentSecrets, postgres_url: str) -> Iterator[str]:
    with new_database(postgres_url) as url:
        with psycopg.connect(url) as connection:
            provision_roles(secrets, connection)
        migrate(secrets, url)
        yield url


def test_an_auditor_reads_the_record_and_what_is_derived_from_it_and_nothing_that_people_told_us(
    secrets: DeploymentSecrets, database: str
) -> None:
    secret = {"roster.vault", "roster.journal", "roster.upload", "keys.person_key"}
    secret |= {"identity.password", "identity.credential", "identity.link", "notifier.outbox"}
    with _as(database, AUDITOR) as connection, psycopg.connect(database) as superuser:
        every = {f"{schema}.{table}" for schema, table in superuser.execute(_TABLES)}
        open_to_it = {f"{schema}.{table}" for schema, table in connection.execute(f"{_TABLES} AND {_MAY_READ}")}
        assert secret <= every - open_to_it
        assert {table.partition(".")[2] for table in open_to_it} >= {"log", "head", "seal", "checkpoint"}
        assert all(f"{service}.command" in every - open_to_it for service in SERVICES)
        with pytest.raises(InsufficientPrivilege):
            connection.execute("INSERT INTO roster.seal DEFAULT VALUES")


def test_what_a_newer_version_needs_is_added_to_the_secrets(tmp_path: Path, database: str) -> None:
    made = DeploymentSecrets(tmp_path / "secrets")
    making.make(made)
    for path in made.auditor_passwords:
        path.unlink()
    with psycopg.connect(database) as connection:
        provision_roles(made, connection)
    making.complete(made)
    first, second = (path.read_text() for path in made.auditor_passwords)
    assert first == second
    making.complete(made)
    assert made.auditor_passwords[0].read_text() == first


def test_the_record_on_a_server_is_read_as_its_auditor(secrets: DeploymentSecrets, database: str) -> None:
    folder = DataFolder(secrets.operator.root, database)
    for service in SERVICES:
        with reading(folder, service) as connection:
            assert log.about(connection).service == service
            assert list(log.verify(connection, service)) == []
    assert last_reads(folder) == []


def test_what_keeps_an_auditor_from_the_record_is_told_and_what_to_do(secrets: DeploymentSecrets, database: str, tmp_path: Path) -> None:
    with pytest.raises(Failure) as away, reading(DataFolder(secrets.operator.root, "postgresql://127.0.0.1:1/vekha"), "roster"):
        pass
    assert (away.value.code, away.value.exit_code) == ("database.unreachable", Exit.UNREACHABLE)
    with pytest.raises(Failure, match="is missing") as unknown, reading(DataFolder(tmp_path, database), "roster"):
        pass
    assert "vekha deploy accounts" in (unknown.value.hint or "")


def _as(database: str, role: str) -> psycopg.Connection:
    return psycopg.connect(make_url(database).set(username=role).render_as_string(), autocommit=True)


def test_provisioning_and_migrating_twice_changes_nothing(secrets: DeploymentSecrets, database: str) -> None:
    with psycopg.connect(database) as connection:
        provision_roles(secrets, connection)
    assert migrate(secrets, database) == ["roster", "consent", "identity", "plan", "notifier"]


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE log SET bytes = ''", "DELETE FROM log", "TRUNCATE log", "DROP TABLE log", "ALTER TABLE log DISABLE TRIGGER ALL",
        "UPDATE command SET reply = ''", "DELETE FROM command", "DELETE FROM head", "UPDATE head SET log_id = ''",
        "INSERT INTO head DEFAULT VALUES",
        "CREATE SCHEMA mine", "CREATE ROLE mine", "CREATE DATABASE mine", "SELECT * FROM pg_authid", "COPY log TO PROGRAM 'cat'",
        "SELECT pg_read_file('/etc/passwd')", "ALTER ROLE CURRENT_USER SUPERUSER",
        "CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'", "CREATE RULE mine AS ON INSERT TO log DO INSTEAD NOTHING",
        "CREATE TRIGGER mine BEFORE INSERT ON log EXECUTE FUNCTION mine()", "CREATE TEMP TABLE head (position bigint)",
        "CREATE INDEX ON log (bytes)", "COMMENT ON TABLE log IS 'mine'",
        "SELECT pg_advisory_lock(1)", "SELECT pg_try_advisory_xact_lock_shared(1, 1)", "SELECT lo_create(0)",
        "SELECT lo_import('/etc/passwd')",
    ],
)  # fmt: skip
def test_a_service_changes_nothing_that_stands_in_its_log(database: str, service: str, statement: str) -> None:
    with _as(database, service) as connection, pytest.raises(InsufficientPrivilege):
        connection.execute(statement.encode())


def test_a_service_does_not_see_what_others_ask_the_database(database: str) -> None:
    with _as(database, "roster") as roster, _as(database, "notifier") as notifier:
        roster.execute("SELECT 'asked by roster'")
        seen = "SELECT query FROM pg_stat_activity WHERE pid = %s"
        assert notifier.execute(seen, [roster.info.backend_pid]).fetchone() == ("<insufficient privilege>",)


def test_a_service_that_takes_all_connections_that_it_can_leaves_some_to_the_others(database: str) -> None:
    with psycopg.connect(database) as superuser:
        limits = dict(superuser.execute("SELECT rolname, rolconnlimit FROM pg_roles WHERE rolname = ANY(%s)", [list(SERVICES)]).fetchall())
    compose = (Path(__file__).parents[3] / "docker-compose.yml").read_text()
    most = int(compose.partition("max_connections=")[2].partition(",")[0])
    assert all(0 < 2 * limit < most for limit in limits.values())
    assert set(limits) == set(SERVICES)


def test_what_a_service_has_set_for_its_role_is_gone_with_the_next_provisioning(secrets: DeploymentSecrets, database: str) -> None:
    with _as(database, "roster") as connection:
        connection.execute("ALTER ROLE roster SET synchronous_commit = off")
        connection.execute(f"ALTER ROLE roster IN DATABASE {make_url(database).database} SET default_transaction_read_only = on".encode())
    with psycopg.connect(database) as connection:
        provision_roles(secrets, connection)
    with _as(database, "roster") as connection:
        shown = [connection.execute(f"SHOW {name}".encode()).fetchone() for name in _SETTINGS]
    assert shown == [("on",), ("off",), ("roster",)]


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_reads_no_other_service_s_tables(database: str, service: str) -> None:
    with _as(database, service) as connection:
        assert connection.execute("SELECT position FROM head").fetchall() == [(0,)]
        for other in SERVICES:
            if other != service:
                with pytest.raises(InsufficientPrivilege):
                    connection.execute(f"SELECT * FROM {other}.log".encode())
        if service != "roster":
            with pytest.raises(InsufficientPrivilege):
                connection.execute("SELECT * FROM keys.person_key")


@pytest.mark.parametrize(("service", "projection"), [(service, one.name) for service, one in PROJECTIONS])
def test_a_service_makes_exchanges_and_drops_versions_of_its_projections_and_of_nothing_else(
    database: str, service: str, projection: str
) -> None:
    def catalog(connection: psycopg.Connection, schema: str) -> list[tuple[str, ...]]:
        """What its tables are, and who may do what with them."""
        queries = (
            """
            SELECT table_name, column_name, ordinal_position::text, data_type, coalesce(collation_name, ''), is_nullable
            FROM information_schema.columns WHERE table_schema = %s
            """,
            "SELECT tablename, indexname, replace(indexdef, format(' ON %%I.', schemaname), ' ON ') FROM pg_indexes WHERE schemaname = %s",
            "SELECT relname, relacl::text FROM pg_class WHERE relnamespace = %s::regnamespace AND relkind = 'r'",
        )
        found = [tuple(row) for query in queries for row in connection.execute(query.encode(), [schema])]
        return sorted(row for row in found if row[0] in names)

    with psycopg.connect(database, autocommit=True) as watching, _as(database, service) as connection:
        (named,) = watching.execute(f"SELECT {service}.projection_tables(%s)".encode(), [projection]).fetchone() or ([],)
        names = set(named)
        live = catalog(watching, service)
        connection.execute("SELECT make_projection_version(%s, 2)", [projection])
        beside = f"{service}_{projection}_v2"
        assert {row[0] for row in live} == names
        assert catalog(watching, beside) == live
        connection.execute(f'SELECT * FROM {beside}."{named[0]}"'.encode())
        connection.execute("SELECT switch_projection_version(%s, 1, 2)", [projection])
        assert catalog(watching, service) == catalog(watching, f"{service}_{projection}_v1") == live
        connection.execute("SELECT drop_projection_version(%s, 1)", [projection])
        for other in SERVICES:
            if other != service:
                with pytest.raises(InsufficientPrivilege):
                    connection.execute(f"SELECT {other}.make_projection_version('x', 3)".encode())
        for statement in (
            "SELECT make_projection_version('log', 3)",
            "SELECT switch_projection_version('', 1, 2)",
            "SELECT drop_projection_version('keys', 1)",
            "SELECT drop_projection_version(NULL, 1)",
        ):
            with pytest.raises(InvalidParameterValue):
                connection.execute(statement.encode())
        with pytest.raises(InsufficientPrivilege):
            connection.execute("CREATE OR REPLACE FUNCTION projection_tables(p text) RETURNS text[] LANGUAGE sql AS 'SELECT NULL::text[]'")
