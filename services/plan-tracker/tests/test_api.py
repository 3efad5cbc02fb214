"""The plan tracker's calls on a real bus: plans are adopted, steps attested, boards read and explained, by whom they may be."""

import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pytest

from contracts import plan
from contracts.call import Role
from contracts.consent import ConsentRefused, SubjectKind
from contracts.event import AnnulmentReason, Event
from contracts.plan import (
    ADOPT_PLAN,
    ADOPT_REVISION,
    ATTEST_STEP,
    CANCEL_TRAINING,
    DIFF,
    EXPLAIN,
    EXTEND_DEADLINE,
    HOLD_CONSULTATION,
    OVERRIDE_CALENDAR,
    RECORD_ATTENDANCE,
    RECOUNT,
    REGISTER_ORDER,
    REVOKE_ORDER,
    REVOKE_WAIVER,
    SCHEDULE_TRAINING,
    STATUS,
    WAIVE_STEP,
    AdoptPlan,
    AdoptRevision,
    AttestStep,
    BaselineCause,
    BaselineRevised,
    Board,
    CancelTraining,
    ConsultationHeld,
    DiffRequest,
    ExceptionReason,
    ExplainRequest,
    ExtendDeadline,
    HoldConsultation,
    OverrideCalendar,
    RecordAttendance,
    Recount,
    RegionRow,
    RegisterOrder,
    RevokeOrder,
    RevokeWaiver,
    ScheduleTraining,
    StatusRequest,
    StepRow,
    WaiveStep,
)
from contracts.roster import (
    ClassClosed,
    ClassDeclared,
    CoordinatorAppointed,
    CoordinatorRelieved,
    EntryAnnulled,
    Position,
    SchoolOpened,
    StaffDismissed,
    StaffHired,
)
from eventkit.decider import Decider, Refused
from eventkit.event import Origin, Recorded, decode
from eventkit.harness import BEGUN, START, System, administrator, director, running
from eventkit.instance import Build
from eventkit.service import Service
from eventkit.store import Transaction
from eventkit.tokens import Actor
from plan_tracker import plans
from plan_tracker.app import build
from plan_tracker.domain.plan import load_plan

GOLDEN = json.loads(Path(__file__).with_name("golden-2015-08-17.json").read_text(encoding="utf-8"))
MONDAY = date(2015, 8, 17)
BUILDS: Mapping[str, Build] = {"roster": Service, "consent": Service, "identity": Service, "notifier": Service, "plan": build}
DIRECTOR = director("school-1")
MINISTRY = Actor(Role.MINISTRY)
REASON = ExceptionReason.TECHNICAL_FAILURE


def municipality(code: str) -> Actor:
    return Actor(Role.MUNICIPALITY, code)


def _say(event: Event, state: None) -> Sequence[Event]:
    return [event]


SAYING: Decider[Event, None] = Decider("saying", None, _say, lambda state, event: None)


@dataclass
class Region:
    """school-1 and school-2 in municipality m-1, school-3 in m-2. Nobody has adopted a plan yet."""

    system: System

    async def say(self, service: str, *events: Event, school: str = "school-1", on: date = MONDAY) -> None:
        def work(tx: Transaction) -> None:
            for event in events:
                tx.decide(SAYING, uuid.uuid4().hex, event, school=school, happened_on=on)

        await self.system.instance.services[service].store.carry_out(work, Origin("operator", "told", "told"))
        await self.system.settled()

    async def adopt(self, school: str = "school-1", plan_name: str = "mo-2015-school-portal") -> None:
        await self.system.call(ADOPT_PLAN, AdoptPlan(school=school, start=MONDAY, plan=plan_name))
        await self.system.settled()

    async def staff(self, count: int, decided: int, school: str = "school-1", first: int = 0) -> None:
        """Hires so many more, numbered from `first`, of whom some decide."""
        await self.say("roster", *(hired(f"{school}-{first + n}") for n in range(count)), school=school)
        await self.say("consent", *(refused(f"{school}-{first + n}") for n in range(decided)), school=school)

    async def status(self, school: str | None = "school-1", *, as_: Actor | None = None, **asked: object) -> Board:
        request = StatusRequest.model_validate({"school": school, **asked})
        return await self.system.call(STATUS, request, as_=as_)

    async def recorded(self) -> list[Recorded]:
        found = await self.system.instance.services["plan"].store.read(BEGUN, 1000)
        events = [decode(data) for _, _, data in found]
        return [event for event in events if not event.stream.startswith("announcements-")]


def hired(person: str, position: Position = Position.TEACHER) -> StaffHired:
    return StaffHired(person=person, position=position, hired_on=MONDAY)


def refused(person: str) -> ConsentRefused:
    return ConsentRefused(
        consent_id=f"c-{person}", supersedes=None, subject=person, subject_kind=SubjectKind.STAFF, seat=None, decided_on=MONDAY
    )


def school_row(board: Board, step: int) -> StepRow:
    found = next(row for row in board.steps if row.step == step)
    assert isinstance(found, StepRow)
    return found


def region_row(board: Board, step: int) -> RegionRow:
    found = next(row for row in board.steps if row.step == step)
    assert isinstance(found, RegionRow)
    return found


async def code_of(call: Awaitable[object]) -> str:
    with pytest.raises(Refused) as no:
        await call
    return no.value.code


@pytest.fixture
async def region(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Region]:
    async with running(tmp_path, BUILDS, now=getattr(request, "param", START)) as system:
        here = Region(system)
        for school, code in (("school-1", "m-1"), ("school-2", "m-1"), ("school-3", "m-2")):
            await here.say("roster", SchoolOpened(school=school, municipality=code, timezone="Europe/Moscow"), school=school)
        yield here


# Adopting, attesting, the school's own order.


