"""`vekha parked`: the events that a reader could not take in: to look at, to try again, or to skip."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import click
from rich.table import Table

from contracts.event import SERVICES
from contracts.parking import (
    PARKED,
    RETRY_PARKED,
    SHOW_PARKED,
    SKIP_PARKED,
    ParkedEvent,
    ParkedPlace,
    ParkedQuery,
    RetryParked,
    ShowParked,
    SkipParked,
    SkipReason,
)
from vekha import output
from vekha.client import Client, Target, connected
from vekha.loop import run
from vekha.options import ID, json_option, target_options

_PATIENCE_S = 60.0  # what waited behind an event may be many


@click.group()
def parked() -> None:
    """Show the events that readers have parked, try them again, or skip them."""


def place_arguments(command: Callable[..., Any]) -> Callable[..., Any]:
    """Names a parked event: whose reader, which log, which position, as `vekha parked list` shows them."""
    for argument in (
        click.argument("position", type=click.IntRange(1)),
        click.argument("source", type=click.Choice(SERVICES)),
        click.argument("reader", type=ID),
        click.argument("service", type=click.Choice(SERVICES)),
    ):
        command = argument(command)
    return command


@parked.command("list")
@click.option("--school", type=ID, metavar="ID", help="Only this school's events.")
@target_options
@json_option
def list_parked(target: Target, school: str | None, as_json: bool) -> None:
    """Show what is parked, and why. Later events of the same school wait behind it."""
    run(_list(target, school, as_json=as_json))


@parked.command()
@place_arguments
@target_options
@json_option
def show(target: Target, service: str, reader: str, source: str, position: int, as_json: bool) -> None:
    """Show one parked event: why it was parked, what it says, and what waits behind it."""
    run(_show(target, service, ShowParked.model_validate({"reader": reader, "source": source, "position": position}), as_json=as_json))


@parked.command()
@click.option("--service", type=click.Choice(SERVICES), help="Whose readers; by default everybody's.")
@click.option("--school", type=ID, metavar="ID", help="Only this school's events.")
@target_options
@json_option
def retry(target: Target, service: str | None, school: str | None, as_json: bool) -> None:
    """Try parked events again, in order, after what stopped them was mended."""
    run(_retry(target, [service] if service else list(SERVICES), school, as_json=as_json))


@parked.command()
@place_arguments
@click.option(
    "--reason", type=click.Choice([reason.value for reason in SkipReason]), required=True, help="Why the reader can do without it."
)
@target_options
@json_option
def skip(target: Target, service: str, reader: str, source: str, position: int, reason: str, as_json: bool) -> None:
    """Have a reader go on without an event, for good. What waited behind it is tried at once. The skip is recorded."""
    request = SkipParked.model_validate({"reader": reader, "source": source, "position": position, "reason": reason})
    run(_skip(target, service, request, as_json=as_json))


async def _list(target: Target, school: str | None, *, as_json: bool) -> None:
    async with connected(target) as client:
        found = [{"service": service, **event.model_dump()} for service in SERVICES async for event in _parked(client, service, school)]
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


async def _parked(client: Client, service: str, school: str | None) -> AsyncIterator[ParkedEvent]:
    after: ParkedPlace | None = None
    while True:
        reply = (await client.ask(PARKED[service], ParkedQuery(school=school, after=after))).reply
        for event in reply.events:
            yield event
        if not reply.more:
            return
        after = ParkedPlace.model_validate(reply.events[-1].model_dump(include={"reader", "source", "position"}))


async def _show(target: Target, service: str, place: ShowParked, *, as_json: bool) -> None:
    async with connected(target) as client:
        found = (await client.ask(SHOW_PARKED[service], place)).reply
    event, data = found.event, base64.b64decode(found.bytes)
    said = _as_json(data)
    if as_json:
        shown = {"service": service, **event.model_dump(), "sha256": found.sha256, "behind": found.behind}
        output.print_json(shown | ({"bytes": found.bytes} if said is None else {"event": said}))
        return
    click.echo(f"{event.source} {event.position} {event.type}, parked by {service}'s {event.reader}: {event.reason}.")
    click.echo(f"{found.behind} later events of {event.school} wait behind it." if found.behind else "Nothing waits behind it.")
    if said is None:
        click.echo(f"Its {len(data)} bytes are no event. Their SHA-256 is {found.sha256}.")
    else:
        click.echo(json.dumps(said, ensure_ascii=False, indent=2))


def _as_json(data: bytes) -> Any:
    """What the bytes say, None where they are no JSON."""
    try:
        return json.loads(data)
    except ValueError:
        return None


async def _retry(target: Target, services: Sequence[str], school: str | None, *, as_json: bool) -> None:
    applied = left = 0
    async with connected(target) as client:
        for service in services:
            reply = (await client.ask(RETRY_PARKED[service], RetryParked(school=school), timeout_s=_PATIENCE_S)).reply
            applied, left = applied + reply.applied, left + reply.left
    if as_json:
        output.print_json({"applied": applied, "left": left})
    else:
        click.echo(f"{applied} taken in, {left} still parked.")


async def _skip(target: Target, service: str, request: SkipParked, *, as_json: bool) -> None:
    async with connected(target) as client:
        answer = await client.ask(SKIP_PARKED[service], request, timeout_s=_PATIENCE_S)
        school = answer.reply.school
        left = [event async for event in _parked(client, service, school) if event.reader == request.reader]
    if as_json:
        output.print_json({"school": school, "sha256": answer.reply.sha256, "left": len(left), "at": answer.at})
    else:
        click.echo(
            f"{service}'s {request.reader} goes on without {request.source} {request.position}. {len(left)} still parked of {school}."
        )
