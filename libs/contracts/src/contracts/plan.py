"""What the plan tracker records, announces and answers: adopted plans, attestations, the board and its reasons."""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from contracts.call import AnnulEntry, Reply, Request, Role, SchoolRequest, command, query
from contracts.event import Annulment, Event, Identifier, Sha256, Value, event, upcast
from contracts.operations import Nothing
from contracts.roster import Act, Done

DEFAULT_PLAN: Final = "mo-2015-school-portal"
StepNumber = Annotated[int, Field(ge=1, le=99)]
StepKey = Annotated[str, Field(pattern=r"^[1-9][0-9]?$", description="A step's number as the key of a JSON object")]
Week = Literal[5, 6]
AnchorReading = Literal["after_predecessors", "plan_start"]
CountFrom = Literal["next_day", "same_day"]
TrainingForm = Literal["remote", "face-to-face"]
Responsible = Literal["director", "administrator", "class_teacher", "staff", "pupil", "guardian"]
Reminders = Literal["default", "one_day", "director", "person", "recurring"]
"""Whom a step's dates concern, and when they are told (DOMAIN 6)."""
State = Literal["not_started", "in_progress", "done", "reopened", "waived"]
DeadlineState = Literal["none", "on_track", "due_soon", "due_today", "overdue", "done_on_time", "done_late", "overdue_at_adoption"]


class CalendarTable(Value):
    """The days of each year that differ from the bare week, as ISO dates; `decreed_until` is the last year with a decree."""

    digest: Sha256
    table: dict[str, Any]


# ---- Events -----------------------------------------------------------------------------------------------------------


@event("plan.calendar-pinned.v1")
class CalendarPinned(Event):
    """Deadlines are counted on this table for ever, whatever a library knows later. It belongs to no school."""

    calendar: CalendarTable


@event("plan.plan-adopted.v1")
class PlanAdoptedV1(Event):
    """As the second version; all terms began on the next day."""

    plan: Identifier
    revision: int
    start: date
    week: Week
    anchor: AnchorReading
    calendar: Sha256
    baseline: dict[StepKey, date | None]


@event("plan.plan-adopted.v2")
class PlanAdopted(Event):
    """`baseline` holds each step's due date (ISO, by step number), frozen here; null where it is not known or never due."""

    plan: Identifier
    revision: int
    start: date
    week: Week
    anchor: AnchorReading
    count_from: CountFrom
    calendar: Sha256
    baseline: dict[StepKey, date | None]


@upcast("plan.plan-adopted.v1", "plan.plan-adopted.v2")
def _terms_began_on_the_next_day(data: dict[str, Any]) -> dict[str, Any]:
    return {**data, "count_from": "next_day"}


class BaselineCause(StrEnum):
    """Why due dates were counted anew."""

    MINISTRY_SCHEDULE = "ministry-schedule"
    CALENDAR = "calendar"
    EXTENSION = "extension"
    PLAN_REVISION = "plan-revision"


@event("plan.baseline-revised.v1")
class BaselineRevised(Event):
    """Due dates were counted anew: `baseline` holds those that changed, `revision` and `calendar` what they were counted by."""

    cause: BaselineCause
    revision: int
    calendar: Sha256
    baseline: dict[StepKey, date | None]


class ExceptionReason(StrEnum):
    """Why a step is waived or its date moved, for one school."""

    NOT_APPLICABLE = "not-applicable"
    TECHNICAL_FAILURE = "technical-failure"
    FORCE_MAJEURE = "force-majeure"
    QUARANTINE = "quarantine"
    REORGANISATION = "reorganisation"
    ORDER_OF_THE_MINISTRY = "order-of-the-ministry"


@event("plan.step-waived.v1")
class StepWaived(Event):
    """The school need not do this step. For the terms of the steps after it, it completes on this day."""

    step: StepNumber
    reason: ExceptionReason


@event("plan.waiver-revoked.v1")
class WaiverRevoked(Event):
    step: StepNumber


@event("plan.deadline-extended.v1")
class DeadlineExtended(Event):
    """The school has until `due` for this step. What else that moves, `plan.baseline-revised` says."""

    step: StepNumber
    due: date
    reason: ExceptionReason


@event("plan.calendar-overridden.v1")
class CalendarOverridden(Event):
    """Days that a region or, with the event's school, one school works otherwise than decreed."""

    off: tuple[date, ...]
    work: tuple[date, ...]


@event("plan.training-session-scheduled.v1")
class TrainingSessionScheduled(Event):
    """A session of the ministry's schedule, and who of the staff is named for it (steps 1 and 7)."""

    session: Identifier
    day: date
    form: TrainingForm
    people: tuple[Identifier, ...]


