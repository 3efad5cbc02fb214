"""Calls from several clients at once, with a ledger of how each was answered: what a fault must not lose, nor double."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from contracts import SERVICES, consent, identity, operations, plan, roster
from contracts.call import Call, Request
from contracts.consent import ConsentGranted, Decision, SubjectKind
from contracts.identity import AccountProvisioned, CredentialsIssued
from contracts.notifier import LinkQueued, MessageQueued, ReissueNoticeQueued
from contracts.plan import DeadlineApproaching, ImplementationOrderRegistered, StepBecameOverdue, StepCompleted, StepReopened
from contracts.roster import PersonName, Position, Seat, SeatHolder, StaffHired
from eventkit.answering import kept
from eventkit.calls import Answer
from eventkit.jetstream import JetStream
from notifier.outbox import KEPT
from tests import record
from tests.record import Where
from tests.school import SCHOOL, digest
from vekha.client import Client
from vekha.failures import Exit, Failure
from vekha.moving import move_clock, time_of

AT_ONCE = 8
"""So many calls are under way at any time."""

TIMEOUT_S = 5.0
"""For so long each waits for its answer."""

_LATE_ANSWERS_S = 0.2
_REFILL_S = 15.0  # sooner than a relay compares by its regular check
_PAUSE_S = 0.05  # after a call that nobody answered

_KINDS = {
    SeatHolder.PUPIL: SubjectKind.PUPIL,
    SeatHolder.GUARDIAN_1: SubjectKind.GUARDIAN,
    SeatHolder.GUARDIAN_2: SubjectKind.GUARDIAN,
}


@dataclass(frozen=True)
class Command:
    """A command, and the types of the events that it records when it is carried out."""

    call: Call[Any, Any]
    request: Request
    command_id: str
    types: tuple[str, ...]


@dataclass(frozen=True)
class Acknowledged:
    """A command that was answered."""

    command: Command
    answer: Answer[Any]


@dataclass(frozen=True)
class Tally:
    """What became of the commands that were sent."""

    acknowledged: int
    lost: int
    doubled: int
    torn: int


class Load:
    """Commands to four services in turn, as many as are wanted, each a new one.

    `pending` are those that have no answer, or one that says that the outcome is not known.
    """

    def __init__(self, classes: Sequence[str], people: Sequence[str], tolerated: Collection[str] = ()) -> None:
        self._tolerated = tolerated
        self.acknowledged: dict[str, Acknowledged] = {}
        self.pending: dict[str, Command] = {}
        self.troubles: list[str] = []
        self._commands = self._endless(classes, people)

    @classmethod
    async def on(cls, client: Client, *, tolerated: Collection[str] = ()) -> Load:
        """For the small school as it is on its first evening. An answer with a code that is `tolerated` is as good as none."""
        classes = (await client.ask(roster.CLASSES, roster.ClassesQuery(school=SCHOOL))).reply.classes
        people: list[str] = []
        for kind in ("pupil", "guardian", "staff"):
            query = roster.PeopleQuery.model_validate({"school": SCHOOL, "kind": kind})
            people += (await client.ask(roster.PEOPLE, query)).reply.people
        with_consent: list[str] = []
        for person in people:
            status = await client.ask(consent.STATUS, consent.StatusQuery(school=SCHOOL, subject=person))
            if status.reply.consents:
                with_consent.append(person)
        return cls([card.class_id for card in classes], with_consent, tolerated)

    # ---- while it runs ------------------------------------------------------------------------------------------------

    async def run(self, client: Client, *, limit: int) -> None:
        """Makes calls until so many were answered in all."""
        await asyncio.gather(*(self._worker(client, lambda: len(self.acknowledged) >= limit) for _ in range(AT_ONCE)))

    async def run_until(self, client: Client, end: asyncio.Task[Any]) -> None:
        """Makes calls until something has come to its end; an answer that is on its way then still counts."""
        workers = [asyncio.create_task(self._worker(client, end.done)) for _ in range(AT_ONCE)]
        await asyncio.wait([end, *workers], return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait(workers, timeout=_LATE_ANSWERS_S)
        for worker in workers:
            worker.cancel()
        for ended in await asyncio.gather(*workers, return_exceptions=True):
            if isinstance(ended, Exception):
                raise ended
        await end

    async def repeat(self, client: Client) -> None:
        """Sends everything that is pending again, under its id, and some of what was answered: the answers must be the same."""
        for command in list(self.pending.values()):
            await self._ask(client, command)
        assert not self.pending, self.troubles
        for before in list(self.acknowledged.values())[-40:]:
            command = before.command
            again = await client.ask(command.call, command.request, command_id=command.command_id)
            assert kept(again.reply) == kept(before.answer.reply)
            assert again.at == before.answer.at

    async def _worker(self, client: Client, enough: Callable[[], bool]) -> None:
        while not enough():
            await self._ask(client, next(self._commands))

    async def _ask(self, client: Client, command: Command) -> None:
        self.pending[command.command_id] = command
        try:
            answer = await client.ask(command.call, command.request, command_id=command.command_id, timeout_s=TIMEOUT_S)
        except Failure as failure:
            # Every command is in order, so a refusal would be wrong; and what is silence must be called an unknown outcome.
            if failure.code not in self._tolerated and (failure.exit_code != Exit.UNREACHABLE or failure.command_id != command.command_id):
                raise
            self.troubles.append(failure.code)
            await asyncio.sleep(_PAUSE_S)
            return
        del self.pending[command.command_id]
        self.acknowledged[command.command_id] = Acknowledged(command, answer)

    # ---- afterwards ---------------------------------------------------------------------------------------------------

    def tally(self, where: Where) -> Tally:
        """How many commands were acknowledged, are not in the record as a whole though they were, are there more than once, or in part."""
        found: dict[str, Counter[str]] = {}
        logs = record.logs(where)
        for messages in logs.values():
            for event in record.events(messages):
                found.setdefault(event.commandid, Counter())[event.type] += 1
        lost = doubled = torn = 0
        for command in (*(before.command for before in self.acknowledged.values()), *self.pending.values()):
            wanted, there = Counter(command.types), found.get(command.command_id, Counter[str]())
            lost += command.command_id in self.acknowledged and not there >= wanted
            doubled += not there <= wanted
            torn += command.command_id in self.pending and bool(there) and not there >= wanted
        for before in self.acknowledged.values():
            service = before.command.call.service
            lost += not 0 < before.answer.at[service] <= len(logs[service])
        return Tally(len(self.acknowledged), lost, doubled, torn)

    def check(self, where: Where) -> None:
        """Every acknowledged command is in the record exactly once, whole, and every other one once or not at all."""
        assert self.tally(where) == Tally(len(self.acknowledged), 0, 0, 0)

    # ---- what is sent -------------------------------------------------------------------------------------------------

    def _endless(self, classes: Sequence[str], people: Sequence[str]) -> Iterator[Command]:
        seats = (
            Seat(class_id=class_id, number=number, holder=holder) for number in range(5, 100) for class_id in classes for holder in _KINDS
        )
        unissued = iter(people)
        for number in itertools.count(1):
            command_id = f"load-{number}"
            match number % 5:
                case 0 if (seat := next(seats, None)) is not None:
                    request = consent.RecordDecision(school=SCHOOL, decision=_granted(seat))
                    yield Command(consent.RECORD_DECISION, request, command_id, (ConsentGranted.type,))
                case 1:
                    request = roster.HireStaff(
                        school=SCHOOL,
                        details=PersonName(last_name="Срочных", first_name=f"Имя-{number}"),
                        position=Position.OTHER,
                        hired_on=date(2015, 8, 17),
                        external_id=f"L-{number}",
                    )
                    yield Command(roster.HIRE_STAFF, request, command_id, (StaffHired.type,))
                case 2 if (person := next(unissued, None)) is not None:
                    request = identity.IssueCredentials(school=SCHOOL, people=(person,))
                    yield Command(identity.ISSUE_CREDENTIALS, request, command_id, (AccountProvisioned.type, CredentialsIssued.type))
                case 3 if decisions := tuple(_granted(seat) for seat in itertools.islice(seats, 3)):
                    request = consent.RecordDecisions(school=SCHOOL, decisions=decisions)
                    yield Command(consent.RECORD_DECISIONS, request, command_id, (ConsentGranted.type,) * len(decisions))
                case _:
                    request = plan.RegisterOrder(school=SCHOOL, evidence_sha256=digest(command_id))
                    yield Command(plan.REGISTER_ORDER, request, command_id, (ImplementationOrderRegistered.type,))


def _granted(seat: Seat) -> Decision:
    return Decision(granted=True, seat=seat, subject_kind=_KINDS[seat.holder])


# ---- a whole instance ---------------------------------------------------------------------------------------------------------


async def settle(client: Client) -> None:
    """Returns when everything recorded is on the bus, and was taken in by every reader and every reaction (manual clock)."""
    if (await client.ask(operations.TIMERS["plan"], operations.Nothing())).reply.kind == "real":
        await _read(client)
        return
    await move_clock(client, await time_of(client))


async def _read(client: Client) -> None:
    """Returns when every reader of every service stands at the heads, and its checkpoint too, which may be a second later."""
    deadline = asyncio.get_running_loop().time() + _REFILL_S
    while True:
        healths = [(await client.ask(operations.HEALTH[service], operations.Nothing())).reply for service in SERVICES]
        heads = {health.service: health.position for health in healths}
        reached = [health.published for health in healths] == [health.position for health in healths]
        if reached and all(
            reader.positions[source] == heads[source] for one in healths for reader in one.readers for source in reader.positions
        ):
            return
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.1)


async def check_running(client: Client, where: Where) -> None:
    """The streams equal the logs byte for byte, position n at sequence n, and every reader stands at the heads."""
    await settle(client)
    await _read(client)
    logs = record.logs(where)
    await _refilled(client, {service: len(messages) for service, messages in logs.items()})
    assert record.differing(await record.streams(client.nc), logs) == {}
    for service, messages in logs.items():
        assert [position for position, _, _ in messages] == list(range(1, len(messages) + 1))
        health = (await client.ask(operations.HEALTH[service], operations.Nothing())).reply
        assert (health.position, health.published, health.quarantined) == (len(messages), len(messages), None)
        for reader in health.readers:
            assert reader.positions == {source: len(logs[source]) for source in reader.positions}
            assert (reader.parked, reader.halted) == (0, ())


async def _refilled(client: Client, heads: Mapping[str, int]) -> None:
    """Waits for a broker that has come back with less: each relay finds that out by itself."""
    deadline = asyncio.get_running_loop().time() + _REFILL_S
    while {service: await JetStream(client.nc).last_sequence(service.upper()) for service in heads} != heads:
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.1)


def check_projections(where: Where, scratch: Path) -> record.Messages:
    """Projections equal a rebuild from the logs, which are answered."""
    logs = record.logs(where)
    for service, projection in record.PROJECTIONS:
        anew = record.rebuilt(projection, logs, scratch / f"rebuilt-{service}-{projection.name}.db")
        assert record.projected(where, service, projection) == anew, (service, projection.name)
    return logs


def check_stopped(where: Where, scratch: Path) -> None:
    """Projections equal a rebuild, each service's own tables agree with its events, and nothing was announced or queued twice.

    Of whom a service says that it destroyed the data, its own tables hold nothing any more.
    """
    logs = check_projections(where, scratch)
    facts = {service: [(event, *event.facts()) for event in record.events(messages)] for service, messages in logs.items()}

    annulled = {fact["event"] for _, type_name, fact in facts["roster"] if type_name == "roster.entry-annulled.v1"}
    of_roster = [(type_name, fact) for event, type_name, fact in facts["roster"] if event.id not in annulled]
    entered = {fact["person"] for type_name, fact in of_roster if type_name in _ENTERED}
    entered |= {fact["guardian"] for type_name, fact in of_roster if type_name == "roster.guardian-linked.v1"}
    erased = {
        service: {fact["person"] for _, type_name, fact in told if type_name == f"{service}.personal-data-erased.v1"}
        for service, told in facts.items()
    }
    assert _column(where, "roster", "SELECT person FROM vault") == Counter(entered - erased["roster"])
    decided = [fact["consent_id"] for _, type_name, fact in facts["consent"] if type_name in _DECIDED]
    assert _column(where, "consent", "SELECT consent_id FROM consent") == Counter(decided)
    newest = {fact["person"]: fact["credential"] for _, type_name, fact in facts["identity"] if type_name == CredentialsIssued.type}
    kept = [credential for person, credential in newest.items() if person not in erased["identity"]]
    assert _column(where, "identity", "SELECT credential FROM credential") == Counter(kept)
    through = date.fromisoformat(max(map(str, _column(where, "notifier", "SELECT through FROM written")), default="2015-01-01"))
    queueing = (MessageQueued.type, LinkQueued.type, ReissueNoticeQueued.type)
    recent = [(type_name, fact) for event, type_name, fact in facts["notifier"] if date.fromisoformat(event.happenedon) >= through - KEPT]
    to = [fact for type_name, fact in recent if type_name in queueing]
    queued = [fact["message"] for fact in to if fact["recipient"] not in erased["notifier"]]
    assert _column(where, "notifier", "SELECT message FROM outbox") == Counter(queued)

    messages = [(event.school, fact) for event, type_name, fact in facts["notifier"] if type_name == MessageQueued.type]
    told = [(school, fact["template"], fact["recipient"], fact["day"]) for school, fact in messages]
    assert len(told) == len(set(told))
    causes = [(fact["recipient"], notice["cause"]) for _, fact in messages for notice in fact["notices"]]
    assert len(causes) == len(set(causes))
    announced = [(event.school, name, fact["step"], fact["day"]) for event, name, fact in facts["plan"] if name in _ANNOUNCED]
    assert len(announced) == len(set(announced))


_ENTERED = ("roster.staff-hired.v1", "roster.pupil-enrolled.v1")
_DECIDED = ("consent.consent-granted.v2", "consent.consent-refused.v1")
_ANNOUNCED = (StepCompleted.type, StepReopened.type, DeadlineApproaching.type, StepBecameOverdue.type)


def _column(where: Where, service: str, statement: str) -> Counter[str]:
    with record.opened(where, service) as connection:
        return Counter(value for (value,) in connection.exec_driver_sql(statement))
