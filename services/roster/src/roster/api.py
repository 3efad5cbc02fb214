"""The calls that roster answers. A command opens the school's book, does its act and writes the book; all rules are further in."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sqlalchemy import Connection, Select, func, insert, or_, select

from contracts import roster as calls
from contracts.call import AnnulEntry, Call, Reply, Role
from contracts.consent import SubjectKind
from eventkit.answering import Caller
from eventkit.decider import Refused
from eventkit.erasure import forgotten
from eventkit.event import rfc3339
from eventkit.service import Service, happened_on
from eventkit.store import Transaction
from eventkit.tokens import Actor
from roster import acts, journal
from roster.book import Book, Books
from roster.domain.school import SCHOOL, Open
from roster.revisions import class_of_pupil
from roster.tables import (
    class_table,
    guardianship_table,
    issue_table,
    person_table,
    reference_list_table,
    require_class,
    require_school,
    school_table,
    timetable_table,
)
from roster.vault import Sealed, vault_table

A = TypeVar("A", bound=calls.Act)
P = TypeVar("P", bound=Reply)


def register(service: Service, books: Books) -> None:
    """Registers every call of roster but those of imports."""
    _register_acts(service, books)
    _register_queries(service, books)


def _register_acts(service: Service, books: Books) -> None:
    def act(call: Call[A, P]) -> Callable[[Callable[[Book, A], P]], Callable[[Book, A], P]]:
        """An act in a school that is open: what it decided and changed is written when it has succeeded."""

        def registering(function: Callable[[Book, A], P]) -> Callable[[Book, A], P]:
            def handler(request: A, tx: Transaction, caller: Caller) -> P:
                book = books.open(tx, request.school, request.happened_on)
                reply = function(book, request)
                book.write()
                return reply

            service.command(call)(handler)
            return function

        return registering

    @service.command(calls.OPEN_SCHOOL)
    def open_school(request: calls.OpenSchool, tx: Transaction, caller: Caller) -> calls.SchoolReply:
        day = happened_on(request.happened_on, tx.now, _known_zone(request.timezone))
        command = Open(request.school, request.municipality, request.timezone)
        if tx.decide(SCHOOL, request.school, command, school=request.school, happened_on=day):
            row = {"school": request.school, "name": request.name, "municipality": request.municipality, "timezone": request.timezone}
            tx.write(insert(school_table), row)
        elif tx.rows(select(school_table.c.name).where(school_table.c.school == request.school))[0].name != request.name:
            raise Refused("school.exists", f"{request.school} is open already, under another name. Choose another id.")
        return calls.SchoolReply(school=request.school)

    @act(calls.HIRE_STAFF)
    def hire_staff(book: Book, request: calls.HireStaff) -> calls.Person:
        person = acts.hire(
            book,
            details=acts.details_of(request.details),
            position=request.position,
            hired_on=request.hired_on,
            external_id=request.external_id,
        )
        return calls.Person(person=person)

    @act(calls.DISMISS_STAFF)
    def dismiss_staff(book: Book, request: calls.StaffAct) -> calls.Done:
        acts.dismiss(book, request.person)
        return calls.Done()

    @act(calls.APPOINT_COORDINATOR)
    def appoint_coordinator(book: Book, request: calls.StaffAct) -> calls.Done:
        acts.appoint_coordinator(book, request.person)
        return calls.Done()

    @act(calls.RELIEVE_COORDINATOR)
    def relieve_coordinator(book: Book, request: calls.StaffAct) -> calls.Done:
        acts.relieve_coordinator(book, request.person)
        return calls.Done()

    @act(calls.DECLARE_CLASS)
    def declare_class(book: Book, request: calls.DeclareClass) -> calls.ClassRef:
        class_id = acts.declare_class(book, grade=request.grade, letter=request.letter, academic_year=request.academic_year)
        return calls.ClassRef(class_id=class_id)

    @act(calls.CREATE_CLASS)
    def create_class(book: Book, request: calls.CreateClass) -> calls.Done:
        acts.create_class(book, request.class_id, request.shift)
        return calls.Done()

    @act(calls.CLOSE_CLASS)
    def close_class(book: Book, request: calls.CloseClass) -> calls.Done:
        acts.close_class(book, request.class_id)
        return calls.Done()

    @act(calls.DECLARE_HEADCOUNT)
    def declare_headcount(book: Book, request: calls.DeclareHeadcount) -> calls.Done:
        acts.declare_headcount(book, request.class_id, request.pupils)
        return calls.Done()

    @act(calls.ASSIGN_CLASS_TEACHER)
    def assign_class_teacher(book: Book, request: calls.AssignClassTeacher) -> calls.Done:
        acts.assign_class_teacher(book, request.class_id, request.person)
        return calls.Done()

    @act(calls.ENROL_PUPIL)
    def enrol_pupil(book: Book, request: calls.EnrolPupil) -> calls.Person:
        person = acts.enrol(
            book,
            details=acts.details_of(request.details),
            class_id=request.class_id,
            enrolled_on=request.enrolled_on,
            consent_id=request.consent_id,
            legal_basis=request.legal_basis,
            external_id=request.external_id,
        )
        return calls.Person(person=person)

    @act(calls.PUPIL_LEFT)
    def pupil_left(book: Book, request: calls.PupilAct) -> calls.Done:
        acts.leave(book, request.pupil)
        return calls.Done()

    @act(calls.LINK_GUARDIAN)
    def link_guardian(book: Book, request: calls.LinkGuardian) -> calls.Person:
        guardian = acts.link_guardian(
            book,
            pupil=request.pupil,
            relation=request.relation,
            legal_representative=request.legal_representative,
            guardian=request.guardian,
            details=acts.details_of(request.details) if request.details else None,
            consent_id=request.consent_id,
            legal_basis=request.legal_basis,
            external_id=request.external_id,
        )
        return calls.Person(person=guardian)

    @act(calls.UNLINK_GUARDIAN)
    def unlink_guardian(book: Book, request: calls.UnlinkGuardian) -> calls.Done:
        acts.unlink_guardian(book, request.pupil, request.guardian)
        return calls.Done()

    @act(calls.RECORD_NO_GUARDIAN)
    def record_no_guardian(book: Book, request: calls.RecordNoGuardian) -> calls.Done:
        acts.record_no_guardian(book, request.pupil, request.reason)
        return calls.Done()

    @act(calls.ASSIGN_PUPIL)
    def assign_pupil(book: Book, request: calls.AssignPupil) -> calls.Done:
        acts.assign_pupil(book, request.pupil, request.class_id)
        return calls.Done()

    @act(calls.ROLL_OVER_CLASS)
    def roll_over_class(book: Book, request: calls.RollOverClass) -> calls.Done:
        acts.roll_over_class(book, request.class_id, request.to_class_id)
        return calls.Done()

    @act(calls.ROLL_OVER_YEAR)
    def roll_over_year(book: Book, request: calls.RollOverYear) -> calls.Done:
        acts.roll_over_year(book, request.from_year, request.to_year)
        return calls.Done()

    @service.command(calls.ANNUL)
    def annul(request: AnnulEntry, tx: Transaction, caller: Caller) -> calls.Done:
        book = books.open(tx, request.school)  # an annulment has no day of its own: it stands at that of what it annuls
        acts.annul(book, request)
        book.write()
        return calls.Done()

    @act(calls.DECLARE_WORKPLACES)
    def declare_workplaces(book: Book, request: calls.DeclareWorkplaces) -> calls.Done:
        acts.declare_workplaces(book, request.online, request.total)
        return calls.Done()

    @act(calls.DEFINE_PERIODS)
    def define_periods(book: Book, request: calls.DefinePeriods) -> calls.Done:
        acts.define_periods(book, request.grades, request.academic_year, request.periods)
        return calls.Done()

    @act(calls.DEFINE_BELLS)
    def define_bells(book: Book, request: calls.DefineBells) -> calls.Done:
        acts.define_bells(book, request.shift, request.lessons)
        return calls.Done()

    @act(calls.DELETE_BELLS)
    def delete_bells(book: Book, request: calls.ShiftAct) -> calls.Done:
        acts.delete_bells(book, request.shift)
        return calls.Done()

    @act(calls.FILL_LIST)
    def fill_list(book: Book, request: calls.FillList) -> calls.Done:
        acts.fill_list(book, request.list, request.entries)
        return calls.Done()

    @act(calls.CLEAR_LIST)
    def clear_list(book: Book, request: calls.ListAct) -> calls.Done:
        acts.clear_list(book, request.list)
        return calls.Done()

    @act(calls.PUBLISH_TIMETABLE)
    def publish_timetable(book: Book, request: calls.PublishTimetable) -> calls.Done:
        acts.publish_timetable(book, request.class_id, request.valid_from, request.lessons)
        return calls.Done()

    @act(calls.WITHDRAW_TIMETABLE)
    def withdraw_timetable(book: Book, request: calls.WithdrawTimetable) -> calls.Done:
        acts.withdraw_timetable(book, request.class_id)
        return calls.Done()

    @act(calls.VERIFY_DATA)
    def verify_data(book: Book, request: calls.VerifyData) -> calls.Done:
        if request.class_id is not None and request.revision is not None:
            acts.verify_class(book, request.class_id, request.revision)
        else:
            acts.verify_school(book)
        return calls.Done()

    @act(calls.OPEN_ISSUE)
    def open_issue(book: Book, request: calls.OpenIssue) -> calls.IssueRef:
        return calls.IssueRef(issue=acts.open_issue(book, request.class_id, request.kind, request.blocking))

    @act(calls.RESOLVE_ISSUE)
    def resolve_issue(book: Book, request: calls.IssueAct) -> calls.Done:
        acts.resolve_issue(book, request.issue)
        return calls.Done()


def _register_queries(service: Service, books: Books) -> None:
    @service.query(calls.SCHOOL)
    async def school(request: calls.SchoolQuery, caller: Caller) -> calls.SchoolCard:
        return await service.read(lambda connection: _school_card(connection, request.school))

    @service.query(calls.PEOPLE)
    async def people(request: calls.PeopleQuery, caller: Caller) -> calls.People:
        if caller.reach is not None and caller.reach.class_id is not None and request.kind == SubjectKind.STAFF:
            raise Refused("access.other-class", "Of whom works at the school no class teacher asks: only of the own class.")

        def read(connection: Connection) -> calls.People:
            require_school(connection, request.school)
            found = connection.execute(_people_asked_for(request)).scalars().all()
            return calls.People(people=tuple(found))

        return await service.read(read)

    @service.query(calls.CLASSES)
    async def classes(request: calls.ClassesQuery, caller: Caller) -> calls.Classes:
        return await service.read(lambda connection: _classes(connection, request))

    @service.query(calls.REFERENCE_LIST)
    async def reference_list(request: calls.ListQuery, caller: Caller) -> calls.ReferenceList:
        return await service.read(lambda connection: _reference_list(connection, request))

    @service.query(calls.TIMETABLE)
    async def timetable(request: calls.TimetableQuery, caller: Caller) -> calls.Timetable:
        return await service.read(lambda connection: _timetable(connection, request))

    @service.query(calls.ISSUES)
    async def issues(request: calls.IssuesQuery, caller: Caller) -> calls.Issues:
        return await service.read(lambda connection: _issues(connection, request))

    @service.query(calls.PERSON)
    async def person(request: calls.PersonQuery, caller: Caller) -> calls.PersonCard:
        at = rfc3339(service.clock.now())

        def read_and_journal(connection: Connection) -> calls.PersonCard:
            require_school(connection, request.school)
            row = connection.execute(
                select(vault_table).where(vault_table.c.person == request.person, vault_table.c.school == request.school)
            ).first()
            key = books.keys.of((request.person,)).get(request.person)
            if _is_erased(connection, request.school, request.person) or (row is not None and key is None):
                raise forgotten(request.person)
            if row is None or key is None:
                raise Refused("person.unknown", f"There is no person {request.person} in {request.school}.")
            details = books.vault.open(request.person, Sealed(key, row.sealed))
            journal.note(connection, calls.PERSON, caller, request.school, [request.person], at)
            shown = {field: value for field, value in details.items() if field in calls.PersonName.model_fields}
            return calls.PersonCard(person=request.person, kind=row.kind, details=calls.PersonName.model_validate(shown))

        return await service.write(read_and_journal)

    @service.query(calls.BY_SNILS)
    async def by_snils(request: calls.SnilsQuery, caller: Caller) -> calls.FoundPeople:
        at = rfc3339(service.clock.now())

        def find_and_journal(connection: Connection) -> calls.FoundPeople:
            require_school(connection, request.school)
            wanted = _digits(request.snils)
            rows = connection.execute(
                select(vault_table).where(vault_table.c.school == request.school).order_by(vault_table.c.person)
            ).all()
            people = tuple(row.person for row, details in books.opened(rows) if _digits(details.get("snils", "")) == wanted)
            journal.note(connection, calls.BY_SNILS, caller, request.school, people, at)
            return calls.FoundPeople(people=people)

        return await service.write(find_and_journal)

    @service.query(calls.PERSONS)
    async def persons(request: calls.PersonsQuery, caller: Caller) -> calls.Persons:
        class_id = _class_in_reach(caller.actor, request.school)
        at = rfc3339(service.clock.now())

        def read_and_journal(connection: Connection) -> calls.Persons:
            require_school(connection, request.school)
            rows = connection.execute(_within_reach(request, class_id)).all()
            found = [_named(row, details) for row, details in books.opened(rows)]
            journal.note(connection, calls.PERSONS, caller, request.school, [one.person for one in found], at)
            return calls.Persons(persons=tuple(found))

        return await service.write(read_and_journal)

    @service.query(calls.WITH_ADDRESS)
    async def with_address(request: calls.PersonsQuery, caller: Caller) -> calls.WithAddress:
        class_id = _class_in_reach(caller.actor, request.school)

        def look(connection: Connection) -> calls.WithAddress:
            require_school(connection, request.school)
            found = connection.execute(_within_reach(request, class_id)).all()
            return calls.WithAddress(people=tuple(row.person for row, details in books.opened(found) if details.get("email")))

        return await service.read(look)


def _within_reach(request: calls.PersonsQuery, class_id: str | None) -> Select[Any]:
    """The vault's rows of the people asked for, of a class alone where there is one."""
    wanted = select(vault_table).where(vault_table.c.school == request.school, vault_table.c.person.in_(request.people))
    if class_id is not None:
        wanted = wanted.where(or_(*(vault_table.c.person.in_(people) for people in _people_of_class(request.school, class_id))))
    return wanted


