"""`vekha events`: reads the logs, of one service or of all five in the order in which things were learned."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import click
import msgspec

from contracts.event import EVENTS, SERVICES
from contracts.operations import READ_LOG, ReadLog
from eventkit import log
from eventkit.event import Recorded, decode
from vekha.client import Client, Target, connected
from vekha.failures import Failure
from vekha.loop import run
from vekha.options import ID, json_option, target_options
from vekha.records import reading

_PAGE = 500
_FOLLOW_EVERY_S = 0.5

Page = Callable[[str, int], Awaitable[Sequence[bytes]]]
"""The next events of a service's log after a position, verbatim; none at its end."""


@dataclass(frozen=True)
class Wanted:
    """Which events to show."""

    school: str | None
    person: str | None
    type: str | None

    def __contains__(self, event: Recorded) -> bool:
        if self.school is not None and event.school != self.school:
            return False
        if self.type is not None and self.type not in _names(event.type):
            return False
        return self.person is None or event.stream.endswith(f"-{self.person}") or self.person in _texts(event.facts()[1])


@click.command()
@click.option("--service", type=click.Choice(SERVICES), help="Only this service's log; by default all five, by time.")
@click.option("--school", type=ID, metavar="ID", help="Only events of this school.")
@click.option("--person", metavar="ID", help="Only events that name this person's id.")
@click.option("--type", "type_name", metavar="TYPE", help="Only this type, e.g. pupil-enrolled or roster.pupil-enrolled.v1.")
@click.option("--follow", is_flag=True, help="Go on with new events until Ctrl-C.")
@click.option("--offline", is_flag=True, help="Read the databases, also while the instance is stopped.")
@target_options
@json_option
def events(
    target: Target,
    service: str | None,
    school: str | None,
    person: str | None,
    type_name: str | None,
    follow: bool,
    offline: bool,
    as_json: bool,
) -> None:
    """Read the log: with --json each event as it is recorded, byte for byte, one a line."""
    if type_name is not None and not any(type_name in _names(declared) for declared in EVENTS):
        raise Failure("type.unknown", f"There is no event of type {type_name}.", "`vekha events` shows each event's type.")
    services = [service] if service else list(SERVICES)
    run(_events(target, services, Wanted(school, person, type_name), follow=follow, offline=offline, as_json=as_json))


async def _events(target: Target, services: Sequence[str], wanted: Wanted, *, follow: bool, offline: bool, as_json: bool) -> None:
    positions = dict.fromkeys(services, 0)
    shown = False
    async with _databases(target) if offline else _calls(target) as page:
        while True:
            async for event, data in _merged(page, positions):
                if event in wanted:
                    shown = True
                    click.echo(data if as_json else _line(event))
            if not follow:
                break
            await asyncio.sleep(_FOLLOW_EVERY_S)
        if not shown:
            await _check_known(page, wanted)


async def _check_known(page: Page, wanted: Wanted) -> None:
    """Raises Failure where no event of any service is of the school, or names the person: most likely that was mistyped."""
    missing = {"school": wanted.school, "person": wanted.person}
    async for event, _ in _merged(page, dict.fromkeys(SERVICES, 0)):
        for what, one in (("school", Wanted(wanted.school, None, None)), ("person", Wanted(None, wanted.person, None))):
            if event in one:
                missing[what] = None
    for what, identifier in missing.items():
        if identifier is not None:
            raise Failure(f"{what}.unknown", f"No event knows a {what} {identifier}.", "Check the id.")


async def _merged(page: Page, positions: dict[str, int]) -> AsyncGenerator[tuple[Recorded, bytes]]:
    """What the logs hold beyond the positions, which move along, in the order of recorded_at."""
    buffers: dict[str, list[tuple[Recorded, bytes]]] = {service: [] for service in positions}
    while True:
        for service in list(buffers):
            if not buffers[service]:
                run = await page(service, positions[service])
                buffers[service] = [(decode(data), data) for data in reversed(run)]
                if not run:
                    del buffers[service]
        if not buffers:
            return
        service = min(buffers, key=lambda name: buffers[name][-1][0].recordedat)
        event, data = buffers[service].pop()
        positions[service] = event.position
        yield event, data


@asynccontextmanager
async def _calls(target: Target) -> AsyncGenerator[Page]:
    async with connected(target) as client:
        yield lambda service, after: _page(client, service, after)


async def _page(client: Client, service: str, after: int) -> Sequence[bytes]:
    run = (await client.ask(READ_LOG[service], ReadLog(after=after, limit=_PAGE))).reply
    return [base64.b64decode(row.bytes) for row in run.rows]


async def log_bytes(client: Client, service: str) -> AsyncGenerator[bytes]:
    """Every event of a service's log, verbatim, asked from the running instance."""
    after = 0
    while run := await _page(client, service, after):
        for data in run:
            yield data
        after += len(run)


@asynccontextmanager
async def _databases(target: Target) -> AsyncGenerator[Page]:
    target.folder.check_is_made()

    async def page(service: str, after: int) -> Sequence[bytes]:
        with reading(target.folder, service) as connection:
            return [data for _, _, data in log.read(connection, after, _PAGE)]

    yield page


def _line(event: Recorded) -> str:
    place = f"{event.service} {event.position}"
    facts = ", ".join(f"{name}={_plain(value)}" for name, value in event.facts()[1].items())
    return f"{event.recordedat[:19]}Z  {place:<15} {event.school:<12} {event.happenedon}  {event.type}  {facts}"


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _names(type_name: str) -> Iterator[str]:
    """The names by which one may ask for a type: with and without its service, with and without its version."""
    without_service = type_name.split(".", 1)[1]
    for name in (type_name, without_service):
        yield name
        yield name.rsplit(".", 1)[0]


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():  # pyright: ignore[reportUnknownVariableType] -- decoded JSON
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:  # pyright: ignore[reportUnknownVariableType] -- as above
            yield from _texts(inner)
