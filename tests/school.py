"""A small school that lives through its plan's first weeks, by real calls: two classes, six pupils with their guardians, four staff.

`found` is its first day. `weeks` are the days after it, with what a year brings on paper: refusals, a withdrawal, codes issued anew,
facts that arrive late, a pupil who leaves, a class that is closed. Between them every command that the contracts declare is made.
"""

from __future__ import annotations

from base64 import b64decode
from dataclasses import dataclass, field
from datetime import date
from hashlib import sha256
from typing import Protocol, TypeVar

from contracts import consent, erasure, identity, notifier, operations, plan, roster
from contracts.call import AnnulEntry, Call, Reply, Request
from contracts.consent import Decision, InvalidationReason, SubjectKind
from contracts.erasure import ErasureGround
from contracts.event import AnnulmentReason
from contracts.roster import (
    Done,
    IssueKind,
    LegalBasis,
    Lesson,
    LessonTime,
    NoGuardianReason,
    Period,
    PersonName,
    Position,
    Relation,
    Seat,
    SeatHolder,
)
from eventkit.calls import Answer
from eventkit.event import Recorded, decode

SCHOOL = "school-7"
START = "2015-08-17T09:00:00+03:00"
END = "2015-09-09T09:00:00+03:00"

_DIRECTOR = f"director:{SCHOOL}"
_ADMINISTRATOR = f"administrator:{SCHOOL}"
_MUNICIPALITY = "municipality:mytishchi"
_YEAR = "2015/2016"
_PUPILS_A_CLASS = 3

P = TypeVar("P", bound=Reply)
Q = TypeVar("Q", bound=Request)


class Ask(Protocol):
    """Makes a call, as the operator or in another role."""

    async def __call__(self, call: Call[Q, P], request: Q, *, as_: str | None = None, up_to_date: bool = False) -> Answer[P]: ...


@dataclass(frozen=True)
class Pupil:
    """Who sits where; `consent` is the pupil's own."""

    person: str
    guardian: str
    class_id: str
    consent: str


@dataclass
class School:
    """What those who work at the school know of it."""

    ask: Ask
    classes: list[str] = field(default_factory=list[str])
    staff: list[str] = field(default_factory=list[str])
    pupils: list[Pupil] = field(default_factory=list[Pupil])

    async def act(self, call: Call[Q, P], request: Q, as_: str | None = None) -> P:
        """Makes a call that knows of everything recorded before it, in whichever service."""
        return (await self.ask(call, request, as_=as_, up_to_date=True)).reply


async def found(ask: Ask) -> School:
    """The first day: the school opens, adopts the plan, and enters its staff and pupils on their consents."""
    school = School(ask)
    await school.act(roster.OPEN_SCHOOL, roster.OpenSchool(school=SCHOOL, name="Школа № 7", municipality="mytishchi"))
    await school.act(plan.ADOPT_PLAN, plan.AdoptPlan(school=SCHOOL, start=date(2015, 8, 17)), _DIRECTOR)
    for number, position in enumerate((Position.DIRECTOR, Position.ADMINISTRATOR, Position.TEACHER, Position.TEACHER)):
        hiring = roster.HireStaff(
            school=SCHOOL,
            details=PersonName(last_name="Сотрудников", first_name=f"Имя-{number}"),
            position=position,
            hired_on=date(2010, 9, 1),
            external_id=f"T-{number}",
        )
        school.staff.append((await school.act(roster.HIRE_STAFF, hiring, _ADMINISTRATOR)).person)
    coordinator = roster.StaffAct(school=SCHOOL, person=school.staff[1])
    await school.act(roster.APPOINT_COORDINATOR, coordinator, _DIRECTOR)
    for grade, letter, teacher in ((7, "А", school.staff[2]), (8, "Б", school.staff[3])):
        declaring = roster.DeclareClass(school=SCHOOL, grade=grade, letter=letter, academic_year=_YEAR)
        class_id = (await school.act(roster.DECLARE_CLASS, declaring, _DIRECTOR)).class_id
        await school.act(roster.CREATE_CLASS, roster.CreateClass(school=SCHOOL, class_id=class_id), _ADMINISTRATOR)
        headcount = roster.DeclareHeadcount(school=SCHOOL, class_id=class_id, pupils=_PUPILS_A_CLASS + 1)
        await school.act(roster.DECLARE_HEADCOUNT, headcount, _DIRECTOR)
        teaching = roster.AssignClassTeacher(school=SCHOOL, class_id=class_id, person=teacher)
        await school.act(roster.ASSIGN_CLASS_TEACHER, teaching, _DIRECTOR)
        school.classes.append(class_id)
    handing_out = consent.RequestConsents(school=SCHOOL, class_id=school.classes[0])
    await school.act(consent.REQUEST, handing_out, _ADMINISTRATOR)
    signed = tuple(Decision(granted=True, person=person, subject_kind=SubjectKind.STAFF) for person in school.staff[:3])
    await school.act(consent.RECORD_DECISIONS, consent.RecordDecisions(school=SCHOOL, decisions=signed), _ADMINISTRATOR)
    for class_id in school.classes:
        for number in range(1, _PUPILS_A_CLASS + 1):
            school.pupils.append(await _enter(school, class_id, number))
    return school


