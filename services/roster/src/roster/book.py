"""A school's book: what is known of a school's people and classes, and what one act decides and changes of them.

`Pages` only reads; a `Book` is open for one act on one day, inside a command's transaction. Rows are read with as many
others as were announced, and written together at the end: so an act on one pupil and a part of an import that enters
fifty are the same code.
"""

from __future__ import annotations

import re
import secrets as randomness
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import date
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, delete, func, insert, select

from contracts.call import AnnulEntry
from contracts.consent import SubjectKind
from contracts.event import AnnulmentReason, Event
from contracts.roster import EntryAnnulled, PersonDetailsChanged, Seat, SeatHolder
from eventkit.among import among
from eventkit.annulment import Annulling
from eventkit.decider import Decider, Refused
from eventkit.erasure import forgotten
from eventkit.event import Recorded, decode, standing
from eventkit.log import log_table
from eventkit.secrets import Secrets
from eventkit.service import happened_on
from eventkit.store import Transaction
from roster.domain.basis import Consent
from roster.domain.check import CHECK, Lapse
from roster.domain.facts import DETAILS, Change
from roster.domain.school import SCHOOL
from roster.files import ExportId, IdKind
from roster.files.words import folded
from roster.keys import Keys
from roster.projections import consent_of, consent_table
from roster.revisions import Touched, class_of_pupil
from roster.sheet import Rows, Sheet
from roster.tables import (
    class_table,
    export_id_table,
    external_id_table,
    guardianship_table,
    issue_table,
    likeness_table,
    number_table,
    person_table,
    reference_list_table,
    seat_table,
    timetable_table,
)
from roster.vault import Details, Sealed, Vault, vault_table

C = TypeVar("C")
S = TypeVar("S")

ClassName = tuple[str, int, str]
"""Academic year, grade and letter."""

LAST_SEAT = 99

EXTERNAL_ID = "external_id"
"""The field of the vault that says under which id imports find the person: an export has to tell it, and digests do not."""

LIKENESS = "name-"
"""What a likeness begins with, behind all hex digits; one that begins otherwise was made with the patronymic (likenesses.py)."""

_OWN_ID = re.compile("p-[0-9a-f]{20}")
_OF_IMPORT = re.compile(r"i-[0-9a-f]{20}\.")  # what the names of an import's commands begin with


def new_id(letter: str) -> str:
    """A random id, e.g. `p-` and 20 hex digits: it tells nothing of whom it stands for."""
    return f"{letter}-{randomness.token_hex(10)}"


def same_name(one: Details, other: Details) -> bool:
    """Whether two people have the same last and first name; ё equals е, for comparing only (DOMAIN 4)."""
    return all(folded(one.get(field, "")) == folded(other.get(field, "")) for field in ("last_name", "first_name"))


def may_be_one(one: Details, other: Details) -> bool:
    """Whether the patronymics of two people of one likeness let them be the same person: equal, or left out of either."""
    patronymics = {folded(details.get("patronymic", "")) for details in (one, other)} - {""}
    return len(patronymics) < 2


class Digests:
    """The keyed digests under which a school's personal data are found again without being kept."""

    def __init__(self, secrets: Secrets, school: str) -> None:
        self._secrets = secrets
        self._school = school
        self._made: dict[tuple[str, str], str] = {}

    def external_id(self, kind: SubjectKind, external_id: str) -> str:
        return self._digest("external-id", f"{kind}/{external_id}")

    def export_id(self, kind: str, external_id: str) -> str:
        return self._digest("export-id", f"{kind}/{external_id}")

    def consent_number(self, number: str) -> str:
        return self._digest("imported-consent-number", number)

    def likeness(self, details: Details) -> str | None:
        """Of last and first name and birth date; None for who has none. A patronymic is left out in one file and told in the next."""
        if "birth_date" not in details:
            return None
        name = "/".join(folded(details.get(field, "")) for field in ("last_name", "first_name"))
        return LIKENESS + self._digest("likeness", f"{name}/{details['birth_date']}")

    def _digest(self, purpose: str, text: str) -> str:
        made = self._made.get((purpose, text))
        if made is None:
            made = self._made[purpose, text] = self._secrets.mac(purpose, f"{self._school}/{text}".encode())
        return made


