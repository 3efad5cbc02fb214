"""What is done in a school, one function an act: the calls of api and the rows of an import are carried out by the same ones.

An act first decides, where it may be refused, and then changes the rows that follow from its events.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date

from contracts.call import AnnulEntry
from contracts.consent import SubjectKind
from contracts.roster import (
    ClassHeadcountDeclared,
    CoordinatorAppointed,
    CoordinatorRelieved,
    EntryAnnulled,
    IssueKind,
    LegalBasis,
    Lesson,
    LessonTime,
    NoGuardianReason,
    Period,
    PersonName,
    Position,
    ReferenceListFilled,
    Relation,
    ReportingPeriodsDefined,
    TimetablePublished,
    WorkplacesDeclared,
)
from eventkit.annulment import Annulling
from eventkit.decider import Refused
from roster.book import Book, new_id, same_name
from roster.domain.basis import Consent
from roster.domain.bells import BELLS, DefineBells, DeleteBells
from roster.domain.check import CHECK, REGULAR_CHECK, Issue, Open, Resolve, Verify, VerifySchool, unknown_issue
from roster.domain.classes import CLASS, AssignTeacher, Close, Create, Declare, DeclareHeadcount, SchoolClass
from roster.domain.classes import RollOver as RollOverClass
from roster.domain.digest import canonical
from roster.domain.lists import LIST, Clear, Fill
from roster.domain.periods import PARALLEL, DefinePeriods, parallel
from roster.domain.pupil import PUPIL, Assign, Enrol, Leave, Link, RecordNoGuardian, RollOver, Unlink
from roster.domain.staff import STAFF, Appoint, Dismiss, Hire, Relieve
from roster.domain.timetable import REQUIRED_LISTS, TIMETABLE, Entered, Publish, Withdraw, in_order
from roster.domain.workplaces import WORKPLACES, DeclareWorkplaces
from roster.domain.years import YEAR, RollOverYear, first_year
from roster.files.cells import tidy
from roster.vault import Details

# On a keyboard left in Latin these stand for the Russian letters that look the same: two classes 7А would be one too many.
_LOOK_ALIKES = str.maketrans("ABCEHKMOPTXY", "АВСЕНКМОРТХУ")


def details_of(name: PersonName) -> Details:
    """A person's details as the vault keeps them: text by field, without the blank ones, tidied like the cells of a file."""
    return {field: text for field, value in name if value is not None and (text := tidy(str(value)))}


# ---- what never was true ------------------------------------------------------------------------------------------------

_annulling = Annulling(
    EntryAnnulled,
    {
        CoordinatorAppointed: STAFF,
        CoordinatorRelieved: STAFF,
        ClassHeadcountDeclared: CLASS,
        WorkplacesDeclared: WORKPLACES,
        ReportingPeriodsDefined: PARALLEL,
    },
)


def annul(book: Book, request: AnnulEntry) -> None:
    """Annuls an entry, and puts the rows right that followed from it."""
    annulled = book.annul(_annulling, request)
    if isinstance(annulled, ClassHeadcountDeclared):
        book.classes.put(class_id=annulled.class_id, headcount=book.state(CLASS, annulled.class_id).headcount)


# ---- staff ------------------------------------------------------------------------------------------------------------


def hire(book: Book, *, details: Details, position: Position, hired_on: date, external_id: str | None = None) -> str:
    """Enters a member of staff, or somebody back who had been dismissed, and answers the person's id."""
    person = book.by_external_id(SubjectKind.STAFF, external_id) or book.new_person()
    _check_details(book, person, details)
    if book.decide(STAFF, person, Hire(person, position, hired_on)):
        book.enter(person, SubjectKind.STAFF, details)
        book.people.put(person=person, position=position, since=hired_on.isoformat())
        book.bind(person, SubjectKind.STAFF, external_id)
    else:
        book.change_details(person, details)
    return person


def dismiss(book: Book, person: str) -> None:
    if book.decide(STAFF, person, Dismiss(person)):
        book.people.put(person=person, active=False)


def appoint_coordinator(book: Book, person: str) -> None:
    book.require_kept(person)
    book.decide(STAFF, person, Appoint(person))