def _digits(text: str) -> str:
    return "".join(symbol for symbol in text if symbol.isdecimal())


def _is_erased(connection: Connection, school: str, person: str) -> bool:
    people = person_table.c
    return bool(connection.execute(select(people.erased).where(people.person == person, people.school == school)).scalar())


def _class_in_reach(actor: Actor, school: str) -> str | None:
    """The class whose people alone the names may be of, where a service asks on behalf of that class's teacher; None for the whole school.

    Raises Refused `access.other-school` or `access.role` where the person behind the call may not see any of them.
    """
    role, _, scope = actor.recorded_actor.partition(":")
    if role == Role.CLASS_TEACHER:
        return scope
    if role in (Role.DIRECTOR, Role.ADMINISTRATOR) and scope != school:
        raise Refused("access.other-school", f"{scope} may not see the people of {school}.")
    if role not in (Role.DIRECTOR, Role.ADMINISTRATOR, Role.OPERATOR, Role.SERVICE):
        raise Refused("access.role", f"A {role.replace('_', ' ')} may not see others' names.")
    return None


def _people_of_class(school: str, class_id: str) -> tuple[Select[str], Select[str]]:
    """The pupils of a class, and their guardians."""
    pupils = calls.PeopleQuery(school=school, kind="pupil", class_id=class_id)
    return _people_asked_for(pupils), _guardians(school, class_id)