@dataclass
class Trail:
    """What one act has decided on and changed, so that an import of many acts can be rolled back.

    `streams` are kind and id, e.g. of a pupil; `entered` are people who were not there before; `before` are the details, as they were, of
    those whose details have changed; `numbers` are the digests, by person, of consent numbers that were new.
    """

    streams: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    entered: set[str] = field(default_factory=set[str])
    before: dict[str, Details] = field(default_factory=dict[str, Details])
    numbers: dict[str, list[str]] = field(default_factory=dict[str, list[str]])


class Pages:
    """What is known of one school. Each row is read once."""

    def __init__(self, rows: Rows, school: str, vault: Vault, keys: Keys, digests: Digests) -> None:
        self.school = school
        self.people = Sheet(rows, person_table)
        self.classes = Sheet(rows, class_table)
        self.guardianships = Sheet(rows, guardianship_table)
        self.lists = Sheet(rows, reference_list_table)
        self.timetables = Sheet(rows, timetable_table)
        self.issues = Sheet(rows, issue_table)
        self._rows = rows
        self._vault = vault
        self._keys = keys
        self._digests = digests
        self._sealed = Sheet(rows, vault_table)
        self._key_of: dict[str, bytes | None] = {}
        self._external_ids = Sheet(rows, external_id_table)
        self._likenesses = Sheet(rows, likeness_table)
        self._seats = Sheet(rows, seat_table)
        self._numbers = Sheet(rows, number_table)
        self._consents: dict[str, Consent | None] = {}
        self._of_subject: dict[str, list[Consent]] = {}
        self._decided_numbers: dict[str, set[int]] = {}
        self._granted_numbers: dict[str, set[int]] = {}
        self._class_ids: dict[ClassName, str] | None = None
        self._closed: set[ClassName] | None = None

    # ---- people -------------------------------------------------------------------------------------------------------

    def expect_people(self, people: Iterable[str]) -> None:
        """Announces of whom anything will be asked."""
        people = list(people)
        self.people.expect(people)
        self.expect_details(people)
        self.guardianships.expect(people)
        self._expect_subjects(people)

    def expect_details(self, people: Iterable[str]) -> None:
        """Announces whose details alone will be asked for."""
        people = list(people)
        self._sealed.expect(people)
        kept = {person for person in people if self._sealed.get(person) is not None}
        self._expect_keys(kept)
        self._key_of |= dict.fromkeys(person for person in people if person not in kept)

    def expect_external_ids(self, kind: SubjectKind, external_ids: Iterable[str]) -> None:
        external_ids = list(external_ids)
        self._external_ids.expect(self._digests.external_id(kind, external_id) for external_id in external_ids)
        self.people.expect(external_id for external_id in external_ids if _OWN_ID.fullmatch(external_id))

    def person(self, person: str, kind: SubjectKind) -> Mapping[str, Any] | None:
        """The row of somebody who was ever entered in this school as this kind."""
        row = self.people.get(person)
        return row if row is not None and (row["school"], row["kind"]) == (self.school, kind) else None

    def by_external_id(self, kind: SubjectKind, external_id: str | None) -> str | None:
        """Who has this external id. Under the own id, as exports give it for who has no other, everybody is found, too."""
        if external_id is None:
            return None
        row = self._external_ids.get(self._digests.external_id(kind, external_id))
        if row is not None:
            return row["person"]
        return external_id if _OWN_ID.fullmatch(external_id) and self.person(external_id, kind) is not None else None

    def likeness(self, details: Details) -> str | None:
        """What a pupil has in common with who has the same last and first name and birth date, and with nobody else."""
        return self._digests.likeness(details)

    def expect_alike(self, likenesses: Iterable[str | None]) -> None:
        self._likenesses.expect(likeness for likeness in likenesses if likeness is not None)

    def alike(self, details: Details) -> list[str]:
        """The pupils who may be the one of these details: of the same likeness, and of no other patronymic."""
        likeness = self.likeness(details)
        people = [] if likeness is None else [row["person"] for row in self._likenesses.all(likeness)]
        return [person for person in people if may_be_one(self.details(person) or {}, details)]

    def details(self, person: str) -> dict[str, str] | None:
        """What the vault holds of a person. Raises vault.Damaged."""
        found = self._found(person)
        return None if found is None else self._vault.open(person, found)

    def by_hand(self, person: str) -> set[str]:
        """The fields of a person's details that somebody has changed since an import said anything of them."""
        of_person = log_table.c.stream == DETAILS.stream(f"{self.school}.{person}")
        told = self._rows(select(log_table.c.bytes).where(of_person).order_by(log_table.c.version))
        by_hand: set[str] = set()
        for recorded in standing(decode(row.bytes) for row in told):
            event = recorded.event()
            if isinstance(event, PersonDetailsChanged):
                by_import = _OF_IMPORT.match(recorded.commandid) is not None
                by_hand = by_hand.difference(event.fields) if by_import else by_hand.union(event.fields)
        return by_hand

    def is_erased(self, person: str) -> bool:
        """Whether a person's data were destroyed."""
        row = self.people.get(person)
        return row is not None and bool(row["erased"])

    def _found(self, person: str) -> Sealed | None:
        """What the vault holds of a person; what lacks its key is as good as nothing."""
        if (row := self._sealed.get(person)) is None:
            return None
        self._expect_keys((person,))
        key = self._key_of[person]
        return None if key is None else Sealed(key, row["sealed"])

    def _expect_keys(self, people: Iterable[str]) -> None:
        missing = [person for person in dict.fromkeys(people) if person not in self._key_of]
        if missing:
            self._key_of |= {**dict.fromkeys(missing), **self._keys.of(missing)}

    def guardians(self, pupil: str) -> list[str]:
        """Who is linked with a pupil now."""
        return [row["guardian"] for row in self.guardianships.all(pupil) if row["linked"]]

    def export_ids(self) -> Callable[[IdKind, str], str | None]:
        """What the ids of the school's OneRoster exports stand for; the answer is asked without a look at the database."""
        rows = self._rows(select(export_id_table).where(export_id_table.c.school == self.school))
        known = {row.digest: row.stands_for for row in rows}
        return lambda kind, external_id: known.get(self._digests.export_id(kind, external_id))

    def had_an_export(self) -> bool:
        """Whether a OneRoster export of this school was imported."""
        return bool(self._rows(select(export_id_table.c.digest).where(export_id_table.c.school == self.school).limit(1)))

    def pupils_with(self, guardian: str) -> list[str]:
        """The pupils who are here and with whom somebody is linked."""
        link, pupil = guardianship_table.c, person_table.c
        wanted = select(link.pupil).join(person_table, pupil.person == link.pupil)
        here = (link.school == self.school) & (link.guardian == guardian) & link.linked & pupil.active
        return [row.pupil for row in self._rows(wanted.where(here).order_by(link.pupil))]

    # ---- consents -----------------------------------------------------------------------------------------------------

    def expect_consents(self, consent_ids: Iterable[str]) -> None:
        missing = [consent_id for consent_id in dict.fromkeys(consent_ids) if consent_id not in self._consents]
        if missing:
            self._consents |= dict.fromkeys(missing)
            self._read_consents(among(consent_table.c.consent_id, missing))

    def consent(self, consent_id: str) -> Consent | None:
        """A decision of this school that roster has heard of."""
        self.expect_consents((consent_id,))
        return self._consents[consent_id]

    def decisions(self, person: str) -> Sequence[Consent]:
        """Every decision on a person's data, those that stand no longer too."""
        self._expect_subjects((person,))
        return self._of_subject[person]

    def granted(self, person: str) -> Consent | None:
        """The consent of a person that holds, if there is one."""
        return next((consent for consent in self.decisions(person) if consent.state == "granted"), None)

    def expect_numbers(self, numbers: Iterable[str]) -> None:
        self._numbers.expect(self._digests.consent_number(number) for number in numbers)

    def is_recorded(self, number: str) -> bool:
        """Whether an import has recorded the consent of this number, and entered whom it is of."""
        return self._numbers.get(self._digests.consent_number(number)) is not None

    def _expect_subjects(self, people: Iterable[str]) -> None:
        missing = [person for person in dict.fromkeys(people) if person not in self._of_subject]
        if missing:
            self._of_subject |= {person: [] for person in missing}
            for consent in self._read_consents(among(consent_table.c.subject, missing)):
                self._of_subject[consent.subject].append(consent)

    def _read_consents(self, condition: ColumnElement[bool]) -> list[Consent]:
        found = self._rows(select(consent_table).where(consent_table.c.school == self.school, condition))
        consents = [consent_of(row) for row in found]
        self._consents |= {consent.consent_id: consent for consent in consents}
        return consents

    # ---- classes and their lists --------------------------------------------------------------------------------------

    def class_ids(self) -> Mapping[ClassName, str]:
        """The open classes by name."""
        if self._class_ids is None:
            rows = self._rows(select(class_table).where(class_table.c.school == self.school, class_table.c.closed.is_(False)))
            self._class_ids = {(row.academic_year, row.grade, row.letter): row.class_id for row in rows}
        return self._class_ids

    def closed_classes(self) -> Set[ClassName]:
        """The names of the closed classes; an open one may bear such a name again."""
        if self._closed is None:
            rows = self._rows(select(class_table).where(class_table.c.school == self.school, class_table.c.closed))
            self._closed = {(row.academic_year, row.grade, row.letter) for row in rows}
        return self._closed

    def pupils_of(self, class_id: str) -> list[str]:
        """The pupils of a class in the order of their numbers. Their rows are read at once."""
        pupil = person_table.c
        wanted = select(pupil.person).where(pupil.school == self.school, pupil.kind == SubjectKind.PUPIL, pupil.active)
        found = self._rows(wanted.where(class_of_pupil() == class_id).order_by(pupil.seat_number, pupil.person))
        people = [row.person for row in found]
        self.people.expect(people)
        return people

    def active(self, kind: SubjectKind) -> list[str]:
        """The people of a kind who are here."""
        one = person_table.c
        wanted = select(one.person).where(one.school == self.school, one.kind == kind, one.active)
        return [row.person for row in self._rows(wanted.order_by(one.person))]

    def open_classes(self, academic_year: str) -> int:
        return sum(year == academic_year for year, _, _ in self.class_ids())

    def pupils_left_in(self, academic_year: str) -> int:
        """How many pupils are in classes of a year, open ones and closed ones."""
        pupil, one = person_table.c, class_table.c
        counted = select(func.count()).select_from(person_table).join(class_table, one.class_id == class_of_pupil())
        here = (pupil.school == self.school) & (pupil.kind == SubjectKind.PUPIL) & pupil.active
        return int(self._rows(counted.where(here, one.academic_year == academic_year))[0][0])

    def expect_lists(self, classes: Iterable[str]) -> None:
        """Announces on which classes' lists seats will be asked for."""
        missing = [class_id for class_id in dict.fromkeys(classes) if class_id not in self._decided_numbers]
        if not missing:
            return
        self._seats.expect(missing)
        self._granted_numbers |= {class_id: set() for class_id in missing}
        self._decided_numbers |= {class_id: set() for class_id in missing}
        seat = consent_table.c
        wanted = select(seat.class_id, seat.seat_number, seat.state).where(
            seat.school == self.school,
            seat.class_id.in_(missing),
            seat.seat_holder == SeatHolder.PUPIL,
            seat.state != "invalidated",  # then nobody has decided
        )
        for row in self._rows(wanted):
            self._decided_numbers[row.class_id].add(row.seat_number)
            if row.state == "granted":
                self._granted_numbers[row.class_id].add(row.seat_number)

    def taken_numbers(self, class_id: str) -> set[int]:
        """The numbers of a class's list that are a pupil's, or on which somebody has decided."""
        self.expect_lists((class_id,))
        return {row["number"] for row in self._seats.all(class_id)} | self._decided_numbers[class_id]

    def promised_numbers(self, class_id: str) -> set[int]:
        """The numbers on which a consent was granted and nobody is entered yet."""
        self.expect_lists((class_id,))
        return self._granted_numbers[class_id] - {row["number"] for row in self._seats.all(class_id)}

    def seat_for(self, class_id: str, person: str, decided: Seat | None, preferred: int | None = None) -> Seat:
        """A pupil's seat on a class's list: the one held before, else the one decided on, else the preferred or next free one.

        Raises Refused `class.full` where the list has no free seat any more.
        """
        held = next((row["number"] for row in self._seats.all(class_id) if row["person"] == person), None)
        number = held or self._decided_number(class_id, decided) or self._free_number(class_id, preferred)
        return Seat(class_id=class_id, number=number, holder=SeatHolder.PUPIL)

    def _decided_number(self, class_id: str, decided: Seat | None) -> int | None:
        if decided is None or (decided.class_id, decided.holder) != (class_id, SeatHolder.PUPIL):
            return None
        return decided.number if self._seats.get(class_id, decided.number) is None else None

    def _free_number(self, class_id: str, preferred: int | None) -> int:
        taken = self.taken_numbers(class_id)
        if preferred is not None and preferred not in taken:
            return preferred
        for number in range(1, LAST_SEAT + 1):
            if number not in taken:
                return number
        raise Refused("class.full", f"The list of {class_id} has no free seat up to {LAST_SEAT}. Name another class.")