@event("plan.training-session-cancelled.v1")
class TrainingSessionCancelled(Event):
    session: Identifier


@event("plan.training-attended.v1")
class TrainingAttended(Event):
    session: Identifier
    form: TrainingForm
    person: Identifier


@event("plan.consultation-held.v1")
class ConsultationHeld(Event):
    """Families of a class were shown how the System works (step 17)."""

    consultation: Identifier
    class_id: Identifier
    attendees: Annotated[int, Field(ge=0, le=1000)]


@event("plan.entry-annulled.v1")
class EntryAnnulled(Annulment):
    """A fact of this log never was true."""


@event("plan.step-attested.v1")
class StepAttested(Event):
    """Somebody responsible says that a step which no event proves is done."""

    step: StepNumber
    evidence_sha256: Sha256 | None


@event("plan.implementation-order-registered.v1")
class ImplementationOrderRegistered(Event):
    order: Identifier
    evidence_sha256: Sha256 | None


@event("plan.implementation-order-revoked.v1")
class ImplementationOrderRevoked(Event):
    order: Identifier


@event("plan.step-completed.v1")
class StepCompleted(Event):
    """Announcement, for others to react to: the step holds at the end of `day`. No fold reads announcements."""

    step: StepNumber
    revision: int
    day: date


@event("plan.step-reopened.v1")
class StepReopened(Event):
    """Announcement: the step held at the end of the day before and no longer does at the end of `day`."""

    step: StepNumber
    revision: int
    day: date


@event("plan.deadline-approaching.v1")
class DeadlineApproachingV1(Event):
    """As the second version, which also says whom it concerns."""

    step: StepNumber
    revision: int
    day: date
    due: date
    working_days: int


@event("plan.deadline-approaching.v2")
class DeadlineApproaching(Event):
    """Announcement: a step that is not done falls due on `due`, `working_days` from `day`; 0 on the day itself."""

    step: StepNumber
    revision: int
    day: date
    due: date
    working_days: int
    reminders: Reminders
    responsible: tuple[Responsible, ...]


@event("plan.step-became-overdue.v1")
class StepBecameOverdueV1(Event):
    """As the second version, which also says whom it concerns and is said again."""

    step: StepNumber
    revision: int
    day: date
    due: date


@event("plan.step-became-overdue.v2")
class StepBecameOverdue(Event):
    """Announcement: on `day`, `working_days` after `due`, the step is not done. Said 1, 3 and 5 working days after (DOMAIN 6)."""

    step: StepNumber
    revision: int
    day: date
    due: date
    working_days: int
    reminders: Reminders
    responsible: tuple[Responsible, ...]


_DIRECTORS_STEPS = range(1, 7)  # of the only plan that there was: rows 1 to 6 of order 39/2 name the director


def _of_order_39_2(data: dict[str, Any]) -> dict[str, Any]:
    directors = data["step"] in _DIRECTORS_STEPS
    responsible = ["director"] if directors else ["administrator"]
    return {"working_days": 1, **data, "reminders": "director" if directors else "default", "responsible": responsible}


upcast("plan.deadline-approaching.v1", "plan.deadline-approaching.v2")(_of_order_39_2)
upcast("plan.step-became-overdue.v1", "plan.step-became-overdue.v2")(_of_order_39_2)


@event("plan.announcement-corrected.v1")
class AnnouncementCorrected(Event):
    """An earlier announcement no longer holds, because a fact arrived late with an earlier day."""

    corrects: Identifier
    step: StepNumber
    revision: int
    kind: Literal["step-completed", "step-reopened"]
    day: date


# ---- Calls ------------------------------------------------------------------------------------------------------------


class AdoptPlan(SchoolRequest):
    """Where week, anchor and count are left out, the plan's own options say them."""

    start: date
    week: Week | None = None
    anchor: AnchorReading | None = None
    count_from: CountFrom | None = None
    plan: Identifier = DEFAULT_PLAN


class PlanAdoptedReply(Reply):
    plan: Identifier
    revision: int
    calendar: Sha256
    baseline: dict[str, date | None]


class AdoptRevision(SchoolRequest):
    """The newest revision that the program carries of the plan that the school has adopted."""


class Recount(SchoolRequest):
    """With the decrees known by now, the region's days and the school's own."""


class BaselineReply(Reply):
    """What a school's due dates are counted by now, and those that this call changed; null where there is none any more."""

    revision: int
    calendar: Sha256
    changed: dict[str, date | None]


class WaiveStep(SchoolRequest):
    """Holds from the day on which it is recorded."""

    step: StepNumber
    reason: ExceptionReason