def _named(row: Any, details: Mapping[str, str]) -> calls.NamedPerson:
    names = {field: details.get(field, "") for field in ("last_name", "first_name", "patronymic")}
    return calls.NamedPerson(person=row.person, kind=row.kind, **names)


def _known_zone(timezone: str) -> str:
    try:
        ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:  # no such name, no name at all, a folder of names
        raise Refused("school.timezone-unknown", f"There is no time zone {timezone}. Name one like Europe/Moscow.") from error
    return timezone


def _school_card(connection: Connection, school: str) -> calls.SchoolCard:
    row = require_school(connection, school)
    kinds = select(person_table.c.kind, func.count().label("people")).where(person_table.c.school == school, person_table.c.active)
    counts = {row.kind: row.people for row in connection.execute(kinds.group_by(person_table.c.kind))}
    classes = select(func.count()).select_from(class_table).where(class_table.c.school == school, class_table.c.closed.is_(False))
    guardians = select(func.count()).select_from(_guardians(school).subquery())
    return calls.SchoolCard(
        school=school,
        name=row.name,
        municipality=row.municipality,
        timezone=row.timezone,
        staff=counts.get(SubjectKind.STAFF, 0),
        classes=connection.execute(classes).scalar_one(),
        pupils=counts.get(SubjectKind.PUPIL, 0),
        guardians=connection.execute(guardians).scalar_one(),
    )