def relieve_coordinator(book: Book, person: str) -> None:
    book.decide(STAFF, person, Relieve(person))


# ---- classes ----------------------------------------------------------------------------------------------------------


def declare_class(book: Book, *, grade: int, letter: str, academic_year: str) -> str:
    """Says that there is a class and answers its id, the same one for the same name in the same year."""
    first_year(academic_year, "class.year-malformed")
    letter = letter.translate(_LOOK_ALIKES)
    name = (academic_year, grade, letter)
    class_id = book.class_ids().get(name) or new_id("c")
    if book.decide(CLASS, class_id, Declare(class_id, grade, letter, academic_year)):
        book.name_class(name, class_id)
    return class_id


def create_class(book: Book, class_id: str, shift: int) -> None:
    if book.decide(CLASS, class_id, Create(class_id, shift)):
        book.classes.put(class_id=class_id, shift=shift)


def declare_headcount(book: Book, class_id: str, pupils: int) -> None:
    if book.decide(CLASS, class_id, DeclareHeadcount(class_id, pupils)):
        book.classes.put(class_id=class_id, headcount=pupils)


def assign_class_teacher(book: Book, class_id: str, person: str) -> None:
    book.require_kept(person)
    if book.decide(CLASS, class_id, AssignTeacher(class_id, person, book.state(STAFF, person))):
        book.classes.put(class_id=class_id, teacher=person)


def close_class(book: Book, class_id: str) -> None:
    if book.decide(CLASS, class_id, Close(class_id)):
        book.classes.put(class_id=class_id, closed=True)


# ---- pupils and guardians ---------------------------------------------------------------------------------------------


def enrol(
    book: Book,
    *,
    details: Details,
    class_id: str,
    enrolled_on: date,
    consent_id: str | None = None,
    legal_basis: LegalBasis | None = None,
    external_id: str | None = None,
    preferred_seat: int | None = None,
) -> str:
    """Enters a pupil under the id of the consent's subject (step 14) and answers that id.

    The seat is the consent's, where it has one on this class's list, else the preferred or the next free one.
    """
    consent = _named_consent(book, consent_id)
    person = _identity(book, SubjectKind.PUPIL, consent, external_id)
    _check_details(book, person, details)
    seat = book.seat_for(class_id, person, consent.seat if consent else None, preferred_seat)
    enrolment = Enrol(person, seat, book.state(CLASS, class_id), consent, legal_basis, enrolled_on)
    if book.decide(PUPIL, person, enrolment):
        book.enter(person, SubjectKind.PUPIL, details)
        book.people.put(person=person, since=enrolled_on.isoformat())
        book.take_seat(person, seat)
    else:
        book.change_details(person, details)
    book.bind(person, SubjectKind.PUPIL, external_id)
    return person


def leave(book: Book, pupil: str) -> None:
    if book.decide(PUPIL, pupil, Leave(pupil)):
        book.touched.by_leaving(book.people.get(pupil))
        book.people.put(person=pupil, active=False, class_id=None)


def link_guardian(
    book: Book,
    *,
    pupil: str,
    relation: Relation,
    legal_representative: bool,
    guardian: str | None = None,
    details: Details | None = None,
    consent_id: str | None = None,
    legal_basis: LegalBasis | None = None,
    external_id: str | None = None,
) -> str:
    """Links a guardian to a pupil (step 14) and answers the guardian's id.

    The guardian is who is named, else who has this external id, else the consent's subject, else somebody new. Where no
    consent is named, the guardian's own granted one counts: the data of a guardian of two children are held on one.
    """
    consent = _named_consent(book, consent_id)
    book.require_kept(pupil)
    if guardian is not None:
        book.require_kept(guardian)
        if book.person(guardian, SubjectKind.GUARDIAN) is None:
            raise Refused("guardian.unknown", f"There is no guardian {guardian} in this school. Give the details of a new one instead.")
    else:
        guardian = _identity(book, SubjectKind.GUARDIAN, consent, external_id)
    known = book.person(guardian, SubjectKind.GUARDIAN) is not None
    if not known and details is None:
        raise Refused("guardian.details-missing", "Name a guardian who is entered already, or give the details of a new one.")
    if details is not None:
        _check_details(book, guardian, details)
    link = Link(pupil, guardian, relation, legal_representative, consent or book.granted(guardian), legal_basis)
    linked = book.decide(PUPIL, pupil, link)
    if not known:
        book.enter(guardian, SubjectKind.GUARDIAN, details or {})
    elif details is not None:
        book.change_details(guardian, details)
    book.bind(guardian, SubjectKind.GUARDIAN, external_id)
    if linked:
        book.guardianships.put(
            pupil=pupil,
            guardian=guardian,
            school=book.school,
            relation=relation,
            legal_representative=legal_representative,
            linked=True,
        )
    return guardian