class Book(Pages):
    """One school's book, open for one act on one day. Its events are the transaction's at once, its rows with `write`."""

    def __init__(self, tx: Transaction, school: str, day: date, vault: Vault, keys: Keys, digests: Digests) -> None:
        super().__init__(tx.rows, school, vault, keys, digests)
        self._new_keys: dict[str, bytes] = {}
        self._to_seal: dict[str, Details] = {}
        self.day = day
        self.touched = Touched()
        self.trail = Trail()
        self._tx = tx

    def write(self) -> None:
        self._seal()
        self._keep_keys()
        for sheet in (self.people, self.classes, self.guardianships, self.lists, self.timetables, self.issues, self._sealed):
            sheet.write(self._tx)
        for sheet in (self._external_ids, self._likenesses, self._seats, self._numbers):
            sheet.write(self._tx)
        self.touched.raise_revisions(self._tx, lambda class_id, revision: self.decide(CHECK, class_id, Lapse(class_id, revision)))

    def details(self, person: str) -> dict[str, str] | None:
        to_seal = self._to_seal.get(person)
        return super().details(person) if to_seal is None else dict(to_seal)

    def _seal(self) -> None:
        """Seals, once, the details that have changed."""
        for person, details in self._to_seal.items():
            before = self._found(person)
            sealed = self._vault.seal(person, details, before)
            if before is None:
                self._key_of[person] = self._new_keys[person] = sealed.key
            self._sealed.put(person=person, sealed=sealed.sealed)
        self._to_seal.clear()

    def _keep_keys(self) -> None:
        """Keeps the new keys before anything is committed that they open. Whoever had one already is sealed under that."""
        if not self._new_keys:
            return
        for person, key in self._keys.keep(self._new_keys).items():
            row = self._sealed.get(person)
            if key != self._new_keys[person] and row is not None:
                details = self._vault.open(person, Sealed(self._new_keys[person], row["sealed"]))
                self._sealed.put(person=person, sealed=self._vault.seal(person, details, Sealed(key, b"")).sealed)
                self._key_of[person] = key
        self._new_keys.clear()

    def state(self, decider: Decider[Any, S], identifier: str) -> S:
        return self._tx.state(decider, self._stream_id(identifier))

    def decide(self, decider: Decider[C, S], identifier: str, command: C) -> Sequence[Event]:
        events = self._tx.decide(decider, self._stream_id(identifier), command, school=self.school, happened_on=self.day)
        for event in events:
            self.touched.by(event)
        if events:
            self.trail.streams.add((decider.name, identifier))
        return events

    def annul(self, annulling: Annulling, request: AnnulEntry) -> Event | None:
        """Annuls an entry and answers the event that never was true; None where it was annulled before."""
        found = annulling.carry_out(request, self._tx)
        if found is None:
            return None
        event = found.event()
        self.touched.by(event)
        return event

    def told(self, decider: Decider[Any, Any], identifier: str) -> list[Recorded]:
        """What stands of a stream."""
        return self._tx.told(decider, self._stream_id(identifier))

    def take_back(self, decider: Decider[Any, Any], identifier: str, wrong: Callable[[Recorded], bool]) -> list[Event]:
        """Annuls what an import had wrongly entered of a stream and answers it. Raises Refused `entry.rested-on`."""
        reason = AnnulmentReason.IMPORT_ROLLED_BACK
        found = self._tx.take_back(decider, self._stream_id(identifier), wrong, EntryAnnulled, reason)
        events = [recorded.event() for recorded in found]
        for event in events:
            self.touched.by(event)
        return events

    def _stream_id(self, identifier: str) -> str:
        # The school is part of it, so that an id of another school's is simply not there. Without an id it is the school's own.
        return f"{self.school}.{identifier}" if identifier else self.school

    def enter(self, person: str, kind: SubjectKind, details: Details) -> None:
        """Makes the rows of somebody new; lets in again who had left. Raises Refused `person.erased`."""
        if self.person(person, kind) is not None:
            self.people.put(person=person, active=True)
            self.change_details(person, details)
            return
        self.trail.entered.add(person)
        self.people.put(person=person, school=self.school, kind=kind, active=True, erased=False)
        self._seal_first(person, kind, details)

    def bind(self, person: str, kind: SubjectKind, external_id: str | None) -> None:
        """Finds the person under this external id from now on."""
        if external_id is not None and self.by_external_id(kind, external_id) is None:
            self._external_ids.put(digest=self._digests.external_id(kind, external_id), person=person)
            details = self.details(person)
            if details is not None:
                self._to_seal[person] = {**details, EXTERNAL_ID: external_id}

    def know_as(self, person: str, kind: SubjectKind, external_id: str) -> None:
        """Finds somebody, who may have another external id, under this one too; an export tells the newer one.

        Raises Refused `external-id.taken` where it is somebody else's.
        """
        known = self.by_external_id(kind, external_id)
        if known not in (None, person):
            raise Refused("external-id.taken", f"This external id is that of {known}. Correct it in the file, and import that.")
        if known is None:
            self._external_ids.put(digest=self._digests.external_id(kind, external_id), person=person)
            self.change_details(person, {EXTERNAL_ID: external_id})

    def change_details(self, person: str, details: Details) -> tuple[str, ...]:
        """Merges details into the vault, records which fields differ and answers them; what is blank leaves the value."""
        self.require_kept(person)
        row, old = self._sealed.get(person), self.details(person)
        if row is None or old is None:
            return self._enter_again(person, details)
        fields = changed_fields(old, details)
        if fields:
            new = {**old, **details}
            self.trail.before.setdefault(person, old)
            self._to_seal[person] = new
            self._remember_likeness(person, row["kind"], new)
            self.decide(DETAILS, person, Change(person, fields))
        return fields

    def _enter_again(self, person: str, details: Details) -> tuple[str, ...]:
        """Seals the details of somebody whom the record knows and of whom the vault was lost: all of them have changed."""
        row = self.people.get(person)
        if row is None:
            raise Refused("person.unknown", f"There is no {person} in this school.")
        self._seal_first(person, row["kind"], details)
        fields = tuple(details)
        self.decide(DETAILS, person, Change(person, fields))
        return fields

    def _seal_first(self, person: str, kind: str, details: Details) -> None:
        self._sealed.put(person=person, school=self.school, kind=kind)
        self._to_seal[person] = details
        self._remember_likeness(person, kind, details)

    def keep_export_ids(self, ids: Iterable[ExportId]) -> None:
        """Remembers what the ids of an export stand for; a class by its name, if there is one of it."""
        for one in ids:
            stands_for = one.stands_for if one.kind != "class" else self.class_ids().get(_class_name(one.stands_for))
            if stands_for is None:
                continue
            digest = self._digests.export_id(one.kind, one.external_id)
            here = (export_id_table.c.school == self.school) & (export_id_table.c.digest == digest)
            self._tx.write(delete(export_id_table).where(here))
            self._tx.write(insert(export_id_table), {"school": self.school, "digest": digest, "stands_for": stands_for})

    def put_back(self, person: str, details: Details) -> None:
        """Has the vault hold of a person what it held before."""
        row, before = self._sealed.get(person), self.details(person)
        if row is None or before is None:
            return
        self._forget_likeness(person, before)
        if EXTERNAL_ID in before and before[EXTERNAL_ID] != details.get(EXTERNAL_ID):
            self._external_ids.drop(self._digests.external_id(SubjectKind(row["kind"]), before[EXTERNAL_ID]))
        self._to_seal[person] = details
        self._remember_likeness(person, row["kind"], details)

    def forget(self, person: str) -> None:
        """Destroys the rows of somebody who never was here: details, external ids, the seat. The key goes once that is committed."""
        row = self.people.get(person)
        if row is not None and row["seat_number"] is not None:
            self._seats.drop(row["listed_in"], row["seat_number"])
        self._forget_likeness(person, self.details(person) or {})
        for link in self.guardianships.all(person):
            self.guardianships.drop(person, link["guardian"])
        self._sealed.drop(person)
        self._to_seal.pop(person, None)
        self.people.drop(person)
        self._tx.write(delete(external_id_table).where(external_id_table.c.person == person))

    def forget_class(self, class_id: str) -> None:
        """There never was this class, and no id of an export stands for it."""
        self.classes.drop(class_id)
        self._tx.write(delete(export_id_table).where(export_id_table.c.school == self.school, export_id_table.c.stands_for == class_id))

    def mark_recorded(self, number: str, person: str | None) -> None:
        """The consent of this number is recorded, and it is this person's."""
        digest = self._digests.consent_number(number)
        if person is not None and self._numbers.get(digest) is None:
            self.trail.numbers.setdefault(person, []).append(digest)
        self._numbers.put(digest=digest)

    def forget_numbers(self, digests: Iterable[str]) -> None:
        """The consents of these numbers never were recorded."""
        for digest in digests:
            self._numbers.drop(digest)

    def require_kept(self, person: str) -> None:
        """Raises Refused `person.erased` for somebody whose data were destroyed."""
        if self.is_erased(person):
            raise forgotten(person)

    def take_seat(self, person: str, seat: Seat) -> None:
        self._seats.put(class_id=seat.class_id, number=seat.number, person=person)
        self.people.put(person=person, listed_in=seat.class_id, seat_number=seat.number)

    def return_to(self, person: str, seat: Seat) -> None:
        """Has a pupil sit where the pupil sat before; the seat taken since is free."""
        row = self.people.get(person)
        if row is not None and (row["listed_in"], row["seat_number"]) != (seat.class_id, seat.number):
            if row["seat_number"] is not None:
                self._seats.drop(row["listed_in"], row["seat_number"])
            self.take_seat(person, seat)

    def new_person(self) -> str:
        """The id of somebody of whom nothing is known yet."""
        person = new_id("p")
        for sheet in (self.people, self.guardianships, self._sealed):
            sheet.expect_new(person)
        self._key_of[person] = None
        self._of_subject[person] = []
        return person

    def name_class(self, name: ClassName, class_id: str) -> None:
        self._class_ids = {**self.class_ids(), name: class_id}
        self.classes.expect_new(class_id)
        academic_year, grade, letter = name
        self.classes.put(
            class_id=class_id, school=self.school, grade=grade, letter=letter, academic_year=academic_year, closed=False, revision=0
        )

    def _forget_likeness(self, person: str, details: Details) -> None:
        if (likeness := self.likeness(details)) is not None:
            self._likenesses.drop(likeness, person)

    def _remember_likeness(self, person: str, kind: str, details: Details) -> None:
        if kind == SubjectKind.PUPIL and (likeness := self.likeness(details)) is not None:
            self._likenesses.put(digest=likeness, person=person)