class RevokeWaiver(SchoolRequest):
    step: StepNumber


class ExtendDeadline(SchoolRequest):
    """`due` is the last day that the school has for the step; it moves to the next working day if it is a day off."""

    step: StepNumber
    due: date
    reason: ExceptionReason


Days = Annotated[tuple[date, ...], Field(max_length=400)]


class OverrideCalendar(Request):
    """Days that one school works otherwise than decreed, or, without `school`, the region. A later override of a day takes an earlier back.

    The region's days hold for plans that are adopted afterwards; in a running plan `plan.recount` counts them in. A school's own days hold
    at once, and take precedence over the region's.
    """

    school: Identifier | None = None
    off: Days = ()
    work: Days = ()


class ScheduleTraining(SchoolRequest):
    """A session of the ministry's schedule. `people` are those of the staff who are named for it."""

    day: date
    form: TrainingForm
    people: Annotated[tuple[Identifier, ...], Field(max_length=500)]


class TrainingScheduled(Reply):
    session: Identifier


class CancelTraining(SchoolRequest):
    session: Identifier


class RecordAttendance(SchoolRequest):
    """Who of those named for a session was there. They attended on the session's day, whenever it is recorded."""

    session: Identifier
    people: Annotated[tuple[Identifier, ...], Field(min_length=1, max_length=500)]


class HoldConsultation(Act):
    """Step 17. `attendees` is how many came, to all of these classes' consultation together."""

    classes: Annotated[tuple[Identifier, ...], Field(min_length=1, max_length=200)]
    attendees: Annotated[int, Field(ge=0, le=1000)]


class ConsultationRecorded(Reply):
    consultation: Identifier


class AttestStep(Act):
    step: StepNumber
    evidence_sha256: Sha256 | None = None


class RegisterOrder(Act):
    """Step 6: the school's own order on adopting the system is issued; its text stays with the school, its digest is evidence."""

    evidence_sha256: Sha256 | None = None


class OrderRegistered(Reply):
    order: Identifier


class RevokeOrder(Act):
    order: Identifier


Positions = dict[Annotated[str, Field(pattern=r"^(roster|consent|identity|plan|notifier)$")], Annotated[int, Field(ge=0)]]
"""How far each log is looked at; a service that is left out not at all."""


class StatusRequest(Request):
    """The board of one school, or, without `school`, of the region: of one plan, since another's steps are others under the same numbers;
    by default of the plan that most schools follow. `as_of` is a day. What was known: at a time, `known_at` (RFC 3339), or
    at the positions `at` of an earlier answer, which with the same day is then given again, byte for byte."""

    school: Identifier | None = None
    plan: Identifier | None = Field(default=None, description="Of the region: which plan's board")
    as_of: date | None = None
    known_at: str | None = None
    at: Positions | None = None
    by_school: bool = False
    after_school: Identifier | None = Field(default=None, description="With `by_school`: the page begins after this school")


class StepRow(Value):
    """One row of a school's board. Dates are days in the school; `done` of `total` subjects count."""

    step: int
    state: State
    done: int | None
    total: int | None
    late: int | None
    due: date | None
    deadline: DeadlineState
    due_live: date | None
    deadline_live: DeadlineState
    first_completed_on: date | None
    completed_on: date | None
    blocked_by: tuple[int, ...]
    suppressed: bool


class RegionRow(Value):
    """`done` and `total` add up the schools, without the `suppressed` ones, whose numbers are too small to be told (only where not 0)."""

    step: int
    states: dict[str, int]
    done: int
    total: int
    overdue: int
    suppressed: int = Field(default=0, exclude_if=lambda schools: schools == 0)


class Board(Reply):
    """The answer for a school (`school`, `plan`, …, `steps` of StepRow) or for the region (`schools`, `steps` of RegionRow).

    The region's is of the schools that follow `plan`; `other_plans` says how many follow which other one.
    """

    school: Identifier | None = None
    plan: Identifier | None = None
    revision: int | None = None
    rules: int | None = None
    as_of: date
    at: dict[str, int]
    calendar: Sha256 | None = None
    schools: int | None = None
    incomplete: bool | int
    parked: dict[str, tuple[int, ...]] | None = None
    other_plans: dict[str, int] | None = None
    steps: tuple[StepRow, ...] | tuple[RegionRow, ...]
    by_school: tuple[Board, ...] | None = None


class ExplainRequest(SchoolRequest):
    """Why a step stands where it stands. `as_of`, `known_at` and `at` as for the board."""

    step: StepNumber
    as_of: date | None = None
    known_at: str | None = None
    at: Positions | None = None