@pytest.mark.parametrize("week", [5, 6])
async def test_adopting_freezes_the_golden_dates_on_a_pinned_calendar(region: Region, week: plan.Week) -> None:
    reply = await region.system.call(ADOPT_PLAN, AdoptPlan(school="school-1", start=MONDAY, week=week), as_=DIRECTOR)
    assert {n: due and due.isoformat() for n, due in reply.baseline.items()} == GOLDEN[f"after_predecessors/{week}d"]
    pinned, adopted = await region.recorded()
    assert (pinned.type, pinned.school, pinned.stream) == ("plan.calendar-pinned.v1", "_", f"calendar-{reply.calendar}")
    assert (adopted.type, adopted.school, adopted.stream, adopted.actor) == (
        "plan.plan-adopted.v2",
        "school-1",
        "plan-school-1",
        "director:school-1",
    )
    await region.system.settled()
    board = await region.status()
    assert (board.plan, board.revision, board.rules, board.calendar) == ("mo-2015-school-portal", 1, 2, reply.calendar)
    assert {str(row.step): isinstance(row, StepRow) and row.due for row in board.steps} == reply.baseline


async def test_adopting_the_same_again_changes_nothing_and_another_plan_is_refused(region: Region) -> None:
    first = await region.system.call(ADOPT_PLAN, AdoptPlan(school="school-1", start=MONDAY))
    assert await region.system.call(ADOPT_PLAN, AdoptPlan(school="school-1", start=MONDAY)) == first
    assert len(await region.recorded()) == 2
    other = AdoptPlan(school="school-1", start=MONDAY, week=6)
    assert await code_of(region.system.call(ADOPT_PLAN, other)) == "plan.already-adopted"
    assert len(await region.recorded()) == 2


async def test_two_schools_share_one_pinned_calendar(region: Region) -> None:
    await region.adopt("school-1")
    await region.adopt("school-2")
    assert [event.type for event in await region.recorded()].count("plan.calendar-pinned.v1") == 1


async def test_what_cannot_be_adopted_is_refused_and_records_nothing(region: Region) -> None:
    for request, code in (
        (AdoptPlan(school="school-9", start=MONDAY), "school.unknown"),
        (AdoptPlan(school="school-1", start=MONDAY, plan="no-such-plan"), "plan.unknown"),
        (AdoptPlan(school="school-1", start=date(2051, 8, 17)), "plan.start-too-far"),
    ):
        assert await code_of(region.system.call(ADOPT_PLAN, request)) == code
    assert await region.recorded() == []


async def test_only_a_step_that_somebody_has_to_vouch_for_can_be_attested_and_only_in_a_running_plan(region: Region) -> None:
    attest = AttestStep(school="school-1", step=5)
    assert await code_of(region.system.call(ATTEST_STEP, attest)) == "plan.not-adopted"
    await region.adopt()
    await region.system.call(ATTEST_STEP, attest, as_=administrator("school-1"))
    await region.system.call(ATTEST_STEP, attest)
    assert await code_of(region.system.call(ATTEST_STEP, AttestStep(school="school-1", step=8))) == "step.derived"
    assert await code_of(region.system.call(ATTEST_STEP, AttestStep(school="school-1", step=22))) == "step.unknown"
    tomorrow = AttestStep(school="school-1", step=5, happened_on=date(2015, 8, 18))
    assert await code_of(region.system.call(ATTEST_STEP, tomorrow)) == "date.in-future"
    assert [event.type for event in await region.recorded()].count("plan.step-attested.v1") == 1


async def test_the_school_s_order_is_registered_once_and_can_be_revoked(region: Region) -> None:
    await region.adopt()
    first = await region.system.call(REGISTER_ORDER, RegisterOrder(school="school-1"), as_=DIRECTOR)
    assert await region.system.call(REGISTER_ORDER, RegisterOrder(school="school-1")) == first
    await region.system.settled()
    assert school_row(await region.status(), 6).state == "done"
    for _ in range(2):
        await region.system.call(REVOKE_ORDER, RevokeOrder(school="school-1", order=first.order))
    await region.system.settled()
    assert school_row(await region.status(), 6).state == "not_started"  # it did not hold at the end of any day
    assert await code_of(region.system.call(REVOKE_ORDER, RevokeOrder(school="school-1", order="o-9"))) == "order.unknown"
    again = await region.system.call(REGISTER_ORDER, RegisterOrder(school="school-1"))
    assert again.order != first.order
    assert [event.type.split(".")[1] for event in (await region.recorded())[2:]] == [
        "implementation-order-registered",
        "implementation-order-revoked",
        "implementation-order-registered",
    ]


# What an authority decides.


def extend(step: int, due: date, school: str = "school-1") -> ExtendDeadline:
    return ExtendDeadline(school=school, step=step, due=due, reason=REASON)


async def test_the_region_s_board_is_of_one_plan_and_says_how_many_schools_follow_another(region: Region) -> None:
    portal, meals = "mo-2015-school-portal", "mo-2016-school-meals"
    for school, name in (("school-1", portal), ("school-2", portal), ("school-3", meals)):
        await region.adopt(school, name)
    board = await region.status(None, by_school=True)
    assert (board.plan, board.schools, board.other_plans) == (portal, 2, {meals: 1})
    assert [row.step for row in board.steps] == [*range(1, 22)]
    assert sum(region_row(board, 10).states.values()) == 2
    assert board.by_school is not None
    assert [school.school for school in board.by_school] == ["school-1", "school-2"]
    board = await region.status(None, plan=meals, by_school=True)
    assert (board.plan, board.schools, board.other_plans) == (meals, 1, {portal: 2})
    assert [row.step for row in board.steps] == [*range(10, 90, 10)]
    assert board.by_school is not None
    assert [school.school for school in board.by_school] == ["school-3"]
    assert await code_of(region.status(None, plan="no-such-plan")) == "plan.unknown"


async def test_of_plans_that_equally_many_schools_follow_the_region_s_board_is_of_the_first_by_name(region: Region) -> None:
    await region.adopt("school-1", "mo-2016-school-meals")
    await region.adopt("school-3")
    assert (await region.status(None)).plan == "mo-2015-school-portal"
    seen = await region.status(None, as_=municipality("m-1"))
    assert (seen.plan, seen.schools, seen.other_plans) == ("mo-2016-school-meals", 1, None)