def _class_name(text: str) -> ClassName:
    first, second, grade, letter = text.split("/")
    return (f"{first}/{second}", int(grade), letter)


def changed_fields(old: Details, new: Details) -> tuple[str, ...]:
    """The names of the fields that a merge would change."""
    return tuple(sorted(field for field, value in new.items() if old.get(field) != value))


class Books:
    """Opens schools' books. It knows the instance's keys and no school."""

    def __init__(self, secrets: Secrets, keys: Keys, digests: Digests | None = None) -> None:
        self.vault = Vault(secrets.key("vault"))
        self.keys = keys
        self._secrets = secrets
        self._digests = digests

    def of_job(self, school: str) -> Books:
        """The same for one job, which opens one school's book many times: no digest is made twice."""
        return Books(self._secrets, self.keys, self.digests(school))

    def open(self, tx: Transaction, school: str, day: date | None = None) -> Book:
        """The book of a school on a day, today where none is given. Raises Refused `school.unknown` or `date.in-future`."""
        timezone = tx.state(SCHOOL, school).timezone
        if timezone is None:
            raise Refused("school.unknown", f"There is no school {school}.")
        return Book(tx, school, happened_on(day, tx.now, timezone), self.vault, self.keys, self._digests or self.digests(school))

    def digests(self, school: str) -> Digests:
        return Digests(self._secrets, school)

    def opened(self, rows: Sequence[Any]) -> Iterator[tuple[Any, dict[str, str]]]:
        """Rows of the vault with the details in them; a row whose key is not there holds nothing any more."""
        keys = self.keys.of([row.person for row in rows])
        for row in rows:
            if row.person in keys:
                yield row, self.vault.open(row.person, Sealed(keys[row.person], row.sealed))

    def read(self, rows: Rows, school: str) -> Pages:
        return Pages(rows, school, self.vault, self.keys, self._digests or self.digests(school))