async def _enter(school: School, class_id: str, number: int) -> Pupil:
    """A pupil and the mother, on consents that were recorded for their seats."""
    seats = (SeatHolder.PUPIL, SubjectKind.PUPIL), (SeatHolder.GUARDIAN_1, SubjectKind.GUARDIAN)
    decisions = tuple(
        Decision(granted=True, seat=Seat(class_id=class_id, number=number, holder=holder), subject_kind=kind) for holder, kind in seats
    )
    recorded = await school.act(consent.RECORD_DECISIONS, consent.RecordDecisions(school=SCHOOL, decisions=decisions), _ADMINISTRATOR)
    pupils_consent, guardians_consent = (str(outcome.consent_id) for outcome in recorded.outcomes)
    enrolling = roster.EnrolPupil(
        school=SCHOOL,
        details=PersonName(last_name="Учеников", first_name=f"Имя-{number}", birth_date=date(2002, 5, number)),
        class_id=class_id,
        consent_id=pupils_consent,
        enrolled_on=date(2014, 9, 1),
    )
    pupil = (await school.act(roster.ENROL_PUPIL, enrolling, _ADMINISTRATOR)).person
    linking = roster.LinkGuardian(
        school=SCHOOL,
        pupil=pupil,
        details=PersonName(last_name="Родителева", first_name=f"Имя-{number}", email=f"parent-{number}@example.org"),
        relation=Relation.MOTHER,
        consent_id=guardians_consent,
    )
    guardian = (await school.act(roster.LINK_GUARDIAN, linking, _ADMINISTRATOR)).person
    await school.act(roster.ASSIGN_PUPIL, roster.AssignPupil(school=SCHOOL, pupil=pupil, class_id=class_id), _ADMINISTRATOR)
    return Pupil(pupil, guardian, class_id, pupils_consent)