async def test_two_boards_of_the_region_that_are_compared_are_of_the_same_plan(region: Region) -> None:
    await region.adopt("school-1", "mo-2016-school-meals")
    await region.system.until("2015-08-18T09:00:00+03:00")
    for school in ("school-2", "school-3"):
        await region.say("roster", school=school)
        await region.adopt(school)
    earlier = (await region.status(None, plan="mo-2016-school-meals")).at | {"plan": 3}
    found = await region.system.call(DIFF, DiffRequest(at=earlier))
    assert found.plan == "mo-2015-school-portal"
    assert [one.step for one in found.steps] == [*range(1, 22)]
    assert found.steps[9].changes["states"] == (None, {"not_started": 2})
    assert (await region.system.call(DIFF, DiffRequest(at=earlier, plan="mo-2016-school-meals"))).steps == ()


async def test_what_was_known_is_not_asked_of_before_any_record_or_beyond_a_log(region: Region) -> None:
    await region.system.until("2015-08-18T09:00:00+03:00")
    await region.adopt()
    assert await code_of(region.status(known_at="0001-01-01T00:00:00")) == "known-at.too-early"
    assert await code_of(region.status(at={"roster": 1000000})) == "at.in-future"
    with pytest.raises(Refused, match="not known by then") as no:
        await region.status(at={"roster": 3})
    assert no.value.code == "plan.not-adopted"


async def types(region: Region, since: int) -> list[str]:
    """The types of what was recorded after so many events, without service and version."""
    return [event.type.split(".")[1] for event in (await region.recorded())[since:]]


async def test_a_step_is_waived_and_the_waiver_revoked_by_the_school_s_own_municipality(region: Region) -> None:
    await region.adopt()
    waive = WaiveStep(school="school-1", step=17, reason=REASON)
    assert await code_of(region.system.call(WAIVE_STEP, waive, as_=municipality("m-2"))) == "access.other-municipality"
    assert await code_of(region.system.call(WAIVE_STEP, waive, as_=DIRECTOR)) == "access.role"
    for _ in range(2):
        await region.system.call(WAIVE_STEP, waive, as_=municipality("m-1"))
    await region.system.settled()
    row = school_row(await region.status(), 17)
    assert (row.state, row.first_completed_on, row.deadline) == ("waived", MONDAY, "done_on_time")
    assert region_row(await region.status(None), 17).states == {"waived": 1}
    await region.system.until("2015-08-18T09:00:00+03:00")
    revoke = RevokeWaiver(school="school-1", step=17)
    assert await code_of(region.system.call(REVOKE_WAIVER, revoke, as_=municipality("m-2"))) == "access.other-municipality"
    for _ in range(2):
        await region.system.call(REVOKE_WAIVER, revoke, as_=MINISTRY)
    await region.system.settled()
    assert [school_row(await region.status(as_of=day), 17).state for day in ("2015-08-17", "2015-08-18")] == ["waived", "not_started"]
    assert await types(region, 2) == ["step-waived", "waiver-revoked"]


async def test_an_extension_is_answered_with_what_it_moves_and_explained(region: Region) -> None:
    await region.adopt()
    await region.system.until("2015-08-20T09:00:00+03:00")
    assert await code_of(region.system.call(EXTEND_DEADLINE, extend(14, date(2015, 8, 27)), as_=municipality("m-2"))) == (
        "access.other-municipality"
    )
    assert await code_of(region.system.call(EXTEND_DEADLINE, extend(14, date(2015, 8, 27)), as_=DIRECTOR)) == "extension.not-yours"
    assert await code_of(region.system.call(EXTEND_DEADLINE, extend(14, date(2051, 8, 27)), as_=MINISTRY)) == "deadline.too-far"
    reply = await region.system.call(EXTEND_DEADLINE, extend(14, date(2015, 8, 27)), as_=municipality("m-1"))
    moved = {"14": date(2015, 8, 27), "15": date(2015, 8, 28), "16": date(2015, 8, 28), "17": date(2015, 8, 31)}
    assert reply.changed == {**moved, "18": date(2015, 9, 10), "19": date(2015, 9, 24)}
    assert (await region.system.call(EXTEND_DEADLINE, extend(14, date(2015, 8, 27)), as_=MINISTRY)).changed == {}
    assert await types(region, 2) == ["deadline-extended", "baseline-revised"]
    await region.system.settled()
    assert [school_row(await region.status(as_of=day), 18).due for day in ("2015-08-19", "2015-08-20")] == [
        date(2015, 9, 7),
        date(2015, 9, 10),
    ]
    why = await region.system.call(EXPLAIN, ExplainRequest(school="school-1", step=14))
    assert why.baseline.rule == "extended to 2015-08-27; without that on 2015-08-24, 1 working day after step 13"
    assert (why.baseline.due, why.live.due, why.baseline.provisional) == (date(2015, 8, 27), date(2015, 8, 27), False)
    before = await region.system.call(EXPLAIN, ExplainRequest(school="school-1", step=14, as_of=date(2015, 8, 19)))
    assert (before.baseline.due, before.baseline.anchor_step) == (date(2015, 8, 24), 13)


async def test_a_school_s_own_days_off_are_pinned_and_move_its_dates_and_no_other_school_s(region: Region) -> None:
    for school in ("school-1", "school-2"):
        await region.adopt(school)
    override = OverrideCalendar(school="school-1", off=(date(2015, 8, 24),), work=(date(2015, 8, 29),))
    assert await code_of(region.system.call(OVERRIDE_CALENDAR, override, as_=municipality("m-2"))) == "access.other-municipality"
    assert await code_of(region.system.call(OVERRIDE_CALENDAR, override, as_=director("school-2"))) == "access.other-school"
    for _ in range(2):
        await region.system.call(OVERRIDE_CALENDAR, override, as_=DIRECTOR)
    assert await types(region, 3) == ["calendar-overridden", "calendar-pinned", "baseline-revised"]
    revised = (await region.recorded())[-1].event()
    assert isinstance(revised, BaselineRevised)
    assert revised.cause is BaselineCause.CALENDAR
    # A day more for step 14; by step 18 the Saturday has made up for it.
    assert (revised.baseline["14"], "18" in revised.baseline) == (date(2015, 8, 25), False)
    await region.system.settled()
    board, other = await region.status(), await region.status("school-2")
    assert board.calendar == revised.calendar != other.calendar
    assert (school_row(board, 14).due, school_row(other, 14).due) == (date(2015, 8, 25), date(2015, 8, 24))


