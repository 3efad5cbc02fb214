"""Plausible schools, the same for the same seed: the events of their first weeks with the plan, written straight into five logs.

Sizes and proportions are those of the sample school as `vekha demo` plays it. The schools begin within a few days of each other and go on
side by side, so a log holds runs of up to 64 events of one school, as the append queue writes them.
"""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random
from typing import TypeVar

from contracts.consent import AgeBand, Capacity, ConsentGranted, ConsentRefused, SubjectKind, Terms
from contracts.event import NO_SCHOOL, SERVICES, Event
from contracts.identity import AccountActivated, AccountProvisioned, Channel, CredentialsHandedOver, CredentialsIssued
from contracts.notifier import MessageQueued, Notice
from contracts.plan import CalendarPinned, CalendarTable, DeadlineApproaching, PlanAdopted, StepAttested, StepCompleted
from contracts.roster import (
    ClassCreated,
    ClassDeclared,
    ClassHeadcountDeclared,
    ClassTeacherAssigned,
    CoordinatorAppointed,
    GuardianLinked,
    Position,
    PupilAssignedToClass,
    PupilEnrolled,
    Relation,
    RosterImportCompleted,
    SchoolOpened,
    Seat,
    SeatHolder,
    StaffHired,
)
from eventkit import log
from eventkit.database import Database, sqlite_url
from eventkit.event import Draft, Origin, rfc3339
from plan_tracker.domain.deadlines import Reckoning, baseline, years_to_pin
from plan_tracker.domain.plan import load_plan
from workdays import Calendar, russian_calendar

_SEED = 20150907
_START = date(2015, 8, 17)
_PLAN = load_plan("mo-2015-school-portal")
_RUN = 64
_BATCH = 1000
_TERMS = Terms()

T = TypeVar("T")


@dataclass(frozen=True)
class _Act:
    """An event before it is recorded, and whose history it belongs to."""

    service: str
    stream: str
    event: Event
    actor: str = "administrator"


def write_logs(folder: Path, least: int) -> dict[str, int]:
    """Writes the logs of at least so many events, as SQLite files by the service's name. The last position of each."""
    random = Random(_SEED)
    logs = {service: _Log(folder, service, random) for service in SERVICES}
    calendar = russian_calendar(years_to_pin(_PLAN, _START, _START), 5)
    table = CalendarTable(digest=calendar.digest, table=calendar.table())
    logs["plan"].record(NO_SCHOOL, _START, [_Act("plan", f"calendar-{calendar.digest}", CalendarPinned(calendar=table), "director")])
    schools: list[_School] = []
    while sum(school.events for school in schools) < least:
        schools.append(_School(f"school-{len(schools) + 1}", random, calendar))
    for day in range(max(school.days for school in schools)):
        under_way = [school for school in schools if school.days > day]
        while under_way:
            school = random.choice(under_way)
            run = _taken(school.acts[day], random.randint(1, _RUN))
            if not run:
                under_way.remove(school)
            for service in SERVICES:
                logs[service].record(school.name, _START + timedelta(day), [act for act in run if act.service == service])
    return {service: written.close() for service, written in logs.items()}


