"""Takes back what an import did to one person or class. Whoever something else rests on is left whole, and nothing is half-done.

What the import entered is annulled in each stream; the rows then follow from what is left of the stream. So somebody who was here before
is again as before, and of somebody who was not nothing stays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import func, or_, select

from contracts.roster import ClassCreated, ClassDeclared, GuardianLinked
from eventkit.decider import Decider
from eventkit.event import Recorded
from eventkit.store import Transaction, first_resting
from roster.book import Book
from roster.domain.classes import CLASS
from roster.domain.facts import DETAILS
from roster.domain.pupil import PUPIL, Pupil
from roster.domain.staff import STAFF
from roster.importing.traces import GONE, PUT_BACK, Kind, Trace
from roster.projections import consent_table
from roster.tables import class_table, guardianship_table, issue_table, person_table, timetable_table

LEFT: Mapping[str, str] = {
    "pupil.acted-on-since": "Something was recorded of this pupil after the import: a class, a guardian, that the pupil left.",
    "guardian.edited-since": "Details of a guardian whom the import entered were changed after it.",
    "guardian.linked": "This guardian is one of a pupil who stays.",
    "staff.acted-on-since": "Something was recorded of this member of staff after the import: an office, a dismissal.",
    "staff.teaches": "This member of staff is the class teacher of a class that stays.",
    "person.edited-since": "The details were changed after the import, by hand or by a later one.",
    "class.acted-on-since": "Something was recorded of this class after the import: a teacher, a roll-over.",
    "class.has-pupils": "There are pupils in this class who stay.",
    "class.has-timetable": "A timetable of this class is published.",
    "class.has-issues": "Somebody has said what is wrong with this class's data.",
    "class.has-decisions": "Families of this class have decided on their data otherwise than by the import.",
    "decision.relied-on": "Whom this decision is of was entered on it after the import, or stays.",
}
"""Why somebody or something is left, by code."""

Taken = Callable[[Recorded], bool]


class Undoing:
    """Takes back what one import did in a school."""

    def __init__(self, book: Book, tx: Transaction, job: str, entered: Callable[[str], bool]) -> None:
        """`entered` says of a person whether this import did enter them."""
        self._book = book
        self._tx = tx
        self._job = job
        self._entered = entered
        self._acts: Mapping[Kind, Callable[[Trace], str]] = {
            "pupil": self._pupil,
            "guardian": self._guardian,
            "staff": self._member,
            "class": self._class,
        }

    def undo(self, trace: Trace) -> str:
        """Answers `gone`, `put-back`, or the code of why everything about this subject is left as it is."""
        outcome = self._acts[trace.kind](trace)
        if outcome in (GONE, PUT_BACK):
            self._book.forget_numbers(trace.numbers)
        return outcome

    def _wrong(self, recorded: Recorded) -> bool:
        return recorded.commandid.partition(".")[0] == self._job

    def _rested_on(self, decider: Decider[Any, Any], identifier: str, told: Sequence[Recorded] | None = None) -> bool:
        told = self._book.told(decider, identifier) if told is None else told
        return first_resting(decider, told, self._wrong) is not None

    def _edited_since(self, person: str, *, entered: bool) -> bool:
        """Whether the details were changed after the import: of whom it entered, by whatever else changed them at all."""
        if entered:
            return any(not self._wrong(recorded) for recorded in self._book.told(DETAILS, person))
        return self._rested_on(DETAILS, person)

    # ---- people -------------------------------------------------------------------------------------------------------

    def _pupil(self, trace: Trace) -> str:
        book, person = self._book, trace.subject
        told = book.told(PUPIL, person)
        if self._rested_on(PUPIL, person, told):
            return "pupil.acted-on-since"
        if self._edited_since(person, entered=trace.entered):
            return "person.edited-since"
        links = [event for recorded in told if self._wrong(recorded) and isinstance(event := recorded.event(), GuardianLinked)]
        # Without the link nobody would be left whom the guardian is one of.
        if any(self._entered(link.guardian) and self._edited_since(link.guardian, entered=True) for link in links):
            return "guardian.edited-since"
        book.touched.by_leaving(book.people.get(person))
        book.take_back(PUPIL, person, self._wrong)
        if trace.entered:
            book.take_back(DETAILS, person, self._wrong)
            book.forget(person)
            return GONE
        self._put_back(trace)
        state: Pupil = book.state(PUPIL, person)
        self._follow(person, state, [link.guardian for link in links])
        return PUT_BACK

    def _follow(self, person: str, state: Pupil, guardians: Sequence[str]) -> None:
        """Has the rows of a pupil who was here before say what is left of the record."""
        book = self._book
        book.people.put(person=person, active=state.entered, class_id=state.class_id)
        if state.seat is not None:
            book.return_to(person, state.seat)
        for guardian in guardians:
            if guardian not in state.guardians:
                book.guardianships.drop(person, guardian)
            elif (link := state.guardians[guardian]) is None:
                book.guardianships.put(pupil=person, guardian=guardian, linked=False)
            else:
                of_link = {"relation": link.relation, "legal_representative": link.legal_representative, "linked": True}
                book.guardianships.put(pupil=person, guardian=guardian, **of_link)

    def _guardian(self, trace: Trace) -> str:
        link = guardianship_table.c
        if trace.entered and self._is_there(select(link.pupil).where(link.guardian == trace.subject)):
            return "guardian.linked"
        return self._details(trace)

    def _member(self, trace: Trace) -> str:
        book, person = self._book, trace.subject
        if self._rested_on(STAFF, person):
            return "staff.acted-on-since"
        if trace.entered and self._is_there(select(class_table.c.class_id).where(class_table.c.teacher == person)):
            return "staff.teaches"
        if self._edited_since(person, entered=trace.entered):
            return "person.edited-since"
        book.take_back(STAFF, person, self._wrong)
        if not trace.entered:
            book.people.put(person=person, active=book.state(STAFF, person).active)
        return self._details(trace)

    def _details(self, trace: Trace) -> str:
        """Of who has no other facts, or none any more."""
        if self._edited_since(trace.subject, entered=trace.entered):
            return "person.edited-since"
        if trace.entered:
            self._book.take_back(DETAILS, trace.subject, self._wrong)
            self._book.forget(trace.subject)
            return GONE
        self._put_back(trace)
        return PUT_BACK

    def _put_back(self, trace: Trace) -> None:
        if trace.before is not None:
            self._book.put_back(trace.subject, trace.before)
        self._book.take_back(DETAILS, trace.subject, self._wrong)

    # ---- classes ------------------------------------------------------------------------------------------------------

    def _class(self, trace: Trace) -> str:
        book, class_id = self._book, trace.subject
        told = book.told(CLASS, class_id)
        wrong = [recorded.event() for recorded in told if self._wrong(recorded)]
        if self._rested_on(CLASS, class_id, told):
            return "class.acted-on-since"
        is_new = any(isinstance(event, ClassDeclared) for event in wrong)
        if any(isinstance(event, ClassDeclared | ClassCreated) for event in wrong) and (code := self._in_use(class_id)) is not None:
            return code
        book.take_back(CLASS, class_id, self._wrong)
        if is_new:
            book.forget_class(class_id)
            return GONE
        state = book.state(CLASS, class_id)
        book.classes.put(class_id=class_id, shift=state.shift, headcount=state.headcount, teacher=state.teacher)
        return PUT_BACK

    def _in_use(self, class_id: str) -> str | None:
        """Why a class cannot be taken away: what is there in it that the import did not bring, or that was left."""
        pupil, consent, school = person_table.c, consent_table.c, self._book.school
        if self._is_there(select(pupil.person).where(pupil.school == school, or_(pupil.class_id == class_id, pupil.listed_in == class_id))):
            return "class.has-pupils"
        if self._is_there(select(timetable_table.c.class_id).where(timetable_table.c.class_id == class_id)):
            return "class.has-timetable"
        issue = issue_table.c
        if self._is_there(select(issue.issue).where(issue.school == school, issue.class_id == class_id)):
            return "class.has-issues"
        by_others = or_(consent.import_id.is_(None), consent.import_id != self._job)
        decided = select(consent.consent_id).where(consent.class_id == class_id, consent.state != "invalidated")
        if self._is_there(decided.where(by_others)) or self._is_there(decided.join(person_table, pupil.person == consent.subject)):
            return "class.has-decisions"
        return None

    def _is_there(self, statement: Any) -> bool:
        return bool(self._tx.rows(select(func.count()).select_from(statement.limit(1).subquery()))[0][0])