async def test_a_day_that_is_off_anyway_moves_nothing(region: Region) -> None:
    await region.adopt()
    await region.system.call(OVERRIDE_CALENDAR, OverrideCalendar(school="school-1", off=(date(2015, 11, 4),)))
    assert await types(region, 2) == ["calendar-overridden"]


async def test_the_region_s_days_hold_for_plans_adopted_later_and_for_running_ones_that_are_recounted(region: Region) -> None:
    await region.adopt("school-1")
    for days, code in (
        (OverrideCalendar(off=(date(2051, 8, 24),)), "calendar.too-far"),
        (OverrideCalendar(off=(date(2015, 8, 24),), work=(date(2015, 8, 24),)), "calendar.contradictory"),
        (OverrideCalendar(), "calendar.no-days"),
    ):
        assert await code_of(region.system.call(OVERRIDE_CALENDAR, days, as_=MINISTRY)) == code
    override = OverrideCalendar(off=(date(2015, 8, 24),))
    assert await code_of(region.system.call(OVERRIDE_CALENDAR, override, as_=municipality("m-1"))) == "access.region"
    assert await code_of(region.system.call(OVERRIDE_CALENDAR, override, as_=DIRECTOR)) == "access.other-school"
    await region.system.call(OVERRIDE_CALENDAR, override, as_=MINISTRY)
    overridden = (await region.recorded())[-1]
    assert (overridden.type, overridden.school) == ("plan.calendar-overridden.v1", "_")
    await region.adopt("school-2")
    assert [school_row(await region.status(school), 14).due for school in ("school-1", "school-2")] == [
        date(2015, 8, 24),
        date(2015, 8, 25),
    ]
    recount = Recount(school="school-1")
    assert await code_of(region.system.call(RECOUNT, recount, as_=municipality("m-2"))) == "access.other-municipality"
    reply = await region.system.call(RECOUNT, recount, as_=MINISTRY)
    assert reply.changed["14"] == date(2015, 8, 25)
    assert (await region.system.call(RECOUNT, recount, as_=DIRECTOR)).changed == {}
    await region.system.settled()
    assert (await region.status()).calendar == (await region.status("school-2")).calendar == reply.calendar
    assert await code_of(region.system.call(RECOUNT, Recount(school="school-3"))) == "plan.not-adopted"
    # A school may work on a day that the region has off.
    await region.system.call(OVERRIDE_CALENDAR, OverrideCalendar(school="school-1", work=(date(2015, 8, 24),)))
    await region.system.call(RECOUNT, recount)
    await region.system.settled()
    assert school_row(await region.status(), 14).due == date(2015, 8, 24)


async def test_a_school_s_days_that_are_said_before_it_adopts_a_plan_count_from_the_adoption(region: Region) -> None:
    await region.system.call(OVERRIDE_CALENDAR, OverrideCalendar(school="school-1", off=(date(2015, 8, 24),)), as_=DIRECTOR)
    await region.adopt()
    assert school_row(await region.status(), 14).due == date(2015, 8, 25)


async def test_the_newest_revision_is_adopted_where_there_is_a_newer_one(region: Region) -> None:
    request = AdoptRevision(school="school-1")
    assert await code_of(region.system.call(ADOPT_REVISION, request, as_=MINISTRY)) == "plan.not-adopted"
    await region.adopt()
    reply = await region.system.call(ADOPT_REVISION, request, as_=DIRECTOR)
    assert (reply.revision, reply.changed) == (1, {})
    assert len(await region.recorded()) == 2