async def weeks(school: School) -> None:
    """The days from 18 August to 9 September, through every timer on the way."""
    first, second, third, *others = school.pupils

    await _until(school, "2015-08-18T12:00")
    cancelled = await _train(school, date(2015, 8, 27), "remote", school.staff[1:3])
    held = await _train(school, date(2015, 8, 19), "face-to-face", school.staff[1:3])
    order = (await school.act(plan.REGISTER_ORDER, plan.RegisterOrder(school=SCHOOL, evidence_sha256=digest("order 1")), _DIRECTOR)).order

    await _until(school, "2015-08-21T12:00")
    attesting = plan.AttestStep(school=SCHOOL, step=5, happened_on=date(2015, 8, 20))  # a day late
    await school.act(plan.ATTEST_STEP, attesting, _DIRECTOR)
    await annul_last(school, plan.ANNUL, "plan", _DIRECTOR)
    await school.act(plan.ATTEST_STEP, attesting.model_copy(update={"happened_on": date(2015, 8, 19)}), _DIRECTOR)
    wrong = roster.StaffAct(school=SCHOOL, person=school.staff[3], happened_on=date(2015, 8, 19))
    await school.act(roster.APPOINT_COORDINATOR, wrong, _DIRECTOR)
    await annul_last(school, roster.ANNUL, "roster", _DIRECTOR)
    attendance = plan.RecordAttendance(school=SCHOOL, session=held, people=tuple(school.staff[1:3]))
    await school.act(plan.RECORD_ATTENDANCE, attendance, _ADMINISTRATOR)  # two days late
    await school.act(plan.CANCEL_TRAINING, plan.CancelTraining(school=SCHOOL, session=cancelled), _DIRECTOR)
    days = plan.OverrideCalendar(school=SCHOOL, off=(date(2015, 9, 4),), work=(date(2015, 9, 5),))
    await school.act(plan.OVERRIDE_CALENDAR, days, _DIRECTOR)
    await school.act(plan.OVERRIDE_CALENDAR, plan.OverrideCalendar(off=(date(2015, 9, 7),)), "ministry")
    refused = Decision(granted=False, person=school.staff[3], subject_kind=SubjectKind.STAFF)
    await school.act(consent.RECORD_DECISION, consent.RecordDecision(school=SCHOOL, decision=refused), _ADMINISTRATOR)
    refusals: list[tuple[consent.RecordDecision, str]] = []
    for class_id in school.classes:
        seat = Seat(class_id=class_id, number=_PUPILS_A_CLASS + 1, holder=SeatHolder.PUPIL)
        refused = Decision(granted=False, seat=seat, subject_kind=SubjectKind.PUPIL)
        refusing = consent.RecordDecision(school=SCHOOL, decision=refused, happened_on=date(2015, 8, 19))
        refusals.append((refusing, (await school.act(consent.RECORD_DECISION, refusing, _ADMINISTRATOR)).consent_id))
    await school.act(plan.REVOKE_ORDER, plan.RevokeOrder(school=SCHOOL, order=order), _DIRECTOR)

    await _until(school, "2015-08-24T12:00")
    await school.act(plan.REGISTER_ORDER, plan.RegisterOrder(school=SCHOOL, evidence_sha256=digest("order 2")), _DIRECTOR)
    refusing, refusal = refusals[-1]
    unsigned = consent.Invalidate(school=SCHOOL, consent_id=refusal, reason=InvalidationReason.NOT_SIGNED)
    await school.act(consent.INVALIDATE, unsigned, _DIRECTOR)
    mistaken = consent.InvalidateDecisions(school=SCHOOL, consent_ids=(refusal,), reason=InvalidationReason.RECORDED_BY_MISTAKE)
    await school.act(consent.INVALIDATE_DECISIONS, mistaken)  # which never was valid anyhow
    await school.act(consent.RECORD_DECISION, refusing.model_copy(update={"happened_on": date(2015, 8, 24)}), _ADMINISTRATOR)
    codes = await issue(school, [*school.staff, *(one for pupil in school.pupils for one in (pupil.person, pupil.guardian))])
    codes |= await issue(school, [second.person], reissue=True)
    printing = identity.PrintSlips(school=SCHOOL, people=tuple(pupil.guardian for pupil in others[-2:]), reissue=True)
    await school.act(identity.PRINT_SLIPS, printing, _ADMINISTRATOR)
    proposing = identity.ProposeReissue(school=SCHOOL, people=tuple(school.staff))
    proposal = (await school.act(identity.PROPOSE_REISSUE, proposing, _ADMINISTRATOR)).proposal
    await school.act(identity.CONFIRM_REISSUE, identity.ConfirmReissue(school=SCHOOL, proposal=proposal), _DIRECTOR)
    codes |= await issue(school, school.staff, reissue=True, proposal=proposal)
    some = (first.person, first.guardian, second.person, second.guardian, school.staff[0], school.staff[2])
    await school.act(identity.HAND_OVER, identity.HandOver(school=SCHOOL, people=some), _ADMINISTRATOR)
    await annul_last(school, identity.ANNUL, "identity", _ADMINISTRATOR)
    await school.act(identity.HAND_OVER, identity.HandOver(school=SCHOOL, people=some[-1:]), _ADMINISTRATOR)

    await _mail(school, second.guardian, others[-1].guardian, others[0].guardian)

    for step in (9, 10, 11, 16):
        waiver = plan.WaiveStep(school=SCHOOL, step=step, reason=plan.ExceptionReason.TECHNICAL_FAILURE)
        await school.act(plan.WAIVE_STEP, waiver, _MUNICIPALITY)

    await _until(school, "2015-08-26T12:00")
    await _come_back(school, others[-1].guardian)
    await school.act(plan.REVOKE_WAIVER, plan.RevokeWaiver(school=SCHOOL, step=16), _MUNICIPALITY)
    until = plan.ExtendDeadline(school=SCHOOL, step=15, due=date(2015, 9, 2), reason=plan.ExceptionReason.TECHNICAL_FAILURE)
    await school.act(plan.EXTEND_DEADLINE, until, "ministry")
    await school.act(plan.RECOUNT, plan.Recount(school=SCHOOL), "ministry")
    await school.act(plan.ADOPT_REVISION, plan.AdoptRevision(school=SCHOOL), _DIRECTOR)
    for person in (first.person, first.guardian, second.person, school.staff[2]):
        await school.act(identity.ACTIVATE, identity.Activate(login=codes[person][0], code=codes[person][1]))
    own = identity.Activate(login=codes[school.staff[0]][0], code=codes[school.staff[0]][1], password="Тихая сапа 1")
    await school.act(identity.ACTIVATE, own)
    changing = identity.ChangePassword(login=own.login, password="Тихая сапа 1", new_password="Громкая сапа 2")
    await school.act(identity.CHANGE_PASSWORD, changing)
    await school.act(consent.WITHDRAW, consent.Withdraw(school=SCHOOL, consent_id=first.consent), _ADMINISTRATOR)

    await _until(school, "2015-08-28T12:00")
    waiting = others[-1].guardian  # for her code of the 26th, which she was issued when her link had come back
    rest = tuple(one for pupil in (third, *others) for one in (pupil.person, pupil.guardian) if one != waiting)
    late = identity.HandOver(school=SCHOOL, people=rest, happened_on=date(2015, 8, 25))
    await school.act(identity.HAND_OVER, late, _ADMINISTRATOR)
    again = Decision(granted=True, person=first.person, subject_kind=SubjectKind.PUPIL, decided_on=date(2015, 8, 27))
    await school.act(consent.RECORD_DECISION, consent.RecordDecision(school=SCHOOL, decision=again), _ADMINISTRATOR)
    await issue(school, [first.person], reissue=True)
    declaring = roster.DeclareClass(school=SCHOOL, grade=9, letter="В", academic_year=_YEAR, happened_on=date(2015, 8, 17))
    forgotten = (await school.act(roster.DECLARE_CLASS, declaring, _DIRECTOR)).class_id  # so step 12 was not done on its first day

    consultation = plan.HoldConsultation(school=SCHOOL, classes=tuple(school.classes), attendees=9, happened_on=date(2015, 8, 27))
    await school.act(plan.HOLD_CONSULTATION, consultation, _ADMINISTRATOR)

    await _until(school, "2015-09-01T12:00")
    creating = roster.CreateClass(school=SCHOOL, class_id=forgotten, happened_on=date(2015, 8, 31))
    await school.act(roster.CREATE_CLASS, creating, _ADMINISTRATOR)
    leaving, staying = others[0], others[1]
    await school.act(roster.PUPIL_LEFT, roster.PupilAct(school=SCHOOL, pupil=leaving.person), _DIRECTOR)
    unlinking = roster.UnlinkGuardian(school=SCHOOL, pupil=staying.person, guardian=staying.guardian)
    await school.act(roster.UNLINK_GUARDIAN, unlinking, _ADMINISTRATOR)
    absence = roster.RecordNoGuardian(school=SCHOOL, pupil=staying.person, reason=NoGuardianReason.REFUSED)
    await school.act(roster.RECORD_NO_GUARDIAN, absence, _ADMINISTRATOR)
    for pupil in others[1:]:
        moving = roster.AssignPupil(school=SCHOOL, pupil=pupil.person, class_id=school.classes[0])
        await school.act(roster.ASSIGN_PUPIL, moving, _ADMINISTRATOR)
    await school.act(roster.CLOSE_CLASS, roster.CloseClass(school=SCHOOL, class_id=school.classes[1]), _ADMINISTRATOR)
    newcomer = roster.EnrolPupil(
        school=SCHOOL,
        details=PersonName(last_name="Новичков", first_name="Имя"),
        class_id=school.classes[0],
        legal_basis=LegalBasis(code="law", reference="273-FZ"),
        enrolled_on=date(2015, 9, 1),
    )
    await school.act(roster.ENROL_PUPIL, newcomer, _ADMINISTRATOR)

    await _until(school, "2015-09-03T12:00")
    await school.act(roster.RELIEVE_COORDINATOR, roster.StaffAct(school=SCHOOL, person=school.staff[1]), _DIRECTOR)
    dismissal = roster.StaffAct(school=SCHOOL, person=school.staff[2], happened_on=date(2015, 9, 2))
    await school.act(roster.DISMISS_STAFF, dismissal, _DIRECTOR)
    await _school_year(school)
    for rotating in operations.ROTATE_KEY.values():
        await school.act(rotating, operations.Nothing())
    court = erasure.OrderErasure(school=SCHOOL, person=leaving.person, ground=ErasureGround.COURT_ORDER, reference="2-1/2015")
    await school.act(erasure.ORDER_ERASURE, court, _DIRECTOR)
    await _until(school, END)


