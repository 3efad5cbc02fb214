"""The data folder of an embedded instance: what stands where, who holds it, and which version of it we can read.

    DATA/instance.json   the format's version, the kind of clock, when it was made
    DATA/clock           where a manual clock stands
    DATA/secrets/        keys and the operator's token, for their owner alone
    DATA/db/             one database a service: the record
    DATA/keys/           the keys of people's details: no backup of DATA/db holds them, and their own are kept for a short time
    DATA/bus/            the broker's streams, which could be refilled from the record
    DATA/last-backup, DATA/last-drill   when the last backup was made, and when the last restore drill ended well
    DATA/run/            what exists while the instance runs: a lock, the endpoint that clients look up, the broker's log

A folder is made as a whole or not at all: `instance.json` gets its name last. From then on each database must be there: an empty one in
the place of one that was lost would be another record under the same name.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import IO, Literal
from zoneinfo import ZoneInfo

import msgspec
from pydantic import SecretStr

from contracts.call import Role
from contracts.event import SERVICES
from eventkit.clock import DEFAULT_ZONE, Clock, ManualClock, RealClock, start_of_day
from eventkit.event import moment, rfc3339
from eventkit.secrets import OPERATOR, Secrets
from vekha.failures import Failure

FORMAT = 4
"""The version of this layout; a folder of another one is refused. Tables have a history of their own, and come to this program by it."""

DEFAULT = ".vekha"

# What a first start that was cut off may have left, and the mark of `vekha demo`.
_BEING_MADE = "instance.json.new"
_FIRST_TO_BE_MADE = {"run", "secrets", "secrets.new", "db", "keys", "clock", "clock.new", _BEING_MADE, "demo"}
_LOCK_PATIENCE_S = 0.5  # somebody who only looks whether the lock is held holds it for a moment


class About(msgspec.Struct):
    """What `instance.json` says."""

    format: int
    clock: Literal["real", "manual"]
    created: str


class Endpoint(msgspec.Struct):
    """How to reach the running instance; it holds no secret."""

    nats: str
    pid: int


@dataclass(frozen=True)
class DataFolder:
    """One data folder, whether or not there is anything in it yet."""

    root: Path
    database_server: str | None = None
    """Where the services' databases are on a server, rather than in DATA/db: an address without a user."""

    @property
    def secrets_folder(self) -> Path:
        return self.root / "secrets"

    @property
    def bus(self) -> Path:
        return self.root / "bus"

    @property
    def run(self) -> Path:
        return self.root / "run"

    @property
    def keys(self) -> Path:
        """The database of the keys of people's details."""
        return self.root / "keys" / "roster.db"

    def database(self, service: str) -> Path:
        return self.root / "db" / f"{service}.db"

    # ---- made once, opened ever after ---------------------------------------------------------------------------------

    @property
    def is_made(self) -> bool:
        return (self.root / "instance.json").exists()

    def about(self) -> About:
        """Raises Failure `data.missing`, `data.newer` or `data.damaged`."""
        path = self.root / "instance.json"
        try:
            text = path.read_bytes()
            version = msgspec.json.decode(text, type=dict[str, object]).get("format")
            if isinstance(version, int) and version > FORMAT:
                raise Failure(
                    "data.newer",
                    f"{self.root} has format {version}, and this program knows {FORMAT}.",
                    "Start the newer program that made it, or choose another folder with --data.",
                )
            if isinstance(version, int) and version < FORMAT:
                raise Failure(
                    "data.older",
                    f"{self.root} has format {version}, and this program reads {FORMAT} alone.",
                    "Go on with the program that made it, or choose another folder with --data.",
                )
            return msgspec.json.decode(text, type=About)
        except FileNotFoundError:
            raise Failure("data.missing", f"{self.root} holds no instance.", f"`vekha up --data {self.root}` makes one.") from None
        except msgspec.MsgspecError:
            raise Failure("data.damaged", f"{path} cannot be read.", "Put it back from a backup.") from None
        except OSError as error:
            raise not_permitted(path, error, "read") from error

    def check_is_made(self) -> None:
        """Raises what `about` raises, where the databases should be in this folder."""
        if self.database_server is None:
            self.about()

    def check(self) -> None:
        """Raises Failure where an instance must not start here, before anything is written: a newer version's folder, somebody else's."""
        try:
            entries = {entry.name for entry in self.root.iterdir()}
        except OSError:
            return  # there is none yet; or who comes to write there is told why that cannot be
        if "instance.json" in entries:
            self.about()
        elif _BEING_MADE not in entries and any(self.database(service).exists() for service in SERVICES):
            raise Failure("data.damaged", f"{self.root} has databases and lacks instance.json.", "Put it back from a backup.")
        elif entries - _FIRST_TO_BE_MADE:
            raise Failure("data.not-ours", f"{self.root} is not empty and holds no instance.", "Choose another folder with --data.")

    def make(self, clock_at: datetime | None) -> None:
        """Makes the instance's files, with a manual clock where a time is given. The lock is held (`hold`)."""
        # What no client has to wait for.
        from eventkit.database import Database, sqlite_url
        from eventkit.tokens import Actor, Tokens
        from vekha.migrations import MIGRATIONS

        try:
            about = About(FORMAT, "real" if clock_at is None else "manual", rfc3339(datetime.now(UTC)))
            being_made = self.root / _BEING_MADE
            _keep(being_made, msgspec.json.encode(about) + b"\n")
            # What a first start that was cut off has left is of no use to anybody: no instance has run on it.
            for leftover in (self.secrets_folder, self.root / "secrets.new", self.database("").parent, self.keys.parent):
                shutil.rmtree(leftover, ignore_errors=True)
            secrets = Secrets.make(self.root / "secrets.new")
            token = Tokens(OPERATOR, secrets.signing_key(OPERATOR), secrets.public_keys(), RealClock())
            _write(secrets.folder / "operator.token", token.mint(Actor(Role.OPERATOR), lifetime_s=None).encode() + b"\n")
            secrets.folder.rename(self.secrets_folder)
            self.database("").parent.mkdir(mode=0o700)
            for service in SERVICES:
                database = Database(sqlite_url(self.database(service)), service, migrations=MIGRATIONS[service])
                database.create()
                database.close()
            self.keys.parent.mkdir(mode=0o700)
            _write(self.keys, b"")  # an empty database: roster makes its table
            if clock_at is not None:
                self._keep_time(clock_at)
            _rename(being_made, self.root / "instance.json")
        except OSError as error:
            raise not_permitted(self.root, error, "written") from error

    def secrets(self) -> Secrets:
        """Raises SecretMissing where one of those that the first start made is gone."""
        self.operator_token()
        return Secrets(self.secrets_folder)

    def operator_token(self) -> str:
        path = self.secrets_folder / "operator.token"
        try:
            return path.read_text().strip()
        except FileNotFoundError:
            text = f"{path} is missing. Put the file back from where the instance's secrets are kept."
            raise Failure("secret.missing", text) from None
        except OSError as error:
            raise not_permitted(path, error, "read") from error

    def smtp_password(self) -> SecretStr | None:
        """The password for the mail server: a line that somebody put into `smtp.password`. Raises Failure `data.not-readable`."""
        path = self.secrets_folder / "smtp.password"
        try:
            return SecretStr(path.read_text().strip())
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise not_permitted(path, error if isinstance(error, OSError) else OSError(0, "not text"), "read") from error

    def exposed_secrets(self) -> list[Path]:
        """The secrets, or their folder, that others than their owner may open. Raises Failure `data.not-readable`."""
        folder = self.secrets_folder
        try:
            return [path for path in (folder, *sorted(folder.iterdir())) if path.stat().st_mode & 0o077]
        except OSError as error:
            raise not_permitted(folder, error, "read") from error

    def remember(self, what: Literal["backup", "drill"], at: str) -> None:
        """Keeps when something last ended well, by the machine's clock. Raises Failure `data.not-writable`."""
        path = self.root / f"last-{what}"
        try:
            _write(path, at.encode() + b"\n")
        except OSError as error:
            raise not_permitted(path, error, "written") from error

    def remembered(self, what: Literal["backup", "drill"]) -> datetime | None:
        try:
            return moment((self.root / f"last-{what}").read_text().strip())
        except (OSError, ValueError):
            return None

    def clock(self) -> Clock:
        """The instance's clock; a manual one keeps each new time on disk."""
        return RealClock() if self.about().clock == "real" else ManualClock(self.time(), self._keep_time)

    def time(self) -> datetime:
        """Where the instance's clock stands."""
        if self.about().clock == "real":
            return datetime.now(UTC)
        path = self.root / "clock"
        try:
            return moment(path.read_text().strip())
        except (OSError, ValueError):
            raise Failure("data.damaged", f"{path} does not say where the clock stands.", "Put it back from a backup.") from None

    def _keep_time(self, now: datetime) -> None:
        _write(self.root / "clock", rfc3339(now).encode() + b"\n")

    # ---- while it runs ------------------------------------------------------------------------------------------------

    @contextmanager
    def hold(self) -> Generator[None]:
        """Makes the folder where it is missing, and keeps everybody else from starting on it. Raises Failure `data.in-use`."""
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.run.mkdir(mode=0o700, exist_ok=True)
            lock = (self.run / "lock").open("ab")
        except OSError as error:
            raise not_permitted(self.root, error, "written") from error
        with lock:
            deadline = time.monotonic() + _LOCK_PATIENCE_S
            while not _locks(lock, fcntl.LOCK_EX):
                if time.monotonic() > deadline:
                    text = f"An instance runs on {self.root} already."
                    raise Failure("data.in-use", text, "Stop it, or choose another folder with --data.")
                time.sleep(0.05)
            yield

    @property
    def is_held(self) -> bool:
        """Whether an instance runs here, or is starting or stopping. Raises Failure `data.not-readable`."""
        path = self.run / "lock"
        try:
            with path.open("rb") as lock:
                return not _locks(lock, fcntl.LOCK_SH)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            raise not_permitted(path, error, "read") from error

    def check_writable(self) -> None:
        """Raises Failure `data.not-writable` where this user may not write what a start has to write."""
        folders = [self.root, self.run, self.bus, self.database("").parent]
        files = [self.database(service) for service in SERVICES]
        for path in (*folders, *files):
            if path.exists() and not os.access(path, os.W_OK | (os.X_OK if path.is_dir() else 0)):
                raise not_permitted(path, PermissionError(0, "permission denied"), "written")

    def publish_endpoint(self, nats: str) -> None:
        _write(self.run / "endpoint.json", msgspec.json.encode(Endpoint(nats, os.getpid())) + b"\n")

    def forget_endpoint(self) -> None:
        (self.run / "endpoint.json").unlink(missing_ok=True)

    def endpoint(self) -> Endpoint | None:
        """How to reach the instance that runs here; None while none does."""
        if not self.is_held:
            return None
        try:
            return msgspec.json.decode((self.run / "endpoint.json").read_bytes(), type=Endpoint)
        except (OSError, msgspec.MsgspecError):
            return None


def moment_of(text: str) -> datetime:
    """A moment from RFC 3339, or from a date: the beginning of that day in Moscow; without offset, Moscow time. Raises ValueError."""
    if len(text) == len("2015-08-17"):
        return start_of_day(date.fromisoformat(text))
    found = datetime.fromisoformat(text)
    return found if found.tzinfo is not None else found.replace(tzinfo=ZoneInfo(DEFAULT_ZONE))


def not_permitted(path: Path, error: OSError, done: Literal["read", "written"]) -> Failure:
    """What a file or folder of the instance amounts to that this user may not read, or not write."""
    code = "data.not-writable" if done == "written" else "data.not-readable"
    text = f"{path} cannot be {done}: {(error.strerror or type(error).__name__).lower()}."
    return Failure(code, text, "Give this user the right, or choose another folder with --data.")


def _locks(file: IO[bytes], kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _write(path: Path, content: bytes) -> None:
    """The whole content or what stood there before, whenever the power goes."""
    new = path.with_name(f"{path.name}.new")
    _keep(new, content)
    _rename(new, path)


def _keep(path: Path, content: bytes) -> None:
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    _sync(path.parent)


def _rename(path: Path, to: Path) -> None:
    path.rename(to)
    _sync(to.parent)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
