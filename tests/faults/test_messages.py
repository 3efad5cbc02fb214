"""Months of a manual clock with `kill -9` on the way: every message that the table holds is written once, and no letter goes out twice."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
from collections import Counter
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from email import message_from_bytes
from pathlib import Path
from random import Random

import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session

from contracts import operations, plan, roster
from contracts.notifier import OUTBOX, OutboxQuery, OutboxRow
from contracts.operations import Nothing
from contracts.roster import PersonName, Position
from tests.school import START
from tests.test_reminders import DIRECTOR, MINISTRY, MUNICIPALITY, NOTHING_IS_DONE, Told, words
from vekha.client import Client, Target, connected
from vekha.failures import Exit, Failure
from vekha.folder import DataFolder
from vekha.testing import Up, running

POINTS = (
    "announcements.before-note",
    "messages.written",
    "messages.before-note",
    "mail.before-text",
    "mail.after-text",
    "log.before-commit",
    "log.after-commit",
    "relay.after-publish",
    "projection.before-checkpoint",
    "projection.after-checkpoint",
)


@dataclass
class PostOffice:
    """A mail server that takes everything: to whom, and the Message-ID."""

    port: int = 0
    mails: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        assert isinstance(envelope.content, bytes)
        (recipient,) = envelope.rcpt_tos
        self.mails.append((recipient, str(message_from_bytes(envelope.content)["Message-ID"])))
        return "250 OK"


@asynccontextmanager
async def _post_office() -> AsyncGenerator[PostOffice]:
    office = PostOffice()
    server = await asyncio.get_running_loop().create_server(lambda: SMTP(office, hostname="localhost"), "127.0.0.1", 0)
    office.port = server.sockets[0].getsockname()[1]
    try:
        yield office
    finally:
        server.close()


@pytest.mark.fault("kill -9 at ten points in two months of timers and mail")
@pytest.mark.faults
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(3))
async def test_two_months_of_three_schools_with_a_death_at_every_point(tmp_path: Path, seed: int) -> None:
    random = Random(seed)
    faults = [f"{point}:{random.randint(1, 6)}" for point in random.sample(POINTS, len(POINTS))]
    await _live(tmp_path, schools=3, until=date(2015, 10, 5), faults=faults)


@pytest.mark.slow
@pytest.mark.timeout(3600)
async def test_a_year_of_fifty_schools_with_deaths_on_the_way(tmp_path: Path) -> None:
    random = Random(2015)
    faults = [f"{random.choice(POINTS)}:{random.randint(1, 60)}" for _ in range(20)]
    await _live(tmp_path, schools=50, until=date(2016, 8, 17), faults=faults)


async def _live(folder: Path, *, schools: int, until: date, faults: Sequence[str]) -> None:
    """Schools that do nothing, from one death to the next; then all that was written and sent is held against the table."""
    data, addresses = folder / "data", folder / "monitors"
    addresses.write_text("municipality:mytishchi edu@example.org\nministry ministry@example.org\n", encoding="utf-8")
    async with _post_office() as office:
        environment = {
            "VEKHA_SMTP_URL": f"smtp://127.0.0.1:{office.port}",
            "VEKHA_MAIL_FROM": "vekha@example.org",
            "VEKHA_MONITORS": str(addresses),
        }
        with running(data, "--manual-clock", START, environment=environment) as up:
            async with _client(data) as client:
                names = [f"school-{number}" for number in range(1, schools + 1)]
                for school in names:
                    await _open(client, school)
            assert up.end() == 0
        began, deaths = date(2015, 8, 17), 0
        outbox: dict[str | None, dict[str, OutboxRow]] = {school: {} for school in (*names, None)}
        for number, fault in enumerate(faults, 1):
            try:
                up = await asyncio.to_thread(Up, data, environment={**environment, "VEKHA_FAULT": fault})
            except RuntimeError:
                deaths += 1  # as it started
                continue
            try:
                await _look(data, outbox)
                deaths += await _until_death(data, up, began + (until - began) * number // (len(faults) + 1))
            finally:
                up.end(signal.SIGKILL)  # at any moment, where it did not come to the point
                up.close()
            assert up.process.returncode == -signal.SIGKILL
        assert deaths >= len(faults) // 2
        with running(data, environment=environment) as up:
            assert not await _until_death(data, up, until)
            await _look(data, outbox, to_the_end=True)
            _check({school: [*rows.values()] for school, rows in outbox.items()}, office)
            assert up.end() == 0


async def _open(client: Client, school: str) -> None:
    await client.ask(roster.OPEN_SCHOOL, roster.OpenSchool(school=school, name="Школа", municipality="mytishchi"))
    details = PersonName(last_name="Директоров", first_name="Имя", email=f"{school}@example.org")
    hiring = roster.HireStaff(school=school, details=details, position=Position.DIRECTOR, hired_on=date(2010, 9, 1))
    await client.ask(roster.HIRE_STAFF, hiring)
    await client.ask(plan.ADOPT_PLAN, plan.AdoptPlan(school=school, start=date(2015, 8, 17)), up_to_date=True)


async def _until_death(data: Path, up: Up, until: date) -> bool:
    """Lives on day by day; whether it died before the last one."""
    death = asyncio.create_task(asyncio.to_thread(up.process.wait))
    living = asyncio.create_task(_day_by_day(data, until))
    await asyncio.wait([death, living], return_when=asyncio.FIRST_COMPLETED)
    if not death.done():
        try:
            await living
        except Failure as failure:  # its last words
            if failure.exit_code != Exit.UNREACHABLE:
                raise
            await death
        return death.done()
    living.cancel()
    await asyncio.wait([living])
    return True


async def _day_by_day(data: Path, until: date) -> None:
    async with _client(data) as client:
        while (today := datetime.fromisoformat((await client.ask(operations.CLOCK, Nothing())).reply.now).date()) < until:
            await _until_none_waits_for_long(data, today)
            await client.ask(operations.ADVANCE_CLOCK, operations.AdvanceClock(days=1), timeout_s=60.0)


async def _until_none_waits_for_long(data: Path, today: date) -> None:
    """Days pass here in a moment, and what is put off rests for seconds: what was not sent for a week of days expires at the next start."""
    oldest = (today - timedelta(days=3)).isoformat()
    with closing(sqlite3.connect(f"file:{data / 'db' / 'notifier.db'}?mode=ro", uri=True)) as outbox:
        waiting = "SELECT count(*) FROM outbox WHERE state = 'queued' AND day < ?"
        while outbox.execute(waiting, (oldest,)).fetchone()[0]:  # noqa: ASYNC110 - another process works it off
            await asyncio.sleep(0.01)


async def _look(data: Path, outbox: dict[str | None, dict[str, OutboxRow]], *, to_the_end: bool = False) -> None:
    """Looks at every outbox, before what is old is deleted there; an instance that dies meanwhile is looked at the next time."""
    try:
        async with _client(data) as client:
            for school, rows in outbox.items():
                found = await _outbox(client, school) if to_the_end else await _messages(client, school)
                rows.update((row.message, row) for row in found)
    except Failure as failure:
        if to_the_end or failure.exit_code != Exit.UNREACHABLE:
            raise


def _check(outbox: Mapping[str | None, Sequence[OutboxRow]], office: PostOffice) -> None:
    rows = {school: sorted(found, key=lambda row: row.day) for school, found in outbox.items() if school is not None}
    managers = outbox[None]
    everything = [row for found in (*rows.values(), managers) for row in found]
    to_director = {day: told[DIRECTOR] for day, told in NOTHING_IS_DONE.items() if DIRECTOR in told}
    for found in rows.values():
        assert {f"{row.day:%d.%m}": [words(one.kind, one.step, one.working_days) for one in row.notices] for row in found} == to_director
        assert len(found) == len(to_director)
    digests: Told = {}
    for row in managers:
        assert {one.schools for one in row.overdue} == {len(rows)}
        whom = MINISTRY if row.template == "ministry-digest" else MUNICIPALITY
        digests.setdefault(f"{row.day:%d.%m}", {})[whom] = [str(one.step) for one in row.overdue]
    assert digests == {day: told for day, told in NOTHING_IS_DONE.items() if DIRECTOR not in told}

    sent = Counter(message for _, message in office.mails)
    assert max(sent.values()) == 1
    known = {f"<{row.message}@example.org>": row.state for row in everything}
    assert set(sent) <= set(known)
    assert {state for message, state in known.items() if message in sent} <= {"accepted", "ambiguous"}
    assert {state for message, state in known.items() if message not in sent} <= {"ambiguous"}
    assert list(known.values()).count("ambiguous") < len(known) // 2


async def _outbox(client: Client, school: str | None) -> Sequence[OutboxRow]:
    """A school's messages, once none waits to be sent any more."""
    deadline = asyncio.get_running_loop().time() + 60
    while True:
        rows = await _messages(client, school)
        if all(row.state != "queued" for row in rows):
            return rows
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.1)


async def _messages(client: Client, school: str | None) -> Sequence[OutboxRow]:
    return (await client.ask(OUTBOX, OutboxQuery(school=school, limit=500))).reply.messages


def _client(data: Path) -> AbstractAsyncContextManager[Client]:
    return connected(Target(DataFolder(data)))
