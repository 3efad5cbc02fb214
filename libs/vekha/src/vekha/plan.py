"""`vekha plan`: starts a school's plan, shows the board of its 21 steps, explains one of them, and compares two boards."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from typing import Any, TypeVar, get_args

import click

from contracts.plan import (
    ADOPT_PLAN,
    DEFAULT_PLAN,
    DIFF,
    EXPLAIN,
    EXTEND_DEADLINE,
    STATUS,
    WAIVE_STEP,
    AdoptPlan,
    AnchorReading,
    Board,
    CountFrom,
    DiffRequest,
    ExceptionReason,
    ExplainRequest,
    ExtendDeadline,
    StatusRequest,
    WaiveStep,
)
from vekha import board, output
from vekha.client import Client, Target, connected
from vekha.loop import run
from vekha.options import ID, as_option, json_option, positions_in, target_options

_SCHOOL_FIELDS = ("school", "plan", "revision", "rules", "as_of", "at", "calendar", "incomplete", "steps")
_REGION_FIELDS = ("plan", "as_of", "at", "schools", "incomplete", "steps")
_STATUS_TIMEOUT_S = 30.0

_Command = TypeVar("_Command", bound=Callable[..., Any])


class _Day(click.ParamType[date]):
    name = "DATE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> date:
        try:
            return value if isinstance(value, date) else date.fromisoformat(value)
        except ValueError:
            self.fail("give a date like 2015-08-17", param, ctx)


def _known_at(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    try:
        if value is not None:
            datetime.fromisoformat(value)
    except ValueError:
        raise click.BadParameter("give RFC 3339, like 2015-08-17T09:00:00+03:00; without offset it is the school's time") from None
    return value


def _positions(_context: click.Context, _parameter: click.Parameter, value: str | None) -> dict[str, int] | None:
    if value is None:
        return None
    try:
        return positions_in(value)
    except ValueError:
        text = "give positions like roster=812,consent=640, or as an answer carries them; a service that is left out is not looked at"
        raise click.BadParameter(text) from None


def _known_options(prefix: str = "", when: str = "") -> Callable[[_Command], _Command]:
    """Of which day, and of what was known, a board is asked for."""

    def decorate(function: _Command) -> _Command:
        for decorator in (
            click.option(f"--{prefix}at", metavar="POSITIONS", callback=_positions, help=f"{when}As far as the logs reached these."),
            click.option(f"--{prefix}known-at", metavar="TIME", callback=_known_at, help=f"{when}As far as it was known then."),
            click.option(f"--{prefix}as-of", type=_Day(), help=f"{when}At the end of that day."),
        ):
            function = decorator(function)
        return function

    return decorate


_reason_option = click.option("--reason", type=click.Choice([reason.value for reason in ExceptionReason]), required=True)

_region_plan_option = click.option("--plan", "plan_name", type=ID, metavar="NAME", help="The region's plan, by default the commonest.")


@click.group()
def plan() -> None:
    """Start a school's plan, show its board, explain a step, compare two boards, make an exception."""


@plan.command()
@click.option("--school", type=ID, metavar="ID", required=True)
@click.option("--start", type=_Day(), required=True, help="The day on which the plan starts.")
@click.option("--week", type=click.Choice(["5", "6"]), help="How many days the school's week has; by default what the plan says.")
@click.option("--anchor", type=click.Choice(get_args(AnchorReading)), help="What terms run from; by default what the plan says.")
@click.option(
    "--count-from", type=click.Choice(get_args(CountFrom)), help="Whether a term counts the day it begins on; by default as the plan says."
)
@click.option("--plan", "name", type=ID, metavar="NAME", default=DEFAULT_PLAN, show_default=True)
@as_option
@target_options
@json_option
def adopt(
    target: Target,
    school: str,
    start: date,
    week: str | None,
    anchor: str | None,
    count_from: str | None,
    name: str,
    acting_as: str | None,
    as_json: bool,
) -> None:
    """Start a plan in a school: due dates are computed and frozen."""
    chosen = {"week": week and int(week), "anchor": anchor, "count_from": count_from}
    said = {option: value for option, value in chosen.items() if value is not None}
    request = AdoptPlan.model_validate({"school": school, "start": start, "plan": name, **said})
    run(_adopt(target, request, acting_as, as_json=as_json))