async def _school_year(school: School) -> None:
    """What a school enters for its year, checks, and at last rolls over, with the missteps that are mended on the way."""
    class_id = school.classes[0]
    await school.act(roster.DECLARE_WORKPLACES, roster.DeclareWorkplaces(school=SCHOOL, online=8, total=10), _DIRECTOR)
    halves = tuple(
        Period(begins=begins, ends=ends) for begins, ends in ((date(2015, 9, 1), date(2016, 1, 10)), (date(2016, 1, 11), date(2016, 5, 31)))
    )
    defining = roster.DefinePeriods(school=SCHOOL, grades=(7, 8, 9), academic_year=_YEAR, periods=halves, happened_on=date(2015, 8, 20))
    await school.act(roster.DEFINE_PERIODS, defining, _ADMINISTRATOR)
    lessons = (LessonTime(begins="08:30", ends="09:15"), LessonTime(begins="09:25", ends="10:10"))
    for shift in (1, 2):
        await school.act(roster.DEFINE_BELLS, roster.DefineBells(school=SCHOOL, shift=shift, lessons=lessons), _ADMINISTRATOR)
    await school.act(roster.DELETE_BELLS, roster.ShiftAct(school=SCHOOL, shift=2), _ADMINISTRATOR)  # there is no second shift
    for name in ("subjects", "positions", "rooms", "group-types", "clubs"):
        filling = roster.FillList(school=SCHOOL, list=name, entries=("Алгебра", "Русский язык"))
        await school.act(roster.FILL_LIST, filling, _ADMINISTRATOR)
    await school.act(roster.CLEAR_LIST, roster.ListAct(school=SCHOOL, list="clubs"), _ADMINISTRATOR)
    week = (Lesson(weekday=1, number=1, subject="Алгебра"), Lesson(weekday=5, number=2, subject="Русский язык"))
    publishing = roster.PublishTimetable(school=SCHOOL, class_id=class_id, valid_from=date(2015, 9, 1), lessons=week[:1])
    await school.act(roster.PUBLISH_TIMETABLE, publishing, _ADMINISTRATOR)
    await school.act(roster.WITHDRAW_TIMETABLE, roster.WithdrawTimetable(school=SCHOOL, class_id=class_id), _ADMINISTRATOR)
    await school.act(roster.PUBLISH_TIMETABLE, publishing.model_copy(update={"lessons": week}), _ADMINISTRATOR)

    await _until(school, "2015-09-07T12:00")
    wrong = roster.OpenIssue(school=SCHOOL, class_id=class_id, kind=IssueKind.WRONG, blocking=True)
    opened = (await school.act(roster.OPEN_ISSUE, wrong, _DIRECTOR)).issue
    old = await _last_years_class(school)
    rolling = roster.RollOverClass(school=SCHOOL, class_id=old, to_class_id=class_id)
    await school.act(roster.ROLL_OVER_CLASS, rolling, _ADMINISTRATOR)
    year = roster.RollOverYear(school=SCHOOL, from_year="2014/2015", to_year=_YEAR)
    await school.act(roster.ROLL_OVER_YEAR, year, _ADMINISTRATOR)
    await school.act(roster.RESOLVE_ISSUE, roster.IssueAct(school=SCHOOL, issue=opened), _ADMINISTRATOR)
    for card in (await school.act(roster.CLASSES, roster.ClassesQuery(school=SCHOOL))).classes:
        checked = roster.VerifyData(school=SCHOOL, class_id=card.class_id, revision=card.revision)
        await school.act(roster.VERIFY_DATA, checked, _DIRECTOR)
    await school.act(roster.VERIFY_DATA, roster.VerifyData(school=SCHOOL), _ADMINISTRATOR)


