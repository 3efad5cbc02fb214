"""Whose consent is whose: from a consent's number on paper, and from a seat, to the subject that they made known.

A decision for a seat makes the person's random id, long before anybody is entered by name. A later decision for that
seat, and the same number again, find that id. The rows here are written in the transaction of the events; a number stands in
them as a keyed digest alone, and is free again once its decision has been invalidated.
"""

from __future__ import annotations

import secrets as randomness
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

from sqlalchemy import Boolean, Column, Integer, MetaData, Table, Text, delete, select

from consent import templates
from consent.domain import CONSENTS, Decide, who_decides
from consent.erasures import ERASURES
from consent.forms import KIND_OF_HOLDER
from consent.projections import class_table, entered_in_class, guardianship_table, person_table, timezone
from contracts.consent import Capacity, ConsentWithdrawn, Decision, DecisionRecorded, SubjectKind
from contracts.roster import Seat, SeatHolder
from eventkit.access import Rows
from eventkit.among import among
from eventkit.answering import Caller
from eventkit.decider import Refused
from eventkit.erasure import forgotten
from eventkit.rehearsal import Deciding
from eventkit.service import Settings, happened_on
from eventkit.store import Conflict, Transaction

metadata = MetaData()

consent_table = Table(
    "consent",
    metadata,
    Column("consent_id", Text, primary_key=True),
    Column("school", Text, nullable=False),
    Column("subject", Text, nullable=False, index=True),
    Column("kind", Text, nullable=False),
    Column("granted", Boolean, nullable=False),
)

number_table = Table(
    "number",
    metadata,
    Column("school", Text, primary_key=True),
    Column("digest", Text, primary_key=True),
    Column("consent_id", Text, nullable=False),
)