class CountingEvent(Value):
    """An event that a step is derived from. `annulled`: it never was true, and an annulment among these events says so."""

    service: str
    position: int
    type: str
    happened_on: date
    annulled: bool = False


class TimelineEntry(Value):
    day: date
    change: Literal["completed", "reopened", "waived", "waiver-revoked"]


class SkippedDay(Value):
    day: date
    why: str


class DueReason(Value):
    """What a due date was computed from: its anchor step and day, the working days counted and the days skipped."""

    due: date | None
    rule: str
    anchor_step: int | None = None
    anchor_day: date | None = None
    working_days: int | None = None
    calendar: Sha256 | None = None
    provisional: bool = False
    """The date can still move: its year has no decree of transferred days off yet, or lies beyond the pinned calendar."""
    skipped: tuple[SkippedDay, ...] = ()


class Explanation(Reply):
    """`missing` holds ids of people, seats, classes, …, for those who may see people; `granted` how many of those counted have granted,
    where a step counts decisions: beside the number decided, which a refusal reaches as well (DOMAIN 3)."""

    school: Identifier
    plan: Identifier
    revision: int
    rules: int
    calendar: Sha256
    incomplete: bool
    step: int
    title_ru: str
    title_en: str
    deadline_ru: str
    rule: str
    rule_ru: str
    row: StepRow
    as_of: date
    at: dict[str, int]
    granted: int | None
    warnings: tuple[int, ...] = Field(default=(), description="Steps that one better does first and that are not done")
    missing: tuple[str, ...]
    missing_total: int
    events: tuple[CountingEvent, ...]
    events_total: int
    annulled_total: int = Field(default=0, description="How many of the events never were true; as many more say so")
    baseline: DueReason
    live: DueReason
    timeline: tuple[TimelineEntry, ...]


class DiffRequest(Request):
    """What two boards differ in, of a school or of the region: the earlier one, and the later one, which by default is the present. The
    region's are of one `plan`: by default of that which most schools follow in the later one."""

    school: Identifier | None = None
    plan: Identifier | None = None
    as_of: date | None = None
    known_at: str | None = None
    at: Positions | None = None
    to_as_of: date | None = None
    to_known_at: str | None = None
    to_at: Positions | None = None


class Vector(Value):
    """What an answer was computed from: with the same vector and scope it is the same answer, for ever (DESIGN 2.6)."""

    as_of: date
    at: dict[str, int]
    rules: int | None
    revision: int | None
    calendar: Sha256 | None


class StepChanges(Value):
    step: int
    changes: dict[str, tuple[Any, Any]] = Field(description="By a row's field: before and after")


class Difference(Reply):
    school: Identifier | None
    plan: Identifier | None
    before: Vector
    after: Vector
    steps: tuple[StepChanges, ...]


class Announced(Reply):
    """Through which day's end the tracker has announced, the notices of the day after it included, and where its log ended then."""

    through: date | None
    position: int


class StepsQuery(SchoolRequest):
    pass


class StepTitle(Value):
    step: StepNumber
    title_ru: str
    title_en: str


class Steps(Reply):
    """The steps of the plan that a school adopted, in order."""

    plan: Identifier
    revision: int
    steps: tuple[StepTitle, ...]


class SchoolsWithOwnDates(Reply):
    """The schools in which somebody has a date of the own that is still open (step 19)."""

    schools: tuple[Identifier, ...]


class PeopleDueQuery(SchoolRequest):
    """Whose own dates are to be told on a `day`, from the state at the end of the day before."""

    day: date


class PersonDue(Value):
    """Somebody has `working_days` left until the own date: 3, or 0 on the day itself."""

    step: StepNumber
    person: Identifier
    due: date
    working_days: int


class ClassOverdue(Value):
    """How many people of a class have been past their own dates for `working_days`, 1 or 5; without a class, those who are in none."""

    step: StepNumber
    class_id: Identifier | None
    working_days: int
    people: int


class PeopleDue(Reply):
    near: tuple[PersonDue, ...]
    overdue: tuple[ClassOverdue, ...]


class CalendarFeedQuery(SchoolRequest):
    pass


class CalendarFeed(Reply):
    """A school's dates as text/calendar (RFC 5545), a day an event; its uid is the school's, the revision's and the step's for ever."""

    content_type: str
    content: str


class NoticesAheadQuery(SchoolRequest):
    days: Annotated[int, Field(ge=1, le=60)]


class NoticesAhead(Reply):
    """The timed notices of today and the next days, if nothing more is done."""

    today: date
    approaching: tuple[DeadlineApproaching, ...]
    overdue: tuple[StepBecameOverdue, ...]