def unlink_guardian(book: Book, pupil: str, guardian: str) -> None:
    if book.decide(PUPIL, pupil, Unlink(pupil, guardian)):
        book.guardianships.put(pupil=pupil, guardian=guardian, linked=False)


def record_no_guardian(book: Book, pupil: str, reason: NoGuardianReason) -> None:
    book.require_kept(pupil)
    book.decide(PUPIL, pupil, RecordNoGuardian(pupil, reason))


def assign_pupil(book: Book, pupil: str, class_id: str) -> None:
    """Assigns an entered pupil to a created class (step 15)."""
    book.require_kept(pupil)
    if book.decide(PUPIL, pupil, Assign(pupil, class_id, book.state(CLASS, class_id))):
        book.touched.by_leaving(book.people.get(pupil))
        book.people.put(person=pupil, class_id=class_id)


def roll_over_class(book: Book, class_id: str, to_class_id: str) -> None:
    """Moves the pupils of a class to the list of a class of the next year, in their order, and closes the old class (step 15)."""
    joins = book.state(CLASS, to_class_id)
    for pupil in book.pupils_of(class_id):
        seat = book.seat_for(to_class_id, pupil, None)
        if book.decide(PUPIL, pupil, RollOver(pupil, seat, joins)):
            book.touched.by_leaving(book.people.get(pupil))
            book.take_seat(pupil, seat)
            book.people.put(person=pupil, class_id=to_class_id)
    if book.decide(CLASS, class_id, RollOverClass(class_id, to_class_id, joins)):
        book.classes.put(class_id=class_id, closed=True)


def roll_over_year(book: Book, from_year: str, to_year: str) -> None:
    identifier = from_year.replace("/", "-")
    book.decide(YEAR, identifier, RollOverYear(from_year, to_year, book.open_classes(from_year), book.pupils_left_in(from_year)))


# ---- what a school year needs -------------------------------------------------------------------------------------------


def declare_workplaces(book: Book, online: int, total: int) -> None:
    book.decide(WORKPLACES, "", DeclareWorkplaces(online, total))


def define_periods(book: Book, grades: Sequence[int], academic_year: str, periods: tuple[Period, ...]) -> None:
    for grade in dict.fromkeys(grades):
        book.decide(PARALLEL, parallel(academic_year, grade), DefinePeriods(grade, academic_year, periods))


def define_bells(book: Book, shift: int, lessons: tuple[LessonTime, ...]) -> None:
    book.decide(BELLS, str(shift), DefineBells(shift, lessons))


def delete_bells(book: Book, shift: int) -> None:
    book.decide(BELLS, str(shift), DeleteBells(shift))


def fill_list(book: Book, name: str, entries: tuple[str, ...]) -> None:
    for event in book.decide(LIST, name, Fill(name, entries)):
        if isinstance(event, ReferenceListFilled):
            book.lists.put(school=book.school, list=name, entries=canonical(entries), sha256=event.sha256)


def clear_list(book: Book, name: str) -> None:
    if book.decide(LIST, name, Clear(name)):
        book.lists.put(school=book.school, list=name, entries=None, sha256=None)


def publish_timetable(book: Book, class_id: str, valid_from: date, lessons: tuple[Lesson, ...]) -> None:
    """Publishes a class's timetable from a day on (step 16)."""
    for event in book.decide(TIMETABLE, class_id, Publish(class_id, valid_from, lessons, _entered(book, class_id))):
        if isinstance(event, TimetablePublished):
            values = {"school": book.school, "lessons": in_order(lessons), "sha256": event.sha256}
            book.timetables.put(class_id=class_id, valid_from=valid_from.isoformat(), **values)


