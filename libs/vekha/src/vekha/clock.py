"""`vekha clock`: moves the manual clock of a demo or test instance, through every timer on the way."""

from __future__ import annotations

from datetime import datetime, timedelta

import click

from eventkit.event import rfc3339
from vekha import output
from vekha.client import Target, connected
from vekha.folder import moment_of
from vekha.loop import run
from vekha.moving import move_clock, time_of
from vekha.options import json_option, target_options


@click.group()
def clock() -> None:
    """Move the manual clock of a demo or test instance."""


def _time(_context: click.Context, _parameter: click.Parameter, value: str) -> datetime:
    try:
        return moment_of(value)
    except ValueError:
        raise click.BadParameter("give a date (2015-08-17) or RFC 3339 (2015-08-17T09:00:00+03:00)") from None


@clock.command("set")
@click.argument("to", metavar="TIME", callback=_time)
@target_options
@json_option
def set_clock(target: Target, to: datetime, as_json: bool) -> None:
    """Move the clock to TIME: a date (its beginning in Moscow) or RFC 3339. It never goes back."""
    run(_set(target, to, as_json=as_json))


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
    run(_advance(target, timedelta(days=days, hours=hours, minutes=minutes), as_json=as_json))


async def _set(target: Target, to: datetime, *, as_json: bool) -> None:
    async with connected(target) as client:
        await move_clock(client, to)
        _tell(await time_of(client), as_json=as_json)


async def _advance(target: Target, by: timedelta, *, as_json: bool) -> None:
    async with connected(target) as client:
        await move_clock(client, await time_of(client) + by)
        _tell(await time_of(client), as_json=as_json)


def _tell(now: datetime, *, as_json: bool) -> None:
    if as_json:
        output.print_json({"kind": "manual", "now": rfc3339(now)})
    else:
        click.echo(f"The clock stands at {rfc3339(now)}.")