@plan.command()
@click.option("--school", type=ID, metavar="ID", required=True)
@click.option("--step", type=click.IntRange(1, 99), required=True)
@_reason_option
@as_option
@target_options
@json_option
def waive(target: Target, school: str, step: int, reason: str, acting_as: str | None, as_json: bool) -> None:
    """Waive a step for a school, from today on. `vekha call plan.revoke-waiver` takes it back."""
    request = WaiveStep(school=school, step=step, reason=ExceptionReason(reason))
    run(_waive(target, request, acting_as, as_json=as_json))


@plan.command()
@click.option("--school", type=ID, metavar="ID", required=True)
@click.option("--step", type=click.IntRange(1, 99), required=True)
@click.option("--until", "due", type=_Day(), required=True, help="The last day that the school has for the step.")
@_reason_option
@as_option
@target_options
@json_option
def extend(target: Target, school: str, step: int, due: date, reason: str, acting_as: str | None, as_json: bool) -> None:
    """Give a school more time for a step, and print the dates that this moves."""
    request = ExtendDeadline(school=school, step=step, due=due, reason=ExceptionReason(reason))
    run(_extend(target, request, acting_as, as_json=as_json))


@plan.command()
@click.option("--school", type=ID, metavar="ID", help="By default the region: how many schools stand where.")
@_region_plan_option
@_known_options()
@click.option("--by-school", is_flag=True, help="The region, and each school's board.")
@as_option
@target_options
@json_option
def status(
    target: Target,
    school: str | None,
    plan_name: str | None,
    as_of: date | None,
    known_at: str | None,
    at: dict[str, int] | None,
    by_school: bool,
    acting_as: str | None,
    as_json: bool,
) -> None:
    """Show the board: a school's 21 rows or, without a school, the region's."""
    if school is not None and by_school:
        raise click.UsageError("--by-school shows the region: leave --school out.")
    if school is not None and plan_name is not None:
        raise click.UsageError("--plan chooses a plan of the region: a school has one.")
    request = StatusRequest(school=school, plan=plan_name, as_of=as_of, known_at=known_at, at=at, by_school=by_school)
    run(_status(target, request, acting_as, as_json=as_json))


@plan.command()
@click.option("--school", type=ID, metavar="ID", required=True)
@click.option("--step", type=click.IntRange(1, 99), required=True)
@_known_options()
@as_option
@target_options
@json_option
def explain(
    target: Target,
    school: str,
    step: int,
    as_of: date | None,
    known_at: str | None,
    at: dict[str, int] | None,
    acting_as: str | None,
    as_json: bool,
) -> None:
    """Say why a step stands where it stands: what counts, who is missing, what the deadline was computed from."""
    request = ExplainRequest(school=school, step=step, as_of=as_of, known_at=known_at, at=at)
    run(_explain(target, request, acting_as, as_json=as_json))


@plan.command()
@click.option("--school", type=ID, metavar="ID", help="By default the region.")
@_region_plan_option
@_known_options()
@_known_options("to-", "The later board, by default the present one. ")
@as_option
@target_options
@json_option
def diff(target: Target, plan_name: str | None, acting_as: str | None, as_json: bool, **asked: Any) -> None:
    """Say what two boards differ in: of two days, or of what was known at two times.

    `--known-at` alone says what has been learned since.
    """
    if asked["school"] is not None and plan_name is not None:
        raise click.UsageError("--plan chooses a plan of the region: a school has one.")
    run(_diff(target, DiffRequest(plan=plan_name, **asked), acting_as, as_json=as_json))