async def _last_years_class(school: School) -> str:
    """A class that nobody rolled over in time, with a pupil who is entered in it."""
    declaring = roster.DeclareClass(school=SCHOOL, grade=6, letter="А", academic_year="2014/2015")
    class_id = (await school.act(roster.DECLARE_CLASS, declaring, _DIRECTOR)).class_id
    await school.act(roster.CREATE_CLASS, roster.CreateClass(school=SCHOOL, class_id=class_id), _ADMINISTRATOR)
    enrolling = roster.EnrolPupil(
        school=SCHOOL,
        details=PersonName(last_name="Прошлогоднев", first_name="Имя"),
        class_id=class_id,
        legal_basis=LegalBasis(code="law", reference="273-FZ"),
        enrolled_on=date(2014, 9, 1),
    )
    await school.act(roster.ENROL_PUPIL, enrolling, _ADMINISTRATOR)
    return class_id


async def _mail(school: School, reading: str, unknown: str, exposed: str) -> None:
    """Links go to three guardians: one uses hers, one will be found to have another address, one has shown hers to everybody.

    There is no mail server, so the operator takes the first one's link as notifier would.
    """
    mailing = identity.MailLinks(school=SCHOOL, people=(exposed, unknown, reading), reissue=True)
    await school.act(identity.MAIL_LINKS, mailing, _ADMINISTRATOR)
    revoking = identity.RevokeCredentials(school=SCHOOL, people=(exposed,), reason=identity.RevocationReason.EXPOSED)
    await school.act(identity.REVOKE_CREDENTIALS, revoking, _ADMINISTRATOR)
    await issue(school, [exposed])
    head = (await school.ask(operations.HEAD["identity"], operations.Nothing())).reply.position
    run = (await school.ask(operations.READ_LOG["identity"], operations.ReadLog(after=head - 20, limit=20))).reply
    facts = [decode(b64decode(row.bytes)).facts() for row in run.rows]
    credential = [fact["credential"] for name, fact in facts if name == "identity.link-prepared.v1" and fact["person"] == reading][-1]
    taken = (await school.ask(identity.TAKE_LINK, identity.TakeLink(school=SCHOOL, credential=credential))).reply
    sent = identity.RecordMailing(school=SCHOOL, person=reading, credential=credential, message=digest("a mail")[:32], outcome="accepted")
    await school.act(identity.RECORD_MAILING, sent)
    await school.act(identity.ACTIVATE_LINK, identity.ActivateLink(token=taken.link.partition("#")[2]))