def _people_asked_for(request: calls.PeopleQuery) -> Select[str]:
    if request.kind == SubjectKind.GUARDIAN:
        return _guardians(request.school, request.class_id)
    people = person_table.c
    wanted = select(people.person).where(people.school == request.school, people.kind == request.kind, people.active)
    if request.class_id is not None:
        wanted = wanted.where(_in_class(request.class_id))
    return wanted.order_by(people.person)


def _guardians(school: str, class_id: str | None = None) -> Select[str]:
    """The guardians who are linked to pupils of the school, or of one class."""
    links, pupil = guardianship_table.c, person_table.c
    wanted = select(links.guardian).distinct().join(person_table, pupil.person == links.pupil)
    wanted = wanted.where(links.school == school, links.linked, pupil.active)
    return (wanted if class_id is None else wanted.where(_in_class(class_id))).order_by(links.guardian)


def _in_class(class_id: str) -> Any:
    """Pupils assigned to a class and, until they are assigned to any, those on its list."""
    return class_of_pupil() == class_id


def _classes(connection: Connection, request: calls.ClassesQuery) -> calls.Classes:
    require_school(connection, request.school)
    wanted = select(class_table).where(class_table.c.school == request.school, class_table.c.closed.is_(False))
    if request.academic_year is not None:
        wanted = wanted.where(class_table.c.academic_year == request.academic_year)
    order = class_table.c.academic_year, class_table.c.grade, class_table.c.letter
    return calls.Classes(
        classes=tuple(
            calls.ClassCard(
                class_id=row.class_id,
                grade=row.grade,
                letter=row.letter,
                academic_year=row.academic_year,
                created=row.shift is not None,
                shift=row.shift,
                headcount=row.headcount or 0,
                teacher=row.teacher,
                revision=row.revision,
            )
            for row in connection.execute(wanted.order_by(*order))
        )
    )