def withdraw_timetable(book: Book, class_id: str) -> None:
    if book.decide(TIMETABLE, class_id, Withdraw(class_id)):
        for row in book.timetables.all(class_id):
            book.timetables.put(class_id=class_id, valid_from=row["valid_from"], lessons=None, sha256=None)


def _entered(book: Book, class_id: str) -> Entered:
    """What is entered of all that a class's timetable needs: its parallel's periods, its shift's bells, and the school's lists."""
    of_class: SchoolClass = book.state(CLASS, class_id)
    periods = None
    if of_class.academic_year is not None and of_class.grade is not None:
        periods = book.state(PARALLEL, parallel(of_class.academic_year, of_class.grade))
    bells = book.state(BELLS, str(of_class.shift))
    filled = {row["list"]: row["entries"] for row in book.lists.all(book.school) if row["list"] in REQUIRED_LISTS and row["entries"]}
    return Entered(of_class, periods, bells, {name: frozenset(json.loads(entries)) for name, entries in filled.items()})


# ---- checks of the data (steps 3 and 20) --------------------------------------------------------------------------------


def verify_class(book: Book, class_id: str, revision: int) -> None:
    """Signs off a class's data as they stood at a revision."""
    row = book.classes.get(class_id)
    newest = row["revision"] if row is not None else 0
    book.decide(CHECK, class_id, Verify(class_id, book.state(CLASS, class_id), revision, newest))


def verify_school(book: Book) -> None:
    """Records that the school's data were checked on this day."""
    book.decide(REGULAR_CHECK, book.day.isoformat(), VerifySchool())


def open_issue(book: Book, class_id: str, kind: IssueKind, blocking: bool) -> str:
    """Says that something is wrong with a class's data and answers the issue's id, the same one while the same is open."""
    about = Issue(kind, blocking)
    issue = book.state(CHECK, class_id).same(about) or new_id("i")
    if book.decide(CHECK, class_id, Open(issue, class_id, book.state(CLASS, class_id), about)):
        values = {"school": book.school, "class_id": class_id, "kind": kind, "blocking": blocking}
        book.issues.put(issue=issue, opened_on=book.day.isoformat(), **values)
    return issue


def resolve_issue(book: Book, issue: str) -> None:
    row = book.issues.get(issue)
    if row is None or row["school"] != book.school:
        raise unknown_issue(issue)
    if book.decide(CHECK, row["class_id"], Resolve(issue, row["class_id"])):
        book.issues.put(issue=issue, resolved_on=book.day.isoformat())


def _named_consent(book: Book, consent_id: str | None) -> Consent | None:
    if consent_id is None:
        return None
    consent = book.consent(consent_id)
    if consent is None:
        raise Refused(
            "consent.missing",
            f"There is no consent {consent_id} in this school.",
            "Record the decision first (consent.record-decision) and name the id that it answers with.",
        )
    return consent


def _identity(book: Book, kind: SubjectKind, consent: Consent | None, external_id: str | None) -> str:
    """Who somebody is: the consent's subject, whose id entering adopts, or who has the external id already, or somebody new."""
    known = book.by_external_id(kind, external_id)
    if consent is None:
        return known or book.new_person()
    if known not in (None, consent.subject):
        raise Refused("external-id.taken", f"This external id is that of {known}, and consent {consent.consent_id} is another person's.")
    return consent.subject


def _check_details(book: Book, person: str, details: Details) -> None:
    """Nobody is born after the day of the act. Who is entered already is not entered again as somebody else, by a mistyped external id or
    a consent that was used before; nor is who was erased."""
    book.require_kept(person)
    before = book.details(person)
    born_on = details.get("birth_date", "")
    if born_on > book.day.isoformat() and (before is None or before.get("birth_date") != born_on):
        raise Refused("birth-date.in-future", f"A day of birth has come: it is {book.day:%d.%m.%Y}. Compare the year with the certificate.")
    if before is not None and not same_name(before, details):
        raise other_name(person)


def other_name(person: str) -> Refused:
    return Refused(
        "person.other-name",
        f"This id or consent is that of {person}, who is entered under another name.",
        "Look at the external id and the consent. A name is corrected by importing the person's row.",
    )