async def _adopt(target: Target, request: AdoptPlan, acting_as: str | None, *, as_json: bool) -> None:
    async with connected(target) as client:
        answer = await client.ask(ADOPT_PLAN, request, as_=acting_as, up_to_date=True)
    if as_json:
        output.print_json({"reply": answer.reply.model_dump(), "at": answer.at, "command_id": answer.command_id})
    else:
        console = output.console()
        console.print(board.baseline_table(request, answer.reply, console.width))


async def _waive(target: Target, request: WaiveStep, acting_as: str | None, *, as_json: bool) -> None:
    async with connected(target) as client:
        answer = await client.ask(WAIVE_STEP, request, as_=acting_as, up_to_date=True)
    if as_json:
        output.print_json({"reply": answer.reply.model_dump(), "at": answer.at, "command_id": answer.command_id})
    else:
        output.console().print(f"{request.school}: step {request.step} is waived, {request.reason}")


async def _extend(target: Target, request: ExtendDeadline, acting_as: str | None, *, as_json: bool) -> None:
    async with connected(target) as client:
        answer = await client.ask(EXTEND_DEADLINE, request, as_=acting_as, up_to_date=True)
    if as_json:
        output.print_json({"reply": answer.reply.model_dump(), "at": answer.at, "command_id": answer.command_id})
    else:
        console = output.console()
        console.print(board.moved_table(request, answer.reply, console.width))


async def _status(target: Target, request: StatusRequest, acting_as: str | None, *, as_json: bool) -> None:
    async with connected(target) as client:
        found = await whole_board(client, request, as_=acting_as)
    if as_json:
        output.print_json(board_json(found))
        return
    console = output.console()
    console.print(board.board_table(found, console.width))
    for school in found.by_school or ():
        console.print(board.board_table(school, console.width))
    for name, schools in (found.other_plans or {}).items():
        output.remark(f"Without the schools that follow {name}, {schools}. See: vekha plan status --plan {name}")
    if found.incomplete:
        output.remark("Some events could not be taken in, so this is incomplete. `vekha doctor` says which and why.")


async def _explain(target: Target, request: ExplainRequest, acting_as: str | None, *, as_json: bool) -> None:
    async with connected(target) as client:
        found = (await client.ask(EXPLAIN, request, as_=acting_as, up_to_date=True, timeout_s=_STATUS_TIMEOUT_S)).reply
    if as_json:
        output.print_json(found.model_dump())
    else:
        output.console().print(board.explanation(found))


async def _diff(target: Target, request: DiffRequest, acting_as: str | None, *, as_json: bool) -> None:
    async with connected(target) as client:
        found = (await client.ask(DIFF, request, as_=acting_as, up_to_date=True, timeout_s=_STATUS_TIMEOUT_S)).reply
    if as_json:
        output.print_json(found.model_dump())
    else:
        output.console().print(board.difference(found))


async def whole_board(client: Client, request: StatusRequest, *, as_: str | None = None) -> Board:
    """The board with all pages of its schools."""
    found = (await client.ask(STATUS, request, as_=as_, up_to_date=True, timeout_s=_STATUS_TIMEOUT_S)).reply
    schools = page = list(found.by_school or ())
    while page:
        following = request.model_copy(update={"plan": found.plan, "after_school": page[-1].school})
        page = list((await client.ask(STATUS, following, as_=as_, timeout_s=_STATUS_TIMEOUT_S)).reply.by_school or ())
        schools = schools + page
    return found.model_copy(update={"by_school": tuple(schools)}) if request.by_school else found


def board_json(found: Board) -> dict[str, Any]:
    """A board as scripts read it: what belongs to the region does not stand in a school's, and the other way round."""
    fields = found.model_dump()
    shown = {name: fields[name] for name in (_SCHOOL_FIELDS if found.school is not None else _REGION_FIELDS)}
    if found.parked:
        shown["parked"] = fields["parked"]
    if found.other_plans:
        shown["other_plans"] = found.other_plans
    if found.by_school is not None:
        shown["by_school"] = [board_json(school) for school in found.by_school]
    return shown
