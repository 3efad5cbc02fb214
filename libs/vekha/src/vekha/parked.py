"""`vekha parked`: the events that a reader could not take in, and another try."""

from __future__ import annotations

import click
from rich.table import Table

from contracts.event import SERVICES
from contracts.operations import PARKED, RETRY_PARKED, Nothing, RetryParked
from vekha import output
from vekha.client import Target, connected
from vekha.loop import run
from vekha.options import ID, json_option, target_options


@click.group()
def parked() -> None:
    """Show the events that readers have parked, or try them again."""


@parked.command("list")
@target_options
@json_option
def list_parked(target: Target, as_json: bool) -> None:
    """Show what is parked, and why. Later events of the same school wait behind it."""
    run(_list(target, as_json=as_json))


@parked.command()
@click.option("--service", type=click.Choice(SERVICES), help="Whose readers; by default everybody's.")
@click.option("--school", type=ID, metavar="ID", help="Only this school's events.")
@target_options
@json_option
def retry(target: Target, service: str | None, school: str | None, as_json: bool) -> None:
    """Try parked events again, in order, after what stopped them was mended."""
    run(_retry(target, [service] if service else list(SERVICES), school, as_json=as_json))


async def _list(target: Target, *, as_json: bool) -> None:
    async with connected(target) as client:
        found = [
            {"service": service, **event.model_dump()}
            for service in SERVICES
            for event in (await client.ask(PARKED[service], Nothing())).reply.events
        ]
    if as_json:
        output.print_json({"parked": found})
    elif not found:
        click.echo("Nothing is parked.")
    else:
        table = Table("service", "reader", "school", "event", "reason")
        for row in found:
            event = f"{row['source']} {row['position']} {row['type']}"
            table.add_row(*(str(cell) for cell in (row["service"], row["reader"], row["school"], event, row["reason"])))
        output.console().print(table)
        output.remark("Mend what the reason names, then: vekha parked retry")


async def _retry(target: Target, services: list[str], school: str | None, *, as_json: bool) -> None:
    applied = left = 0
    async with connected(target) as client:
        for service in services:
            reply = (await client.ask(RETRY_PARKED[service], RetryParked(school=school), timeout_s=60.0)).reply
            applied, left = applied + reply.applied, left + reply.left
    if as_json:
        output.print_json({"applied": applied, "left": left})
    else:
        click.echo(f"{applied} taken in, {left} still parked.")