def _reference_list(connection: Connection, request: calls.ListQuery) -> calls.ReferenceList:
    require_school(connection, request.school)
    kept = reference_list_table.c
    row = connection.execute(select(kept.entries, kept.sha256).where(kept.school == request.school, kept.list == request.list)).first()
    if row is None or row.entries is None:
        return calls.ReferenceList(list=request.list, entries=(), sha256=None)
    return calls.ReferenceList(list=request.list, entries=tuple(json.loads(row.entries)), sha256=row.sha256)


def _timetable(connection: Connection, request: calls.TimetableQuery) -> calls.Timetable:
    require_school(connection, request.school)
    require_class(connection, request.school, request.class_id)
    kept = timetable_table.c
    wanted = select(timetable_table).where(kept.class_id == request.class_id, kept.lessons.is_not(None))
    if request.on is not None:
        wanted = wanted.where(kept.valid_from <= request.on.isoformat())
    row = connection.execute(wanted.order_by(kept.valid_from.desc()).limit(1)).first()
    if row is None:
        return calls.Timetable(class_id=request.class_id, valid_from=None, lessons=(), sha256=None)
    return calls.Timetable(
        class_id=request.class_id,
        valid_from=date.fromisoformat(row.valid_from),
        lessons=tuple(calls.Lesson.model_validate(lesson) for lesson in json.loads(row.lessons)),
        sha256=row.sha256,
    )


def _issues(connection: Connection, request: calls.IssuesQuery) -> calls.Issues:
    require_school(connection, request.school)
    issue = issue_table.c
    wanted = select(issue_table).where(issue.school == request.school)
    if request.class_id is not None:
        require_class(connection, request.school, request.class_id)
        wanted = wanted.where(issue.class_id == request.class_id)
    if not request.resolved:
        wanted = wanted.where(issue.resolved_on.is_(None))
    return calls.Issues(
        issues=tuple(
            calls.IssueCard(
                issue=row.issue,
                class_id=row.class_id,
                kind=calls.IssueKind(row.kind),
                blocking=row.blocking,
                opened_on=date.fromisoformat(row.opened_on),
                resolved_on=None if row.resolved_on is None else date.fromisoformat(row.resolved_on),
            )
            for row in connection.execute(wanted.order_by(issue.opened_on, issue.issue))
        )
    )