class _School:
    """One school and all that happens in it, by day from the first."""

    def __init__(self, name: str, random: Random, calendar: Calendar) -> None:
        self.name = name
        self.acts: list[deque[_Act]] = [deque() for _ in range(random.randint(0, 4))]
        self._random = random
        self._calendar = calendar
        self._people: list[tuple[str, SubjectKind]] = []
        self._classes = [(_id(random, "c"), 1 + n % 11, "АБВ"[n // 11], random.randint(18, 29)) for n in range(random.randint(22, 27))]
        self._pupils = [
            (_id(random, "p"), class_id, number) for class_id, _, _, headcount in self._classes for number in range(1, headcount + 1)
        ]
        self._consents: dict[str, str] = {}
        families = [(pupil, [_id(random, "p") for _ in range(random.choices((0, 1, 2), (2, 25, 73))[0])]) for pupil, _, _ in self._pupils]
        self._guardians = [(pupil, guardian) for pupil, guardians in families for guardian in guardians]
        for happens in (self._opens, self._hires, self._decides, self._enters, self._gives_codes, self._activates, self._activates):
            self.acts.append(deque(happens(_START + timedelta(self.days))))

    @property
    def days(self) -> int:
        return len(self.acts)

    @property
    def events(self) -> int:
        return sum(len(acts) for acts in self.acts)

    def _opens(self, today: date) -> Iterator[_Act]:
        opened = SchoolOpened(school=self.name, municipality="mytishchi", timezone="Europe/Moscow")
        yield _Act("roster", f"school-{self.name}", opened, "operator")
        adopted = PlanAdopted(
            plan=_PLAN.name,
            revision=_PLAN.revision,
            start=today,
            week=5,
            anchor="after_predecessors",
            count_from=_PLAN.options.count_from,
            calendar=self._calendar.digest,
            baseline={str(n): due for n, due in baseline(Reckoning(_PLAN, today, self._calendar)).items()},
        )
        yield _Act("plan", f"plan-{self.name}", adopted, "director")
        for class_id, grade, letter, headcount in self._classes:
            stream = f"class-{self.name}.{class_id}"
            yield _Act("roster", stream, ClassDeclared(class_id=class_id, grade=grade, letter=letter, academic_year="2015/2016"))
            yield _Act("roster", stream, ClassCreated(class_id=class_id, shift=1))
            yield _Act("roster", stream, ClassHeadcountDeclared(class_id=class_id, pupils=headcount))
        yield from self._imported(len(self._classes))

    def _hires(self, today: date) -> Iterator[_Act]:
        positions = [Position.DIRECTOR, *[Position.ADMINISTRATOR] * 2, *[Position.TEACHER] * 43, *[Position.OTHER] * 14]
        staff = [(_id(self._random, "p"), position) for position in positions]
        for person, position in staff:
            hired = StaffHired(person=person, position=position, hired_on=today - timedelta(self._random.randint(0, 9000)))
            yield _Act("roster", f"staff-{self.name}.{person}", hired)
        for (class_id, *_), (person, _) in zip(self._classes, staff[3:], strict=False):
            yield _Act("roster", f"class-{self.name}.{class_id}", ClassTeacherAssigned(class_id=class_id, person=person))
        for person, position in staff:
            yield from self._decision(person, SubjectKind.STAFF, None, today, granted=self._random.random() < 0.97)
            if position is Position.ADMINISTRATOR:
                yield _Act("roster", f"staff-{self.name}.{person}", CoordinatorAppointed(person=person), "director")
        yield from self._imported(len(staff))
        yield from self._announced(today, 4, staff[0][0])

    def _decides(self, today: date) -> Iterator[_Act]:
        guardians: dict[str, list[str]] = {}
        for pupil, guardian in self._guardians:
            guardians.setdefault(pupil, []).append(guardian)
        for pupil, class_id, number in self._pupils:
            seat = Seat(class_id=class_id, number=number, holder=SeatHolder.PUPIL)
            yield from self._decision(pupil, SubjectKind.PUPIL, seat, today, granted=self._random.random() < 0.98)
            for guardian, holder in zip(guardians.get(pupil, ()), (SeatHolder.GUARDIAN_1, SeatHolder.GUARDIAN_2), strict=False):
                seat = Seat(class_id=class_id, number=number, holder=holder)
                yield from self._decision(guardian, SubjectKind.GUARDIAN, seat, today, granted=self._random.random() < 0.98)
        yield from self._announced(today, 8, self._pupils[0][0])
        for step in (7, 9, 10, 11):
            yield _Act("plan", f"plan-{self.name}", StepAttested(step=step, evidence_sha256=None), "director")

    def _enters(self, today: date) -> Iterator[_Act]:
        guardians: dict[str, list[str]] = {}
        for pupil, guardian in self._guardians:
            guardians.setdefault(pupil, []).append(guardian)
        entered = 0
        for pupil, class_id, number in self._pupils:
            if (consent := self._consents.get(pupil)) is None:
                continue
            entered += 1
            stream = f"pupil-{self.name}.{pupil}"
            seat = Seat(class_id=class_id, number=number, holder=SeatHolder.PUPIL)
            enrolled = PupilEnrolled(person=pupil, seat=seat, consent_id=consent, legal_basis=None, enrolled_on=date(2015, 9, 1))
            yield _Act("roster", stream, enrolled)
            for guardian in guardians.get(pupil, ()):
                if (agreed := self._consents.get(guardian)) is not None:
                    yield _Act("roster", stream, _linked(pupil, guardian, agreed))
            yield _Act("roster", stream, PupilAssignedToClass(pupil=pupil, class_id=class_id))
        yield from self._imported(entered)
        yield from self._announced(today, 13, self._pupils[0][0])

    def _gives_codes(self, today: date) -> Iterator[_Act]:
        for person, kind in self._people:
            account, credential, stream = _account_of(person), _id(self._random, "k"), f"account-{person}"
            expires = today + timedelta(90)
            yield _Act("identity", stream, AccountProvisioned(account=account, person=person, kind=kind))
            issued = CredentialsIssued(credential=credential, account=account, person=person, replaces=None, expires_on=expires)
            yield _Act("identity", stream, issued)
            handed_over = CredentialsHandedOver(credential=credential, person=person, channel=Channel.PAPER, receiver=person)
            yield _Act("identity", stream, handed_over)
        yield from self._announced(today, 15, self._pupils[0][0])

    def _activates(self, today: date) -> Iterator[_Act]:
        """Some three in ten open their account on a day, and are not asked again."""
        left: list[tuple[str, SubjectKind]] = []
        for person, kind in self._people:
            if self._random.random() < 0.3:
                activated = AccountActivated(account=_account_of(person), person=person, method="temporary-password")
                yield _Act("identity", f"account-{person}", activated, "operator")
            else:
                left.append((person, kind))
        self._people = left
        yield from self._announced(today, 18, self._pupils[0][0])

    def _decision(self, person: str, kind: SubjectKind, seat: Seat | None, today: date, *, granted: bool) -> Iterator[_Act]:
        consent = _id(self._random, "c")
        event: Event
        if granted:
            self._consents[person] = consent
            self._people.append((person, kind))
            event = _granted(consent, person, kind, seat, today)
        else:
            event = ConsentRefused(consent_id=consent, supersedes=None, subject=person, subject_kind=kind, seat=seat, decided_on=today)
        yield _Act("consent", f"consents-{person}", event)

    def _imported(self, created: int) -> Iterator[_Act]:
        job = _id(self._random, "i")
        done = RosterImportCompleted(import_id=job, created=created, updated=0, unchanged=0, review=0, rejected=0)
        yield _Act("roster", f"import-{self.name}.{job}", done)

    def _announced(self, today: date, step: int, recipient: str) -> Iterator[_Act]:
        """The day's announcements, and the letters that follow from them."""
        due = today + timedelta(3)
        for event in (
            StepCompleted(step=step, revision=1, day=today),
            DeadlineApproaching(
                step=step + 1, revision=1, day=today, due=due, working_days=1, reminders="default", responsible=("administrator",)
            ),
        ):
            yield _Act("plan", f"announcements-{self.name}", event, "service:plan")
            for _ in range(3):
                message = self._random.randbytes(16).hex()
                notice = Notice(
                    kind="step-completed" if isinstance(event, StepCompleted) else "deadline-approaching",
                    step=event.step,
                    day=today,
                    due=None if isinstance(event, StepCompleted) else event.due,
                    working_days=None if isinstance(event, StepCompleted) else event.working_days,
                    cause=_id(self._random, "e"),
                )
                queued = MessageQueued(
                    message=message,
                    recipient=recipient,
                    template="daily",
                    day=today,
                    read_to=0,
                    notices=(notice,),
                    own=(),
                    classes=(),
                    overdue=(),
                )
                yield _Act("notifier", f"message-{message}", queued, "service:notifier")


@dataclass
class _Log:
    """One service's log while it is being written, a thousand events a transaction."""

    folder: Path
    service: str
    random: Random
    drafts: list[Draft] = field(default_factory=list[Draft])
    versions: dict[str, int] = field(default_factory=dict[str, int])

    def __post_init__(self) -> None:
        self.database = Database(sqlite_url(self.folder / f"{self.service}.db"), self.service)
        self.database.create()
        self.now = datetime(_START.year, _START.month, _START.day, 6, tzinfo=UTC)

    def record(self, school: str, day: date, run: list[_Act]) -> None:
        self.now = max(self.now, datetime(day.year, day.month, day.day, 6, tzinfo=UTC))
        command_id = uuid.UUID(bytes=self.random.randbytes(16), version=4).hex
        traceparent = f"00-{self.random.randbytes(16).hex()}-{self.random.randbytes(8).hex()}-01"
        for act in run:
            version = self.versions[act.stream] = self.versions.get(act.stream, 0) + 1
            actor = f"{act.actor}:{school}" if act.actor in ("administrator", "director") else act.actor
            origin = Origin(actor, command_id, command_id, principal="operator", traceparent=traceparent)
            self.drafts.append(Draft(act.event, act.stream, version, school, day, origin))
        if len(self.drafts) >= _BATCH:
            self.flush()

    def flush(self) -> None:
        self.now += timedelta(seconds=1)
        with self.database.writing() as connection:
            base = log.head(connection)
            rows, new = log.stamped(self.drafts, base, service=self.service, now=rfc3339(self.now))
            log.write(connection, rows, [], base, new)
        self.drafts.clear()

    def close(self) -> int:
        self.flush()
        with self.database.reading() as connection:
            position = log.head(connection).position
        self.database.close()
        return position


def opened_logs(folder: Path) -> Mapping[str, Database]:
    """The written logs, opened again."""
    return {service: Database(sqlite_url(folder / f"{service}.db"), service) for service in SERVICES}


def _linked(pupil: str, guardian: str, consent: str) -> GuardianLinked:
    return GuardianLinked(
        pupil=pupil, guardian=guardian, relation=Relation.MOTHER, legal_representative=True, consent_id=consent, legal_basis=None
    )


def _granted(consent: str, person: str, kind: SubjectKind, seat: Seat | None, today: date) -> ConsentGranted:
    return ConsentGranted(
        consent_id=consent,
        supersedes=None,
        subject=person,
        subject_kind=kind,
        seat=seat,
        age_band=AgeBand.UNDER_14 if kind is SubjectKind.PUPIL else AgeBand.ADULT,
        grantor=None,
        capacity=Capacity.LEGAL_REPRESENTATIVE if kind is SubjectKind.PUPIL else Capacity.SELF,
        terms=_TERMS,
        form="paper",
        evidence_sha256=None,
        signed_on=today,
        valid_from=today,
        valid_until=None,
    )


def _id(random: Random, kind: str) -> str:
    return f"{kind}-{random.randbytes(10).hex()}"


def _account_of(person: str) -> str:
    return f"a-{person[2:]}"


def _taken(queue: deque[T], most: int) -> list[T]:
    """Up to so many items, out of the queue."""
    return [queue.popleft() for _ in range(min(most, len(queue)))]
