"""One service in a process of its own, as its container runs it: everything it needs to know stands in environment variables and files."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import sys
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path

import structlog
from pydantic import SecretStr
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, OperationalError

from eventkit import accounts, health, otlp, telemetry
from eventkit.broker import BrokerError, Credential
from eventkit.certificates import of_servers
from eventkit.clock import Clock, ManualClock, RealClock
from eventkit.database import encrypted
from eventkit.environment import SettingInvalid, chosen, required
from eventkit.event import rfc3339
from eventkit.figures import of_folder
from eventkit.heartbeat import beat
from eventkit.memory import look_for_garbage_seldom
from eventkit.postgres import is_away
from eventkit.process import leave_nothing_behind
from eventkit.secrets import SecretMissing, Secrets
from eventkit.service import Service, Settings
from eventkit.tasks import ended

SEED = "nats.seed"
DATABASE_PASSWORD = "database.password"  # noqa: S105 -- a file's name
SMTP_PASSWORD = "smtp.password"  # noqa: S105 -- as above

VARIABLES: Mapping[str, str] = {
    "VEKHA_NATS_URL": "nats://host:port, several of a cluster; the seed of its nkey stands in the secrets' folder, in nats.seed",
    "VEKHA_DATABASE_URL": "postgresql+psycopg://user@host/database; the password stands there too, in database.password",
    "VEKHA_SECRETS": "the folder of its secrets, by default /run/secrets; it is only read",
    "VEKHA_STATE": "a folder that it may write, where the keys of rotations stand, by default /var/lib/vekha",
    "VEKHA_MANUAL_CLOCK": "for tests: the time at which a clock stands when the service first starts; production refuses it",
    "VEKHA_HTTP": "host:port of /livez, /readyz and /metrics, by default 127.0.0.1:8080",
}
"""What it has to be told, by the variable's name, beside what an installation chooses (`environment.VARIABLES`)."""

_log = structlog.get_logger(__name__)


def main(name: str, build: Callable[[Settings], Service]) -> int:
    """Runs a service until SIGTERM; returns the exit code."""
    look_for_garbage_seldom()
    telemetry.set_up(service=name, processor=otlp.processor(os.environ))
    leave_nothing_behind()
    try:
        service = build(settings(name, os.environ))
        told = service.settings
        service.figure(*of_folder(_state(os.environ)), of_servers(told.nats_url, told.database_url, told.nats_credential.authority))
        asyncio.run(_run(service, *_address(os.environ), _state(os.environ)))
    except (SettingInvalid, SecretMissing, BrokerError) as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 1
    except OperationalError as error:
        if not is_away(error):
            raise
        print(f"{name}: database.unreachable: {' '.join(str(error.orig).split())}", file=sys.stderr)
        return 1
    return 0


def settings(name: str, environment: Mapping[str, str]) -> Settings:
    """A service's settings. Raises SettingInvalid, SecretMissing and BrokerError, each saying what to set or put back."""
    folder = Path(environment.get("VEKHA_SECRETS") or "/run/secrets")
    state = _state(environment)
    credential = Credential.read(folder / SEED, own_stream=accounts.account(name), inbox=accounts.inbox(name))
    smtp = folder / SMTP_PASSWORD
    return Settings(
        name=name,
        database_url=database_url(required(environment, "VEKHA_DATABASE_URL"), folder / DATABASE_PASSWORD),
        nats_url=required(environment, "VEKHA_NATS_URL"),
        nats_credential=credential,
        secrets=Secrets(folder, of=name, rotated=state),
        clock=_clock(environment, state),
        migrates=False,
        smtp_password=SecretStr(smtp.read_text().strip()) if smtp.is_file() else None,
        **chosen(environment),
    )


def _state(environment: Mapping[str, str]) -> Path:
    return Path(environment.get("VEKHA_STATE") or "/var/lib/vekha")


def _clock(environment: Mapping[str, str], state: Path) -> Clock:
    """The machine's clock; or a manual one, which stands where it stood when the process before this one ended."""
    if not (given := environment.get("VEKHA_MANUAL_CLOCK")):
        return RealClock()
    if environment.get("VEKHA_PRODUCTION") == "1":
        raise SettingInvalid("clock.manual-in-production", "VEKHA_MANUAL_CLOCK is for tests: a production service runs on the real clock.")
    kept = state / "clock"
    try:
        now = datetime.fromisoformat(kept.read_text().strip() if kept.is_file() else given)
    except ValueError:
        raise SettingInvalid("settings.invalid", "VEKHA_MANUAL_CLOCK is RFC 3339: 2015-08-17T09:00:00+03:00.") from None

    def keep(to: datetime) -> None:
        new = kept.with_suffix(".new")
        new.write_text(rfc3339(to))
        new.replace(kept)

    return ManualClock(now, keep)


def database_url(given: str, password_file: Path) -> URL:
    """The address with the password that its file holds."""
    try:
        return encrypted(make_url(given).set(password=password_file.read_text().strip()), password_file.parent)
    except ArgumentError:
        raise SettingInvalid("settings.invalid", "VEKHA_DATABASE_URL is no address: postgresql+psycopg://user@host/database.") from None
    except OSError as error:
        raise SettingInvalid("settings.missing", f"{password_file} cannot be read: {error.strerror}.") from error


def _address(environment: Mapping[str, str]) -> tuple[str, int]:
    host, _, port = (environment.get("VEKHA_HTTP") or "127.0.0.1:8080").rpartition(":")
    if not host or not port.isdecimal():
        raise SettingInvalid("settings.invalid", "VEKHA_HTTP is host:port.")
    return host, int(port)


async def _run(service: Service, host: str, port: int, state: Path) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    web = health.server(service, host, port)
    beating: asyncio.Task[None] | None = None
    serving = asyncio.create_task(web.serve())
    try:
        starting = asyncio.create_task(_start(service))
        told = asyncio.create_task(stopping.wait())
        await asyncio.wait({starting, told}, return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            starting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await starting
            return
        await starting
        gc.freeze()
        beating = asyncio.create_task(beat(health.Health(service), state))
        await asyncio.wait({serving, told}, return_when=asyncio.FIRST_COMPLETED)
        _log.info("service.stopping", service=service.name)
    finally:
        if beating is not None:
            await ended([beating])
        await service.stop()
        web.should_exit = True
        await serving


async def _start(service: Service) -> None:
    await service.wait_for_tables()
    await service.prepare()
    await service.start()
