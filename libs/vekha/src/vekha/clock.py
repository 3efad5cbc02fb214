"""`vekha clock`: moves the manual clock of a demo or test instance, through every timer on the way."""

from __future__ import annotations

from typing import TypeVar

import click

from contracts.call import Call, Request
from contracts.operations import ADVANCE_CLOCK, SET_CLOCK, AdvanceClock, ClockReply, SetClock
from vekha import output
from vekha.client import Target, connected
from vekha.folder import moment_of
from vekha.loop import run
from vekha.options import json_option, target_options

MOVE_TIMEOUT_S = 600.0  # a year of timers may lie on the way

Q = TypeVar("Q", bound=Request)


@click.group()
def clock() -> None:
    """Move the manual clock of a demo or test instance."""


def _time(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    try:
        moment_of(value)
    except ValueError:
        raise click.BadParameter("give a date (2015-08-17) or RFC 3339 (2015-08-17T09:00:00+03:00)") from None
    return value


@clock.command("set")
@click.argument("to", metavar="TIME", callback=_time)
@target_options
@json_option
def set_clock(target: Target, to: str, as_json: bool) -> None:
    """Move the clock to TIME: a date (its beginning in Moscow) or RFC 3339. It never goes back."""
    run(_move(target, SET_CLOCK, SetClock(to=to), as_json=as_json))


@clock.command()
@click.option("--days", type=click.IntRange(0, 3660), default=0)
@click.option("--hours", type=click.IntRange(0, 24), default=0)
@click.option("--minutes", type=click.IntRange(0, 60), default=0)
@target_options
@json_option
def advance(target: Target, days: int, hours: int, minutes: int, as_json: bool) -> None:
    """Move the clock forward."""
    if not (days or hours or minutes):
        raise click.UsageError("By how much? Give --days, --hours or --minutes.")
    run(_move(target, ADVANCE_CLOCK, AdvanceClock(days=days, hours=hours, minutes=minutes), as_json=as_json))


async def _move(target: Target, call: Call[Q, ClockReply], request: Q, *, as_json: bool) -> None:
    async with connected(target) as client:
        found = (await client.ask(call, request, timeout_s=MOVE_TIMEOUT_S)).reply
    if as_json:
        output.print_json(found.model_dump())
    else:
        click.echo(f"The clock stands at {found.now}.")
