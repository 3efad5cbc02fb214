"""What the plan tracker records, announces and answers: adopted plans, attestations, the board and its reasons."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal

from pydantic import Field

from contracts.call import Reply, Request, Role, SchoolRequest, command, query
from contracts.event import Event, Identifier, Sha256, Value, event
from contracts.roster import Act, Done

StepNumber = Annotated[int, Field(ge=1, le=99)]
StepKey = Annotated[str, Field(pattern=r"^[1-9][0-9]?$", description="A step's number as the key of a JSON object")]
Week = Literal[5, 6]
AnchorReading = Literal["after_predecessors", "plan_start"]
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
class PlanAdopted(Event):
    """`baseline` holds each step's due date (ISO, by step number), frozen here; null where it is not known or never due."""

    plan: Identifier
    revision: int
    start: date
    week: Week
    anchor: AnchorReading
    calendar: Sha256
    baseline: dict[StepKey, date | None]


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
class DeadlineApproaching(Event):
    """Announcement: a step that is not done falls due on `due`, `working_days` from `day`."""

    step: StepNumber
    revision: int
    day: date
    due: date
    working_days: int


@event("plan.step-became-overdue.v1")
class StepBecameOverdue(Event):
    """Announcement: `day` is the first day after `due` on which the step is not done."""

    step: StepNumber
    revision: int
    day: date
    due: date


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
    start: date
    week: Week = 5
    anchor: AnchorReading = "after_predecessors"
    plan: Identifier = "mo-2015-school-portal"


class PlanAdoptedReply(Reply):
    plan: Identifier
    revision: int
    calendar: Sha256
    baseline: dict[str, date | None]


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


class StatusRequest(Request):
    """The board of one school, or, without `school`, of the region. `as_of` is a day, `known_at` RFC 3339."""

    school: Identifier | None = None
    as_of: date | None = None
    known_at: str | None = None
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
    step: int
    states: dict[str, int]
    done: int
    total: int
    overdue: int


class Board(Reply):
    """The answer for a school (`school`, `plan`, …, `steps` of StepRow) or for the region (`schools`, `steps` of RegionRow)."""

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
    steps: tuple[StepRow, ...] | tuple[RegionRow, ...]
    by_school: tuple[Board, ...] | None = None


class ExplainRequest(SchoolRequest):
    step: StepNumber
    as_of: date | None = None


class CountingEvent(Value):
    service: str
    position: int
    type: str
    happened_on: date


class TimelineEntry(Value):
    day: date
    change: Literal["completed", "reopened"]


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
    skipped: tuple[SkippedDay, ...] = ()


class Explanation(Reply):
    school: Identifier
    step: int
    title_ru: str
    title_en: str
    rule: str
    row: StepRow
    as_of: date
    at: dict[str, int]
    missing: tuple[str, ...]
    missing_total: int
    events: tuple[CountingEvent, ...]
    events_total: int
    baseline: DueReason
    live: DueReason
    timeline: tuple[TimelineEntry, ...]


ADOPT_PLAN = command("plan.adopt-plan", AdoptPlan, PlanAdoptedReply, (Role.DIRECTOR, Role.MINISTRY), "Starts a plan in a school")
ATTEST_STEP = command("plan.attest-step", AttestStep, Done, (Role.DIRECTOR, Role.ADMINISTRATOR), "Attests a step that no event proves")
REGISTER_ORDER = command("plan.register-order", RegisterOrder, OrderRegistered, (Role.DIRECTOR,), "Step 6: registers the school's order")
REVOKE_ORDER = command("plan.revoke-order", RevokeOrder, Done, (Role.DIRECTOR,), "Revokes the school's order")
STATUS = query(
    "plan.status",
    StatusRequest,
    Board,
    (Role.DIRECTOR, Role.ADMINISTRATOR, Role.CLASS_TEACHER, Role.MUNICIPALITY, Role.MINISTRY, Role.SERVICE),
    "The board: a school's 21 rows, or the region's",
)
EXPLAIN = query("plan.explain", ExplainRequest, Explanation, (Role.DIRECTOR, Role.ADMINISTRATOR), "Why a step stands where it stands")
