"""Carries the rows of a plan out, some fifty a command. A row that is refused is told of, the others go on.

Each piece of work answers the troubles that it met, as plain values without anything personal: they are kept with the
command, so that a job that is taken up again hears of them a second time.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from typing import Any, TypeAlias, TypeVar

from contracts.consent import DecisionOutcome, SubjectKind
from contracts.roster import LegalBasis, Seat
from eventkit.decider import Refused
from eventkit.faults import reach
from eventkit.store import Transaction
from roster import acts
from roster.book import Book, Books, ClassName, Pages, same_name
from roster.files import ExportId, Finding, Format, Place
from roster.files.rows import Kind
from roster.importing.decisions import Mentioned, Outcomes
from roster.importing.plan import Leaving, PlannedClass, PlannedExportId, PlannedGuardian, PlannedPupil, PlannedRow, PlannedStaff, finding

ROWS_PER_COMMAND, LEAVING_PER_COMMAND = 200, 50
"""How many rows of a new plan are entered at a time, and how many people sent away: who enters somebody by hand meanwhile waits for one
such part."""

Trouble: TypeAlias = list[Any]
"""Index of the row in its piece of work, field, guardian (0 where it is none's), code and text."""

Work = Callable[[Transaction], list[Trouble]]

R = TypeVar("R")

_KINDS: Mapping[type[PlannedRow], Kind] = {PlannedClass: "classes", PlannedStaff: "staff", PlannedPupil: "pupils"}


def findings(troubles: Sequence[Trouble], rows: Sequence[PlannedRow], file_format: Format) -> list[Finding]:
    """The troubles of a piece of work on these rows, with their places."""
    found: list[Finding] = []
    for index, field, guardian, code, text in troubles:
        row = rows[int(index)]
        found.append(finding(row.place, _KINDS[type(row)], field, code, text, guardian or None, file_format=file_format))
    return found


def column_of(code: str) -> str:
    """The consent column that a refusal of consent's points to."""
    about_date = code == "consent.outdated" or code.partition(".")[0] in ("template", "date")
    return "consent_date" if about_date else "consent_number"


def text_of(outcome: DecisionOutcome) -> str:
    """What a refusal of consent's means for who wrote the file: it has no columns for some of what consent can be told."""
    match outcome.code:
        case "template.unknown":
            return "On the day of signing no text of this consent was in force yet. Compare the date with the paper."
        case "consent.co-signature-missing":
            hint = "A file does not say so: record the decision with its number first (consent.record-decision, co_signed)."
            return f"{outcome.text} {hint}"
        case _:
            return outcome.text or ""


def others_numbers(pages: Pages, outcomes: Sequence[tuple[Mentioned, DecisionOutcome]]) -> list[tuple[Mentioned, Refused]]:
    """Of people who are not entered yet those whose consent numbers are known as somebody else's, who is."""
    known = [(one, outcome.subject) for one, outcome in outcomes if one.person is None and outcome.subject is not None]
    pages.expect_people(subject for _, subject in known)
    found: list[tuple[Mentioned, Refused]] = []
    for one, subject in known:
        entered = pages.details(subject)
        if entered is not None and not same_name(entered, one.details):
            found.append((one, acts.other_name(subject)))
    return found


class _Troubles:
    """The troubles of one row."""

    def __init__(self, index: int, all_of_them: list[Trouble]) -> None:
        self._index = index
        self._all = all_of_them

    def add(self, field: str, code: str, text: str, guardian: int = 0) -> None:
        self._all.append([self._index, field, guardian, code, text])

    @contextmanager
    def told(self, fields: Mapping[str, str], guardian: int = 0) -> Generator[None]:
        """Takes a refusal down under the column that its code's noun points to; "" is for all others."""
        try:
            yield
        except Refused as refused:
            noun = refused.code.split(".", 1)[0]
            self.add(fields.get(noun, fields[""]), refused.code, refused.text, guardian)

    def outcome(self, outcome: DecisionOutcome | None, guardian: int = 0) -> bool:
        """Takes down that consent refused to record a decision; whether it did."""
        if outcome is None or outcome.code is None:
            return False
        self.add(column_of(outcome.code), outcome.code, text_of(outcome), guardian)
        return True


@dataclass(frozen=True, slots=True)
class Entering:
    """Makes the pieces of work of one job. `done` is told, within each, how many rows it has finished, and `keep` what they touched."""

    books: Books
    school: str
    day: date
    legal_basis: LegalBasis | None
    done: Callable[[Transaction, int], None]
    keep: Callable[[Transaction, Book], None]

    def classes(self, rows: Sequence[PlannedClass]) -> Work:
        """Declares and creates classes (step 12) and says how many pupils they have."""

        def enter(book: Book, row: PlannedClass, troubles: _Troubles) -> None:
            academic_year, grade, letter = row.name
            with troubles.told({"": "letter"}):
                class_id = acts.declare_class(book, grade=grade, letter=letter, academic_year=academic_year)
                acts.create_class(book, class_id, row.shift)
                acts.declare_headcount(book, class_id, row.headcount)

        return self._work(rows, enter)

    def export_ids(self, ids: Sequence[PlannedExportId]) -> Work:
        """Remembers what the ids of an export stand for, once its classes are there."""

        def work(tx: Transaction) -> list[Trouble]:
            book = self.books.open(tx, self.school, self.day)
            book.keep_export_ids([ExportId(one.kind, one.external_id, one.stands_for) for one in ids])
            return []

        return work

    def staff(self, rows: Sequence[PlannedStaff]) -> Work:
        """Enters staff. A role in the file appoints no coordinator: that is the director's act."""

        def expect(book: Book) -> None:
            book.expect_external_ids(SubjectKind.STAFF, (row.external_id for row in rows))
            book.expect_people(row.person for row in rows if row.person is not None)

        def enter(book: Book, row: PlannedStaff, troubles: _Troubles) -> None:
            with troubles.told({"": "external_id"}):
                if row.person is not None and not row.returns:
                    book.change_details(row.person, row.details)
                else:
                    acts.hire(book, details=row.details, position=row.position, hired_on=row.hired_on, external_id=row.external_id)

        return self._work(rows, enter, expect=expect)

    def teachers(self, rows: Sequence[PlannedClass | PlannedStaff]) -> Work:
        """Names class teachers, once the classes and the staff of the file are there."""

        def expect(book: Book) -> None:
            known = [row.teacher if isinstance(row, PlannedClass) else row.external_id for row in rows]
            book.expect_external_ids(SubjectKind.STAFF, (external_id for external_id in known if external_id is not None))
            book.classes.expect(book.class_ids().values())

        def assign(book: Book, name: ClassName, external_id: str) -> None:
            class_id, person = book.class_ids().get(name), book.by_external_id(SubjectKind.STAFF, external_id)
            if class_id is not None and person is not None:
                acts.assign_class_teacher(book, class_id, person)

        def enter(book: Book, row: PlannedClass | PlannedStaff, troubles: _Troubles) -> None:
            if isinstance(row, PlannedClass) and row.teacher is not None:
                with troubles.told({"": "class_teacher_id"}):
                    assign(book, row.name, row.teacher)
            elif isinstance(row, PlannedStaff) and row.homeroom is not None:
                with troubles.told({"": "homeroom"}):
                    assign(book, row.homeroom, row.external_id)

        return self._work(rows, enter, expect=expect, counted=False)

    def staff_decisions(self, rows: Sequence[PlannedStaff], outcomes: Outcomes) -> Work:
        """Remembers which decisions of staff are recorded."""

        def expect(book: Book) -> None:
            book.expect_numbers(row.consent.number for row in rows if row.consent is not None)

        def enter(book: Book, row: PlannedStaff, troubles: _Troubles) -> None:
            outcome = outcomes.get((row.place, 0))
            if row.consent is not None and outcome is not None and not troubles.outcome(outcome):
                book.mark_recorded(row.consent.number, outcome.subject)

        return self._work(rows, enter, expect=expect, counted=False)

    def pupils(self, rows: Sequence[PlannedPupil], outcomes: Outcomes, seats: Mapping[Place, Seat]) -> Work:
        """Enters pupils with their guardians (step 14) and assigns them to the classes that the rows name (step 15)."""

        def expect(book: Book) -> None:
            guardians = [guardian for row in rows for guardian in row.guardians]
            mentions = [(row.place, number) for row in rows for number in (0, 1, 2)]
            known = [outcome for mention in mentions if (outcome := outcomes.get(mention)) is not None]
            book.expect_external_ids(SubjectKind.PUPIL, (row.external_id for row in rows))
            book.expect_external_ids(SubjectKind.GUARDIAN, (one.external_id for one in guardians if one.external_id is not None))
            book.expect_people([one.person for one in (*rows, *guardians) if one.person] + [one.subject for one in known if one.subject])
            book.expect_consents(one.consent_id for one in known if one.consent_id is not None)
            book.expect_lists(class_id for row in rows if (class_id := book.class_ids().get(row.name)) is not None)
            book.expect_numbers(one.consent.number for one in (*rows, *guardians) if one.consent is not None)
            book.expect_alike(book.likeness(row.details) for row in rows)

        def enter(book: Book, row: PlannedPupil, troubles: _Troubles) -> None:
            if troubles.outcome(outcomes.get((row.place, 0))):
                return
            with troubles.told(_PUPILS_FIELDS if row.person is not None else _NEW_PUPILS_FIELDS):
                class_id = book.class_ids().get(row.name)
                if class_id is None:
                    raise Refused("class.not-declared", "This class could not be made: correct its row first.")
                if row.person is not None and not row.returns:
                    person = row.person
                    book.change_details(person, row.details)
                else:
                    person = self._enrol(book, row, class_id, outcomes.get((row.place, 0)), seats.get(row.place))
                if row.consent is not None:
                    book.mark_recorded(row.consent.number, person)
                for guardian in row.guardians:
                    outcome = outcomes.get((row.place, guardian.number))
                    if not troubles.outcome(outcome, guardian.number):
                        with troubles.told(_GUARDIANS_FIELDS if guardian.person else _NEW_GUARDIANS_FIELDS, guardian.number):
                            self._guardian(book, person, guardian, outcome)
                acts.assign_pupil(book, person, class_id)

        return self._work(rows, enter, expect=expect)

    def leaving(self, leaving: Sequence[Leaving]) -> Work:
        """Sends away whom a whole list does not name any more."""

        def work(tx: Transaction) -> list[Trouble]:
            book = self.books.open(tx, self.school, self.day)
            book.expect_people(one.person for one in leaving)
            for one in leaving:
                if one.kind is SubjectKind.PUPIL:
                    acts.leave(book, one.person)
                else:
                    acts.dismiss(book, one.person)
            book.write()
            self.keep(tx, book)
            reach("leaving.before-commit")
            return []

        return work

    def _enrol(self, book: Book, row: PlannedPupil, class_id: str, outcome: DecisionOutcome | None, seat: Seat | None) -> str:
        # Whoever comes back without a new consent does so on the one that was given, if it holds.
        held = book.granted(row.person) if row.person is not None and outcome is None else None
        return acts.enrol(
            book,
            details=row.details,
            class_id=class_id,
            enrolled_on=row.enrolled_on,
            consent_id=outcome.consent_id if outcome is not None else held.consent_id if held is not None else None,
            legal_basis=self.legal_basis,
            external_id=row.external_id,
            preferred_seat=seat.number if seat is not None else None,
        )

    def _guardian(self, book: Book, pupil: str, guardian: PlannedGuardian, outcome: DecisionOutcome | None) -> None:
        # A brother's or sister's row may have entered the guardian meanwhile; then the own consent recorded there counts.
        known = guardian.person or book.by_external_id(SubjectKind.GUARDIAN, guardian.external_id)
        linked = acts.link_guardian(
            book,
            pupil=pupil,
            relation=guardian.relation,
            legal_representative=guardian.legal_representative,
            guardian=known,
            details=guardian.details if known is None else None,
            consent_id=outcome.consent_id if known is None and outcome is not None else None,
            legal_basis=self.legal_basis,
            external_id=guardian.external_id,
        )
        if known is not None:
            book.change_details(known, guardian.details)
        if guardian.consent is not None:
            book.mark_recorded(guardian.consent.number, linked)

    def _work(
        self,
        rows: Sequence[R],
        enter: Callable[[Book, R, _Troubles], None],
        *,
        expect: Callable[[Book], None] | None = None,
        counted: bool = True,
    ) -> Work:
        def work(tx: Transaction) -> list[Trouble]:
            book = self.books.open(tx, self.school, self.day)
            if expect is not None:
                expect(book)
            troubles: list[Trouble] = []
            for index, row in enumerate(rows):
                enter(book, row, _Troubles(index, troubles))
            book.write()
            self.keep(tx, book)
            if counted:
                self.done(tx, len(rows))
            return troubles

        return work


_PUPILS_FIELDS = {"consent": "consent_number", "class": "class_label", "": "external_id"}
_GUARDIANS_FIELDS = {"consent": "consent_number", "": "external_id"}
# Of whom nobody is known under the ID, somebody else is only found by the number of the consent.
_NEW_PUPILS_FIELDS = {**_PUPILS_FIELDS, "person": "consent_number"}
_NEW_GUARDIANS_FIELDS = {**_GUARDIANS_FIELDS, "person": "consent_number"}