ADOPT_PLAN = command("plan.adopt-plan", AdoptPlan, PlanAdoptedReply, (Role.DIRECTOR, Role.MINISTRY), "Starts a plan in a school")
ADOPT_REVISION = command(
    "plan.adopt-revision",
    AdoptRevision,
    BaselineReply,
    (Role.DIRECTOR, Role.MINISTRY),
    "Goes on with the newest revision of the school's plan",
)
_AUTHORITY = (Role.MUNICIPALITY, Role.MINISTRY)
WAIVE_STEP = command("plan.waive-step", WaiveStep, Done, _AUTHORITY, "Waives a step of a school's plan")
REVOKE_WAIVER = command("plan.revoke-waiver", RevokeWaiver, Done, _AUTHORITY, "Takes a waiver back")
EXTEND_DEADLINE = command(
    "plan.extend-deadline",
    ExtendDeadline,
    BaselineReply,
    (*_AUTHORITY, Role.DIRECTOR),
    "Gives a school more time for a step; a director may only say the date of a blank cell that the plan asks about",
)
OVERRIDE_CALENDAR = command(
    "plan.override-calendar",
    OverrideCalendar,
    Done,
    (Role.DIRECTOR, *_AUTHORITY),
    "Says which days a school, or for the ministry the region, works otherwise than decreed",
)
RECOUNT = command(
    "plan.recount", Recount, BaselineReply, (Role.DIRECTOR, *_AUTHORITY), "Counts a running plan's dates by the calendar as it is known now"
)
SCHEDULE_TRAINING = command(
    "plan.schedule-training", ScheduleTraining, TrainingScheduled, (Role.DIRECTOR, Role.MINISTRY), "Schedules a training session"
)
CANCEL_TRAINING = command("plan.cancel-training", CancelTraining, Done, (Role.DIRECTOR, Role.MINISTRY), "Cancels a training session")
RECORD_ATTENDANCE = command(
    "plan.record-attendance", RecordAttendance, Done, (Role.DIRECTOR, Role.ADMINISTRATOR), "Steps 1 and 7: records who attended a session"
)
HOLD_CONSULTATION = command(
    "plan.hold-consultation", HoldConsultation, ConsultationRecorded, (Role.ADMINISTRATOR,), "Step 17: records a consultation for families"
)
ATTEST_STEP = command("plan.attest-step", AttestStep, Done, (Role.DIRECTOR, Role.ADMINISTRATOR), "Attests a step that no event proves")
REGISTER_ORDER = command("plan.register-order", RegisterOrder, OrderRegistered, (Role.DIRECTOR,), "Step 6: registers the school's order")
REVOKE_ORDER = command("plan.revoke-order", RevokeOrder, Done, (Role.DIRECTOR,), "Revokes the school's order")
ANNUL = command("plan.annul", AnnulEntry, Done, (Role.DIRECTOR,), "Annuls a mistyped attestation, order, attendance or consultation")

_VIEWERS = (Role.DIRECTOR, Role.ADMINISTRATOR, Role.CLASS_TEACHER, Role.MUNICIPALITY, Role.MINISTRY)

STATUS = query("plan.status", StatusRequest, Board, _VIEWERS, "The board: a school's 21 rows, or the region's")
DIFF = query("plan.diff", DiffRequest, Difference, _VIEWERS, "What two boards of a school, or of the region, differ in")
EXPLAIN = query("plan.explain", ExplainRequest, Explanation, _VIEWERS, "Why a step stands where it stands")
ANNOUNCED = query("plan.announced", Nothing, Announced, (), "How far the tracker has announced", services=("notifier",))
STEPS = query("plan.steps", StepsQuery, Steps, (Role.DIRECTOR, Role.ADMINISTRATOR), "The steps of a school's plan", services=("notifier",))
NOTICES_AHEAD = query(
    "plan.notices-ahead", NoticesAheadQuery, NoticesAhead, (), "What will be told of a school's dates", services=("notifier",)
)
OWN_DATES = query(
    "plan.own-dates", Nothing, SchoolsWithOwnDates, (), "In which schools people have own dates that are open", services=("notifier",)
)
PEOPLE_DUE = query("plan.people-due", PeopleDueQuery, PeopleDue, (), "Whose own dates are to be told on a day", services=("notifier",))
_SCHOOL_STAFF = (Role.DIRECTOR, Role.ADMINISTRATOR, Role.CLASS_TEACHER)

CALENDAR_FEED = query("plan.calendar-feed", CalendarFeedQuery, CalendarFeed, _SCHOOL_STAFF, "A school's dates for a calendar program")