seat_table = Table(
    "seat",
    metadata,
    Column("class_id", Text, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("holder", Text, primary_key=True),
    Column("subject", Text, nullable=False, index=True),
)

_Place = tuple[str, int, str]
_Row = tuple[str, int]
"""A line of a class's list: a pupil's seat and, beside it, those of the guardians."""


def subject_of(tx: Transaction, school: str, consent_id: str) -> str:
    """Whose consent this is. Raises Refused `consent.unknown`."""
    of_school = (consent_table.c.consent_id == consent_id) & (consent_table.c.school == school)
    for row in tx.rows(select(consent_table.c.subject).where(of_school)):
        return row.subject
    raise Refused("consent.unknown", f"There is no consent {consent_id} in this school.")


def subjects(rows: Rows, school: str, consents: Collection[str]) -> dict[str, str]:
    """Whose these consents of a school are."""
    of_school = (consent_table.c.school == school) & consent_table.c.consent_id.in_(consents)
    return {row.consent_id: row.subject for row in rows(select(consent_table).where(of_school))}


def people_of_class(rows: Rows, school: str, class_id: str, people: Collection[str]) -> set[str]:
    """Those of the people who belong to a class: by name or, until they are entered, by the seat that somebody decided for."""
    entered = select(person_table.c.person).where(person_table.c.school == school)
    seated = select(seat_table.c.subject.label("person")).where(
        seat_table.c.class_id == class_id, seat_table.c.subject.in_(people), seat_table.c.subject.not_in(entered)
    )
    return {row.person for row in [*rows(entered_in_class(class_id, people)), *rows(seated)]}


def release_number(tx: Transaction, school: str, consent_id: str) -> None:
    """The number of a decision that never was valid: whoever brings it again brings a paper of which nothing is known."""
    tx.write(delete(number_table).where(number_table.c.school == school, number_table.c.consent_id == consent_id))


def release_seats(tx: Transaction, subject: str) -> None:
    """The seats of somebody of whom nothing was ever validly decided: whoever is decided on there next is somebody else.

    Beside a pupil's the guardians' are free as well, also where one is held by the guardian of a brother or sister who stays: the next
    child's family is another one. What that guardian has decided stays, and so do the guardian's other seats.
    """
    seat = seat_table.c
    for row in tx.rows(select(seat_table).where(seat.subject == subject, seat.holder == SeatHolder.PUPIL)):
        tx.write(delete(seat_table).where(seat.class_id == row.class_id, seat.number == row.number))
    tx.write(delete(seat_table).where(seat.subject == subject))


@dataclass(frozen=True, slots=True)
class _Known:
    consent_id: str
    subject: str
    kind: SubjectKind
    granted: bool


class Registry:
    """What is known of the numbers, seats and people in a list of decisions: read at once, and added to as they are recorded.

    Raises Refused `school.unknown`. `write` keeps what was added.
    """

    def __init__(self, tx: Deciding, settings: Settings, caller: Caller, school: str, decisions: Sequence[Decision]) -> None:
        self._tx = tx
        self._secrets = settings.secrets
        self._co_signature_age = settings.co_signature_age
        self._school = school
        self._zone = timezone(tx.rows, school)
        self._caller = caller
        self._added: dict[Table, list[dict[str, Any]]] = {consent_table: [], number_table: [], seat_table: []}
        self._digests: dict[str | None, str | None] = {}
        self._new_ids = _random_ids(2 * len(decisions))  # of subjects and consents
        numbers = [digest for decision in decisions if (digest := self._digest(decision.number)) is not None]
        seats = [decision.seat for decision in decisions if decision.seat is not None]
        people = {decision.person for decision in decisions if decision.person is not None}
        self._numbers = self._read_numbers(numbers) if numbers else {}
        self.known_before = frozenset(known.consent_id for known in self._numbers.values())
        self._subjects = self._read_seats(seats) if seats else {}
        self._classes = self._read_classes({seat.class_id for seat in seats}) if seats else set[str]()
        self._people = self._read_people(people) if people else set[tuple[str, SubjectKind]]()
        self._places, self._represented = self._read_representatives(decisions)

    def record(self, decision: Decision, act_on: date | None, *, as_named: bool = False) -> DecisionRecorded:
        """Records one decision, taken on its own day or else the act's. Raises Refused; then nothing of it is kept.

        A number that is known is answered with the decision that it has, whoever is named with it. `as_named`: only where that is the same
        person, or a guardian, who may sit beside several children.
        """
        if (decision.seat is None) == (decision.person is None):
            raise Refused("decision.subject-unclear", "Say whose decision it is: either a seat or a person, not both.")
        return self.judge(decision, act_on, as_named=as_named)

    def judge(self, decision: Decision, act_on: date | None, *, as_named: bool = False) -> DecisionRecorded:
        """As `record`, also of somebody new whose seat is not known yet."""
        self._check(decision)
        day = happened_on(decision.decided_on or act_on, self._tx.now, timezone=self._zone)
        digest = self._digest(decision.number)
        if digest is not None and (known := self._numbers.get(digest)) is not None:
            if as_named and known.kind is not SubjectKind.GUARDIAN and self._known_subject(decision) != known.subject:
                raise Refused(
                    "consent.number-taken",
                    "This number stands for somebody else's decision. Give each paper a number of its own.",
                    "If it is the same person's paper, and only the seat is another one by now, name the person.",
                )
            return self._repeat(decision, known)
        subject = self._known_subject(decision)
        if subject is None:
            subject = f"p-{next(self._new_ids)}"
            self._tx.begin(CONSENTS, subject)
        elif self._tx.state(ERASURES, subject).is_under_way:  # also where the seat is one that was taken along
            raise forgotten(subject)
        consent_id = f"c-{next(self._new_ids)}"
        _, capacity = who_decides(decision)
        if capacity is Capacity.LEGAL_REPRESENTATIVE:
            self._check_representative(decision, subject)
        terms = (
            templates.in_force(decision.subject_kind, capacity, day, name=decision.template, version=decision.template_version).terms
            if decision.granted
            else None
        )
        command = Decide(consent_id, subject, decision, day, terms, self._co_signature_age, self._withdrawn_on(subject))
        events = self._tx.decide(CONSENTS, subject, command, school=self._school, happened_on=day)
        if not events:
            consent_id = self._tx.state(CONSENTS, subject)[-1].decided.consent_id
        self._keep(decision, _Known(consent_id, subject, decision.subject_kind, decision.granted), digest, new=bool(events))
        return DecisionRecorded(consent_id=consent_id, subject=subject, state=_state(decision), recorded_before=not events)

    def write(self, tx: Transaction) -> None:
        for table, rows in self._added.items():
            if rows:
                tx.insert(table, rows)

    # ---- one decision -------------------------------------------------------------------------------------------------

    def _check(self, decision: Decision) -> None:
        """Whether it says clearly whose decision it is, about somebody there is, and in the caller's reach."""
        self._caller.check_reach(*_named(decision))
        if decision.seat is not None:
            if decision.seat.class_id not in self._classes:
                raise Refused("class.unknown", f"There is no class {decision.seat.class_id} in this school.")
            if decision.subject_kind is not (kind := KIND_OF_HOLDER[decision.seat.holder]):
                text = f"Who has the seat of a {decision.seat.holder} decides as {kind}, not {decision.subject_kind}: name the right seat."
                raise Refused("seat.other-kind", text)
        elif decision.person is not None and (decision.person, decision.subject_kind) not in self._people:
            raise Refused("person.unknown", f"There is no {decision.subject_kind} {decision.person} in this school.")

    def _check_representative(self, decision: Decision, subject: str) -> None:
        """Who signed for a pupil is linked with the pupil as a legal representative, or sits beside on a guardian's seat; for anybody
        else a document speaks."""
        grantor = decision.grantor
        if grantor is None or grantor == subject or decision.authority is not None or (grantor, subject) in self._represented:
            return
        places = self._places.get(subject, set[_Row]()) | ({_row(decision.seat)} if decision.seat is not None else set[_Row]())
        if not places & self._places.get(grantor, set[_Row]()):
            text = f"{grantor} is not known as a legal representative of this pupil. Link the guardian, or name the document of authority."
            raise Refused("consent.wrong-grantor", text)

    def _repeat(self, decision: Decision, known: _Known) -> DecisionRecorded:
        """The same paper again, whatever seat or person is named with it, e.g. a guardian's for a second child: nothing is recorded."""
        if (known.kind, known.granted) != (decision.subject_kind, decision.granted):
            raise Refused("consent.number-taken", "This number stands for another decision. Give each paper a number of its own.")
        if decision.seat is not None and known.kind is SubjectKind.GUARDIAN and _place(decision.seat) not in self._subjects:
            self._sit(decision.seat, known.subject)
        return DecisionRecorded(consent_id=known.consent_id, subject=known.subject, state=_state(decision), recorded_before=True)

    def _withdrawn_on(self, subject: str) -> date | None:
        """The last day on which a consent of somebody's was taken back. Events hold it in their envelopes alone, so of those few who have
        taken something back the record is read.

        Raises Conflict where that happened a moment ago and is not in the record yet.
        """
        withdrawn = {one.decided.consent_id for one in self._tx.state(CONSENTS, subject) if one.state == "withdrawn"}
        if not withdrawn:
            return None
        told = [(recorded.event(), date.fromisoformat(recorded.happenedon)) for recorded in self._tx.told(CONSENTS, subject)]
        days = {event.consent_id: day for event, day in told if isinstance(event, ConsentWithdrawn)}
        if not withdrawn <= days.keys():
            raise Conflict(f"{CONSENTS.stream(subject)} has just been written to")
        return max(days[consent_id] for consent_id in withdrawn)

    def _known_subject(self, decision: Decision) -> str | None:
        """Whose decision it is; None for a seat of which nobody has decided yet."""
        if decision.person is not None:
            return decision.person
        return self._subjects.get(_place(decision.seat)) if decision.seat else None

    def _keep(self, decision: Decision, known: _Known, digest: str | None, *, new: bool) -> None:
        if new:
            self._added[consent_table].append(
                {
                    "consent_id": known.consent_id,
                    "school": self._school,
                    "subject": known.subject,
                    "kind": known.kind,
                    "granted": known.granted,
                }
            )
        if digest is not None:
            self._numbers[digest] = known
            self._added[number_table].append({"school": self._school, "digest": digest, "consent_id": known.consent_id})
        if decision.seat is not None and _place(decision.seat) not in self._subjects:
            self._sit(decision.seat, known.subject)

    def _sit(self, seat: Seat, subject: str) -> None:
        self._subjects[_place(seat)] = subject
        self._places.setdefault(subject, set()).add(_row(seat))
        self._added[seat_table].append({"class_id": seat.class_id, "number": seat.number, "holder": seat.holder, "subject": subject})

    def _digest(self, number: str | None) -> str | None:
        """The keyed digest under which a number is kept, the same number in another school being another one."""
        if number not in self._digests:
            written = (number or "").strip()
            self._digests[number] = self._secrets.mac("consent-number", f"{self._school}:{written}".encode()) if written else None
        return self._digests[number]

    # ---- what is known before -----------------------------------------------------------------------------------------

    def _read_numbers(self, digests: Sequence[str]) -> dict[str, _Known]:
        found = self._tx.rows(
            select(number_table.c.digest, consent_table)
            .join(consent_table, consent_table.c.consent_id == number_table.c.consent_id)
            .where(number_table.c.school == self._school, among(number_table.c.digest, digests))
        )
        return {row.digest: _Known(row.consent_id, row.subject, SubjectKind(row.kind), row.granted) for row in found}

    def _read_seats(self, seats: Sequence[Seat]) -> dict[_Place, str]:
        wanted = {_place(seat) for seat in seats}
        # Of the same classes and numbers: hardly more than those, and so quicker than to name each place.
        classes, numbers = {class_id for class_id, _, _ in wanted}, {number for _, number, _ in wanted}
        near = among(seat_table.c.class_id, classes) & among(seat_table.c.number, numbers)
        found = {(row.class_id, row.number, row.holder): row.subject for row in self._tx.rows(select(seat_table).where(near))}
        return {place: found[place] for place in wanted & found.keys()}

    def _read_classes(self, classes: set[str]) -> set[str]:
        found = self._tx.rows(
            select(class_table.c.class_id).where(class_table.c.school == self._school, class_table.c.class_id.in_(classes))
        )
        return {row.class_id for row in found}

    def _read_people(self, people: set[str]) -> set[tuple[str, SubjectKind]]:
        entered = select(person_table.c.person, person_table.c.kind).where(
            person_table.c.school == self._school, person_table.c.person.in_(people)
        )
        decided = select(consent_table.c.subject, consent_table.c.kind).where(
            consent_table.c.school == self._school, consent_table.c.subject.in_(people)
        )
        return {(row.person, SubjectKind(row.kind)) for row in self._tx.rows(entered.union(decided))}

    def _read_representatives(self, decisions: Sequence[Decision]) -> tuple[dict[str, set[_Row]], set[tuple[str, str]]]:
        """Where those who signed for pupils and the pupils themselves sit, and whom the former are linked with."""
        grantors = {decision.grantor for decision in decisions if decision.grantor is not None}
        if not grantors:
            return {}, set()
        places: dict[str, set[_Row]] = {}
        people = grantors | {decision.person for decision in decisions if decision.person is not None} | {*self._subjects.values()}
        for row in self._tx.rows(select(seat_table).where(seat_table.c.subject.in_(people))):
            places.setdefault(row.subject, set()).add((row.class_id, row.number))
        link = guardianship_table.c
        linked = self._tx.rows(select(link.guardian, link.pupil).where(link.guardian.in_(grantors), link.legal_representative))
        return places, {(row.guardian, row.pupil) for row in linked}


def _named(decision: Decision) -> list[str]:
    """Whom the decision is about, and of which class."""
    return [one for one in (decision.person, decision.seat and decision.seat.class_id) if one is not None]


def _place(seat: Seat) -> _Place:
    return seat.class_id, seat.number, seat.holder


def _row(seat: Seat) -> _Row:
    return seat.class_id, seat.number


def _state(decision: Decision) -> Literal["granted", "refused"]:
    return "granted" if decision.granted else "refused"


def _random_ids(count: int) -> Iterator[str]:
    """So many times 20 hex digits, drawn together: each drawing asks the system."""
    drawn = randomness.token_hex(10 * count)
    return (drawn[first : first + 20] for first in range(0, len(drawn), 20))