async def test_a_newer_revision_moves_the_dates_of_the_school_that_adopts_it_and_of_no_other(
    region: Region, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for school in ("school-1", "school-2"):
        await region.adopt(school)
    text = plans.text("mo-2015-school-portal")
    assert text.count("deadline_ru: 5 рабочих дней\n    deadline: {kind: wd_after_anchor, n: 5}") == 1
    newer = text.replace("revision: 1", "revision: 2", 1).replace("{kind: wd_after_anchor, n: 5}", "{kind: wd_after_anchor, n: 7}")
    folder = tmp_path / "plans"
    folder.mkdir()
    (folder / "mo-2015-school-portal.r1.yaml").write_text(text, encoding="utf-8")
    (folder / "mo-2015-school-portal.yaml").write_text(newer, encoding="utf-8")
    monkeypatch.setattr(plans, "_folder", lambda: folder)
    load_plan.cache_clear()
    try:
        request = AdoptRevision(school="school-1")
        reply = await region.system.call(ADOPT_REVISION, request, as_=DIRECTOR)
        assert (reply.revision, reply.changed) == (2, {"8": date(2015, 8, 27)})
        assert (await region.system.call(ADOPT_REVISION, request)).changed == {}
        await region.system.settled()
        boards = [await region.status(school) for school in ("school-1", "school-2")]
        assert [(board.revision, school_row(board, 8).due) for board in boards] == [(2, date(2015, 8, 27)), (1, date(2015, 8, 25))]
        later = await region.system.call(ADOPT_PLAN, AdoptPlan(school="school-3", start=MONDAY))
        assert (later.revision, later.baseline["8"]) == (2, date(2015, 8, 27))
    finally:
        load_plan.cache_clear()
    assert await types(region, 3) == ["baseline-revised", "plan-adopted"]


# Training and consultations.


async def test_step_1_is_due_on_the_day_of_the_last_session_that_is_not_cancelled(region: Region) -> None:
    await region.adopt()
    await region.say("roster", hired("anna"), hired("boris"))
    sessions: list[str] = []
    for day in (date(2015, 8, 21), date(2015, 8, 27), date(2015, 8, 27)):
        request = ScheduleTraining(school="school-1", day=day, form="remote", people=("boris", "anna"))
        sessions.append((await region.system.call(SCHEDULE_TRAINING, request, as_=MINISTRY)).session)
    assert sessions[1] == sessions[2] != sessions[0]
    await region.system.settled()
    assert school_row(await region.status(), 1).due == date(2015, 8, 27)
    for _ in range(2):
        await region.system.call(CANCEL_TRAINING, CancelTraining(school="school-1", session=sessions[1]), as_=DIRECTOR)
    await region.system.settled()
    row = school_row(await region.status(), 1)
    assert (row.due, row.due_live, row.deadline) == (date(2015, 8, 21), date(2015, 8, 21), "on_track")
    assert await types(region, 2) == [
        *["training-session-scheduled", "baseline-revised"] * 2,
        "training-session-cancelled",
        "baseline-revised",
    ]


async def test_a_schedule_that_was_published_before_the_plan_is_adopted_enters_the_first_baseline(region: Region) -> None:
    await region.say("roster", hired("anna"))
    request = ScheduleTraining(school="school-1", day=date(2015, 8, 28), form="remote", people=("anna",))
    await region.system.call(SCHEDULE_TRAINING, request)
    await region.adopt()
    row = school_row(await region.status(), 1)
    assert (row.due, row.due_live) == (date(2015, 8, 28), date(2015, 8, 28))


async def test_attendance_is_a_fact_of_the_session_s_day(region: Region) -> None:
    await region.adopt()
    await region.say("roster", hired("anna"), hired("boris"))
    scheduled = ScheduleTraining(school="school-1", day=date(2015, 8, 18), form="face-to-face", people=("anna",))
    session = (await region.system.call(SCHEDULE_TRAINING, scheduled)).session
    attended = RecordAttendance(school="school-1", session=session, people=("anna",))
    assert await code_of(region.system.call(RECORD_ATTENDANCE, attended)) == "training.not-yet"
    await region.system.until("2015-08-20T09:00:00+03:00")
    stranger = RecordAttendance(school="school-1", session=session, people=("boris",))
    assert await code_of(region.system.call(RECORD_ATTENDANCE, stranger)) == "training.not-named"
    unknown = RecordAttendance(school="school-1", session="s-9", people=("anna",))
    assert await code_of(region.system.call(RECORD_ATTENDANCE, unknown)) == "training.unknown"
    for _ in range(2):
        await region.system.call(RECORD_ATTENDANCE, attended, as_=administrator("school-1"))
    recorded = [event for event in await region.recorded() if event.type == "plan.training-attended.v1"]
    assert [(event.happenedon, event.recordedat[:10]) for event in recorded] == [("2015-08-18", "2015-08-20")]


async def test_only_who_is_on_the_staff_is_named_for_a_session(region: Region) -> None:
    await region.say("roster", hired("anna"), hired("boris"), StaffDismissed(person="boris"))
    for people in (("anna", "boris"), ("nobody",)):
        request = ScheduleTraining(school="school-1", day=MONDAY, form="remote", people=people)
        assert await code_of(region.system.call(SCHEDULE_TRAINING, request)) == "person.unknown"
    far_away = ScheduleTraining(school="school-1", day=date(2051, 8, 18), form="remote", people=("anna",))
    assert await code_of(region.system.call(SCHEDULE_TRAINING, far_away)) == "training.too-far"


async def test_a_consultation_is_recorded_for_classes_that_there_are(region: Region) -> None:
    declared = [ClassDeclared(class_id=name, grade=1, letter="А", academic_year="2015/2016") for name in ("1a", "1b", "1c")]
    await region.say("roster", *declared, ClassClosed(class_id="1c"))
    for class_id in ("1c", "9z"):
        request = HoldConsultation(school="school-1", classes=("1a", class_id), attendees=5)
        assert await code_of(region.system.call(HOLD_CONSULTATION, request)) == "class.unknown"
    held = HoldConsultation(school="school-1", classes=("1b", "1a"), attendees=30)
    replies = [await region.system.call(HOLD_CONSULTATION, held, as_=administrator("school-1")) for _ in range(2)]
    assert replies[0] == replies[1]
    recorded = [event.event() for event in await region.recorded()]
    assert recorded == [
        ConsultationHeld(consultation=replies[0].consultation, class_id=class_id, attendees=30) for class_id in ("1a", "1b")
    ]
    tomorrow = HoldConsultation(school="school-1", classes=("1a",), attendees=5, happened_on=date(2015, 8, 18))
    assert await code_of(region.system.call(HOLD_CONSULTATION, tomorrow)) == "date.in-future"


# Another order's plan.


@pytest.mark.parametrize("region", ["2016-02-15T09:00:00+03:00"], indirect=True)  # a Monday
async def test_another_plan_with_other_steps_and_options_is_adopted_shown_and_explained(region: Region) -> None:
    adopted = await region.system.call(ADOPT_PLAN, AdoptPlan(school="school-1", start=date(2016, 2, 15), plan="mo-2016-school-meals"))
    # Six days a week, and the day itself counts: Monday and Tuesday; four days from the 16th; ten, over 23 February; then five.
    assert {n: due and f"{due:%d.%m}" for n, due in adopted.baseline.items()} == {
        "10": "16.02", "20": None, "30": "19.02", "40": "29.02", "50": "09.03", "60": "04.03", "70": "09.03", "80": None,
    }  # fmt: skip
    await region.system.settled()
    board = await region.status()
    assert ([row.step for row in board.steps], board.plan) == ([10, 20, 30, 40, 50, 60, 70, 80], "mo-2016-school-meals")
    assert (school_row(board, 10).deadline, school_row(board, 30).deadline) == ("due_soon", "on_track")  # soon is two days here
    why = await region.system.call(EXPLAIN, ExplainRequest(school="school-1", step=20))
    assert (why.baseline.due, why.title_en) == (None, "Issue the school's order on meals through the portal")
    assert "the school has to say a date" in why.baseline.rule
    said = extend(20, date(2016, 2, 18))
    await region.system.call(EXTEND_DEADLINE, said, as_=DIRECTOR)
    await region.system.settled()
    board = await region.status()
    assert (school_row(board, 20).due, school_row(board, 30).due) == (date(2016, 2, 18), date(2016, 2, 24))
    assert await code_of(region.system.call(EXTEND_DEADLINE, extend(20, date(2016, 2, 25)), as_=DIRECTOR)) == "extension.not-yours"
    people = [hired(name, Position.DIRECTOR if name == "anna" else Position.TEACHER) for name in ("anna", "boris")]
    await region.say("roster", *people, CoordinatorAppointed(person="anna"), on=date(2016, 2, 15))
    two = await region.system.call(EXPLAIN, ExplainRequest(school="school-1", step=10))
    assert ((two.row.done, two.row.total, two.row.state), two.missing) == ((1, 2, "in_progress"), ("coordinator-2",))
    assert two.rule == "Of the staff, 2 or more are appointed coordinators."
    await region.say("roster", CoordinatorAppointed(person="boris"), on=date(2016, 2, 15))
    assert school_row(await region.status(), 10).state == "done"
    reopening = await region.system.call(EXPLAIN, ExplainRequest(school="school-1", step=30))
    assert reopening.rule.endswith("A withdrawal reopens it.")
    assert await code_of(region.system.call(ATTEST_STEP, AttestStep(school="school-1", step=60))) == "step.derived"
    await region.system.call(ATTEST_STEP, AttestStep(school="school-1", step=50))
    await region.system.call(ADOPT_PLAN, AdoptPlan(school="school-2", start=date(2016, 2, 15)))
    await region.system.settled()
    portal, meals = await region.status(None), await region.status(None, plan="mo-2016-school-meals")
    assert ([row.step for row in portal.steps], portal.schools) == ([*range(1, 22)], 1)
    assert ([row.step for row in meals.steps], meals.schools) == ([10, 20, 30, 40, 50, 60, 70, 80], 1)
    # Steps of the same number.
    assert [region_row(board, 10).states for board in (portal, meals)] == [{"not_started": 1}, {"done": 1}]
    assert await code_of(region.status(None, plan="mo-2016")) == "plan.unknown"


@pytest.mark.parametrize("region", ["2016-02-15T09:00:00+03:00"], indirect=True)  # a Monday
async def test_what_recurs_is_attested_week_by_week_and_is_never_done(region: Region) -> None:
    await region.system.call(ADOPT_PLAN, AdoptPlan(school="school-1", start=date(2016, 2, 15), plan="mo-2016-school-meals"))
    checked = AttestStep(school="school-1", step=80)
    await region.system.settled()
    await region.system.call(ATTEST_STEP, checked)
    await region.system.settled()
    await region.system.call(ATTEST_STEP, checked)
    await region.system.until("2016-02-24T09:00:00+03:00")
    await region.system.call(ATTEST_STEP, checked)
    await region.system.until("2016-03-07T09:00:00+03:00")
    row = school_row(await region.status(), 80)
    assert (row.state, row.done, row.total) == ("in_progress", 2, 3)  # the weeks to 19 and 26 February, but not to 4 March
    why = await region.system.call(EXPLAIN, ExplainRequest(school="school-1", step=80))
    assert (why.missing, len(why.events)) == (("2016-03-04",), 2)


async def test_the_school_s_own_way_of_counting_takes_precedence_over_the_plan_s(region: Region) -> None:
    request = AdoptPlan(school="school-1", start=MONDAY, week=6, anchor="plan_start", count_from="same_day")
    adopted = await region.system.call(ADOPT_PLAN, request)
    assert await region.system.call(ADOPT_PLAN, request) == adopted
    assert await code_of(region.system.call(ADOPT_PLAN, AdoptPlan(school="school-1", start=MONDAY, week=6))) == "plan.already-adopted"
    await region.system.settled()
    board = await region.status()
    assert [f"{school_row(board, n).due:%d.%m}" for n in (4, 8, 18, 19)] == ["17.08", "21.08", "27.08", "07.09"]
    assert {str(row.step): isinstance(row, StepRow) and row.due for row in board.steps} == adopted.baseline
    assert school_row(board, 4).due_live == MONDAY


@pytest.mark.parametrize("region", ["2028-08-14T09:00:00+03:00"], indirect=True)
async def test_dates_in_a_year_without_a_decree_are_marked_provisional(region: Region) -> None:
    await region.system.call(ADOPT_PLAN, AdoptPlan(school="school-1", start=date(2028, 8, 14)))
    await region.system.settled()
    for step, provisional in ((4, True), (2, False), (20, False)):
        why = await region.system.call(EXPLAIN, ExplainRequest(school="school-1", step=step))
        assert (why.baseline.provisional, why.live.provisional) == (provisional, provisional)


# The board.


async def test_the_board_has_21_rows_and_the_positions_that_it_was_read_at(region: Region) -> None:
    await region.adopt()
    await region.staff(6, 5)
    board = await region.status(as_=DIRECTOR)
    assert [row.step for row in board.steps] == list(range(1, 22))
    assert board.at == {"roster": 10, "consent": 6, "identity": 1, "plan": 3, "notifier": 1}
    assert (board.school, board.as_of, board.incomplete, board.parked) == ("school-1", MONDAY, False, None)
    assert (school_row(board, 8).done, school_row(board, 8).total, school_row(board, 8).suppressed) == (5, 6, False)


async def test_a_board_that_cannot_be_read_is_refused_with_a_reason(region: Region) -> None:
    assert await code_of(region.status("school-9")) == "school.unknown"
    assert await code_of(region.status()) == "plan.not-adopted"
    await region.adopt()
    assert await code_of(region.status(as_of="2015-08-18")) == "as-of.in-future"
    assert await code_of(region.status(as_of="2015-08-16")) == "plan.not-adopted"
    assert await code_of(region.status("school-2", as_=DIRECTOR)) == "access.other-school"
    assert await code_of(region.status(None, as_=DIRECTOR)) == "access.other-school"
    assert await code_of(region.status("school-1", as_=municipality("m-2"))) == "access.other-municipality"
    assert await code_of(region.status(as_=Actor(Role.PUPIL, "p-1", "school-1"))) == "access.role"


async def test_as_of_shows_the_board_of_that_day_and_known_at_what_was_known_then(region: Region) -> None:
    await region.adopt()
    await region.say("roster", hired("anna"))
    await region.system.until("2015-08-20T09:00:00+03:00")
    await region.say("roster", CoordinatorAppointed(person="anna"), on=date(2015, 8, 19))
    await region.system.until("2015-08-21T09:00:00+03:00")
    await region.say("roster", CoordinatorAppointed(person="anna"), on=date(2015, 8, 18))  # learned late
    assert [school_row(await region.status(as_of=f"2015-08-{day}"), 4).state for day in (17, 18, 21)] == ["not_started", "done", "done"]
    assert school_row(await region.status(as_of="2015-08-21"), 4).first_completed_on == date(2015, 8, 18)
    then = await region.status(known_at="2015-08-20T12:00:00")
    assert (then.as_of, then.at["roster"]) == (date(2015, 8, 20), 6)
    assert school_row(then, 4).first_completed_on == date(2015, 8, 19)
    assert school_row(await region.status(known_at="2015-08-20T08:59:00+03:00"), 4).state == "not_started"
    assert await region.status(known_at="2015-08-20T12:00:00", as_of="2015-08-20") == then
    assert await code_of(region.status(known_at="2015-08-20T12:00:00", as_of="2015-08-21")) == "as-of.in-future"
    assert await code_of(region.status(known_at="2015-08-22T12:00:00")) == "known-at.in-future"
    assert await code_of(region.status(known_at="yesterday")) == "known-at.unreadable"


async def test_the_region_is_the_sum_of_its_schools(region: Region) -> None:
    for school in ("school-1", "school-2", "school-3"):
        await region.adopt(school)
        await region.staff(6, 5 if school == "school-1" else 6, school)
    board = await region.status(None)
    assert (board.school, board.schools, board.incomplete, board.by_school) == (None, 3, 0, None)
    assert region_row(board, 8) == RegionRow(step=8, states={"in_progress": 1, "done": 2}, done=17, total=18, overdue=0)
    await region.system.until("2015-08-26T09:00:00+03:00")
    assert region_row(await region.status(None), 8).overdue == 1
    assert region_row(await region.status(None, as_of="2015-08-25"), 8).overdue == 0
    assert region_row(await region.status(None, known_at="2015-08-17T12:00:00"), 8).done == 17


async def test_the_region_s_schools_come_in_pages(region: Region) -> None:
    for school in ("school-1", "school-3"):
        await region.adopt(school)
    everybody = (await region.status(None, by_school=True)).by_school
    assert everybody is not None
    assert [board.school for board in everybody] == ["school-1", "school-3"]
    assert everybody[1] == await region.status("school-3")
    rest = (await region.status(None, by_school=True, after_school="school-1")).by_school
    assert rest is not None
    assert [board.school for board in rest] == ["school-3"]


async def test_a_municipality_sees_its_own_schools_and_no_small_groups(region: Region) -> None:
    for school in ("school-1", "school-2", "school-3"):
        await region.adopt(school)
    await region.staff(20, 10, "school-1")
    await region.staff(20, 17, "school-2")
    board = await region.status(None, as_=municipality("m-1"), by_school=True)
    assert board.schools == 2
    eighth = region_row(board, 8)
    assert (eighth.done, eighth.total, eighth.suppressed) == (10, 20, 1)  # school-2 has three who have not decided
    assert '"suppressed"' not in region_row(board, 12).model_dump_json()
    assert region_row(await region.status(None), 8).suppressed == 0
    assert board.by_school is not None
    assert [school_row(one, 8).suppressed for one in board.by_school] == [False, True]
    hidden = school_row(board.by_school[1], 8)
    assert (hidden.done, hidden.total, hidden.late, hidden.state) == (None, None, None, "in_progress")
    assert school_row(board.by_school[1], 12).total == 0
    assert (await region.status(None, as_=MINISTRY)).schools == 3
    assert (await region.status(None, as_=municipality("m-3"))).schools == 0


# Why.


async def test_explaining_names_who_is_missing_the_events_that_count_and_where_the_date_comes_from(region: Region) -> None:
    await region.adopt()
    await region.say("roster", hired("anna"), hired("boris"), CoordinatorAppointed(person="anna"))
    await region.say("consent", refused("anna"))
    why = await region.system.call(EXPLAIN, ExplainRequest(school="school-1", step=8), as_=DIRECTOR)
    assert (why.missing, why.missing_total) == (("boris",), 1)
    assert [(event.service, event.position, event.type) for event in why.events] == [
        ("roster", 5, "roster.staff-hired.v1"),
        ("roster", 6, "roster.staff-hired.v1"),
        ("consent", 2, "consent.consent-refused.v1"),
    ]
    assert (why.row.done, why.row.total, why.row.blocked_by) == (1, 2, (6,))
    assert (why.title_en, why.events_total) == ("Collect staff consents to personal-data processing", 3)
    assert (why.baseline.anchor_step, why.baseline.anchor_day, why.baseline.working_days) == (4, date(2015, 8, 18), 5)
    assert [(skipped.day.day, skipped.why) for skipped in why.baseline.skipped] == [(22, "weekend"), (23, "weekend")]
    assert (why.live.due, why.live.anchor_step) == (date(2015, 8, 25), 6)
    assert why.timeline == ()


async def test_explaining_tells_when_a_step_was_completed_and_reopened(region: Region) -> None:
    await region.adopt()
    first = await region.system.call(REGISTER_ORDER, RegisterOrder(school="school-1"))
    await region.system.until("2015-08-19T09:00:00+03:00")
    await region.system.call(REVOKE_ORDER, RevokeOrder(school="school-1", order=first.order))
    await region.system.settled()
    why = await region.system.call(EXPLAIN, ExplainRequest(school="school-1", step=6))
    assert [(entry.day.day, entry.change) for entry in why.timeline] == [(17, "completed"), (19, "reopened")]
    assert why.missing == ("school-1",)
    before = await region.system.call(EXPLAIN, ExplainRequest(school="school-1", step=6, as_of=MONDAY))
    assert [(entry.day.day, entry.change) for entry in before.timeline] == [(17, "completed")]
    assert (before.missing, before.events_total) == ((), 1)


async def test_what_cannot_be_explained_is_refused_with_a_reason(region: Region) -> None:
    explain = ExplainRequest(school="school-1", step=8)
    assert await code_of(region.system.call(EXPLAIN, explain)) == "plan.not-adopted"
    await region.adopt()
    assert await code_of(region.system.call(EXPLAIN, ExplainRequest(school="school-1", step=22))) == "step.unknown"
    assert await code_of(region.system.call(EXPLAIN, ExplainRequest(school="school-9", step=8))) == "school.unknown"
    assert await code_of(region.system.call(EXPLAIN, explain, as_=municipality("m-2"))) == "access.other-municipality"
    assert await code_of(region.system.call(EXPLAIN, explain, as_=Actor(Role.PUPIL, "p-1", "school-1"))) == "access.role"


async def test_explaining_says_to_those_above_a_school_how_many_are_missing_and_never_who(region: Region) -> None:
    await region.adopt()
    await region.staff(20, 10)
    explain = ExplainRequest(school="school-1", step=8)
    own = await region.system.call(EXPLAIN, explain, as_=DIRECTOR)
    above = await region.system.call(EXPLAIN, explain, as_=municipality("m-1"))
    assert (len(own.missing), own.missing_total, own.granted) == (10, 10, 0)
    assert (above.missing, above.missing_total, above.events, above.granted) == ((), 10, (), None)
    assert above.row == own.row
    await region.staff(18, 16, first=20)
    hidden = await region.system.call(EXPLAIN, explain, as_=MINISTRY)
    assert (hidden.row.total, hidden.missing_total) == (38, 12)
    classes = await region.system.call(EXPLAIN, ExplainRequest(school="school-1", step=11), as_=MINISTRY)
    assert classes.missing == ("group-types", "positions", "rooms", "subjects")


async def test_explaining_shows_the_granted_beside_the_decided_and_what_one_better_does_first(region: Region) -> None:
    await region.adopt()
    await region.say("roster", hired("anna"), hired("boris"))
    await region.say("consent", refused("anna"))
    why = await region.system.call(EXPLAIN, ExplainRequest(school="school-1", step=8), as_=DIRECTOR)
    assert (why.row.done, why.granted) == (1, 0)
    assert why.rule_ru.startswith("Каждый работающий сотрудник принял решение")
    periods = await region.system.call(EXPLAIN, ExplainRequest(school="school-1", step=9), as_=DIRECTOR)
    assert periods.warnings == (2,)


async def test_an_annulled_event_is_shown_struck_with_its_annulment(region: Region) -> None:
    await region.adopt()
    await region.say("roster", hired("anna"), CoordinatorAppointed(person="anna"))
    annulled = EntryAnnulled(event="e-1", position=6, event_type="roster.coordinator-appointed.v1", reason=AnnulmentReason.MISTYPED)
    await region.say("roster", annulled)
    why = await region.system.call(EXPLAIN, ExplainRequest(school="school-1", step=4), as_=DIRECTOR)
    assert why.row.state == "not_started"
    assert [(event.position, event.type, event.annulled) for event in why.events] == [
        (5, "roster.staff-hired.v1", False),
        (6, "roster.coordinator-appointed.v1", True),
        (7, "roster.entry-annulled.v1", False),
    ]


# The same answer again, and what has changed since.


async def test_an_answer_s_vector_gives_the_same_answer_again_byte_for_byte_whatever_has_happened_since(region: Region) -> None:
    await region.adopt()
    await region.staff(6, 5)
    before = await region.status()
    why = await region.system.call(EXPLAIN, ExplainRequest(school="school-1", step=8), as_=DIRECTOR)
    of_region = await region.status(None)
    await region.system.until("2015-08-24T09:00:00+03:00")
    await region.staff(4, 4, first=6)
    await region.say("roster", StaffDismissed(person="school-1-0"), on=MONDAY)
    assert await region.status() != before
    again = await region.status(as_of=str(before.as_of), at=before.at)
    assert again.model_dump_json() == before.model_dump_json()
    asked = ExplainRequest(school="school-1", step=8, as_of=why.as_of, at=why.at)
    assert (await region.system.call(EXPLAIN, asked, as_=DIRECTOR)).model_dump_json() == why.model_dump_json()
    assert (await region.status(None, as_of=str(of_region.as_of), at=of_region.at)).model_dump_json() == of_region.model_dump_json()


async def test_positions_that_nobody_has_reached_yet_and_two_ways_to_say_what_was_known_are_refused(region: Region) -> None:
    await region.adopt()
    assert await code_of(region.status(at={"roster": 999})) == "at.in-future"
    assert await code_of(region.status(at={"roster": 1}, known_at="2015-08-17T08:00:00+03:00")) == "known.twice"


async def test_the_difference_of_two_boards_names_the_fields_that_changed(region: Region) -> None:
    await region.adopt()
    await region.say("roster", hired("anna"), CoordinatorAppointed(person="anna"))
    await region.system.until("2015-08-19T09:00:00+03:00")
    await region.say("roster", CoordinatorRelieved(person="anna"), on=date(2015, 8, 19))
    diff = await region.system.call(DIFF, DiffRequest(school="school-1", as_of=date(2015, 8, 18)), as_=DIRECTOR)
    changes = {step.step: step.changes for step in diff.steps}
    assert changes[4]["state"] == ("done", "reopened")
    assert changes[4]["done"] == (1, 0)
    assert (diff.before.as_of, diff.after.as_of) == (date(2015, 8, 18), date(2015, 8, 19))
    same = await region.system.call(DIFF, DiffRequest(school="school-1", as_of=date(2015, 8, 18), to_as_of=date(2015, 8, 18)), as_=DIRECTOR)
    assert same.steps == ()


async def test_the_difference_of_what_was_known_shows_what_was_learned_since(region: Region) -> None:
    await region.adopt()
    await region.say("roster", hired("anna"))
    await region.system.until("2015-08-20T09:00:00+03:00")
    await region.say("roster", CoordinatorAppointed(person="anna"), on=date(2015, 8, 18))
    learned = DiffRequest(school="school-1", as_of=date(2015, 8, 18), known_at="2015-08-19T12:00:00", to_as_of=date(2015, 8, 18))
    changes = {step.step: step.changes for step in (await region.system.call(DIFF, learned, as_=DIRECTOR)).steps}
    assert changes[4]["state"] == ("not_started", "done")
    everywhere = (await region.system.call(DIFF, DiffRequest(as_of=date(2015, 8, 18), known_at="2015-08-19T12:00:00"))).steps
    assert next(step for step in everywhere if step.step == 4).changes["states"] == ({"not_started": 1}, {"done": 1})