async def _come_back(school: School, person: str) -> None:
    """The postmaster says that a link did not reach its owner, who gets a code on paper instead."""
    found = (await school.act(notifier.OUTBOX, notifier.OutboxQuery(school=SCHOOL))).messages
    (message,) = [row.message for row in found if row.template == "activation-link" and row.recipient == person]
    await school.act(notifier.REPORT_BOUNCE, notifier.ReportBounce(message=message, status=550))
    await issue(school, [person], reissue=True)


async def _train(school: School, day: date, form: plan.TrainingForm, people: list[str]) -> str:
    request = plan.ScheduleTraining(school=SCHOOL, day=day, form=form, people=tuple(people))
    return (await school.act(plan.SCHEDULE_TRAINING, request, "ministry")).session


async def annul_last(school: School, call: Call[AnnulEntry, Done], service: str, as_: str) -> None:
    """Says that what a service recorded last never was true."""
    last = await last_entry(school, service)
    entry = AnnulEntry(school=SCHOOL, position=last.position, event=last.id, reason=AnnulmentReason.MISTYPED)
    await school.act(call, entry, as_)


async def last_entry(school: School, service: str) -> Recorded:
    """The newest event of a service's log."""
    head = (await school.ask(operations.HEAD[service], operations.Nothing())).reply.position
    run = (await school.ask(operations.READ_LOG[service], operations.ReadLog(after=head - 1, limit=1))).reply
    return decode(b64decode(run.rows[0].bytes))


async def issue(school: School, people: list[str], *, reissue: bool = False, proposal: str | None = None) -> dict[str, tuple[str, str]]:
    """Login and code, by person, of those who may have one."""
    request = identity.IssueCredentials(school=SCHOOL, people=tuple(people), reissue=reissue, proposal=proposal)
    issued = (await school.act(identity.ISSUE_CREDENTIALS, request, _ADMINISTRATOR)).credentials
    return {one.person: (one.login, one.code) for one in issued if one.login and one.code}


async def _until(school: School, at: str) -> None:
    to = at if at == END else f"{at}:00+03:00"
    await school.act(operations.SET_CLOCK, operations.SetClock(to=to))


def digest(text: str) -> str:
    """The digest under which a paper is evidence."""
    return sha256(text.encode()).hexdigest()
