"""`vekha projections`: the services' readers, and their rows built anew beside the live ones, compared, and switched to."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import click
from pydantic import ValidationError
from rich.table import Table

from contracts.event import SERVICES
from contracts.operations import Nothing
from contracts.rebuilding import (
    DROP_PROJECTION,
    PROJECTIONS,
    REBUILD_PROJECTION,
    SWITCH_PROJECTION,
    Comparison,
    DropProjection,
    ProjectionShown,
    RebuildProjection,
    SwitchProjection,
    VersionShown,
)
from vekha import output
from vekha.client import Client, Target, connected
from vekha.failures import Exit
from vekha.loop import run
from vekha.options import ID, json_option, target_options

_LOOK_EVERY_S = 0.2
_PATIENCE_S = 60.0  # to drop much takes its time

service_argument = click.argument("service", type=click.Choice(SERVICES))
projection_argument = click.argument("projection", type=ID)


@click.group()
def projections() -> None:
    """Show what the services derive from the logs, and build it anew beside what is live."""


@projections.command("list")
@target_options
@json_option
def list_projections(target: Target, as_json: bool) -> None:
    """Show all projections and reactions, how far they have read, and which versions of their rows there are."""
    run(_list(target, as_json=as_json))


@projections.command()
@service_argument
@projection_argument
@target_options
@json_option
def rebuild(target: Target, service: str, projection: str, as_json: bool) -> int:
    """Build a new version of a projection's rows from the logs, and compare it with the live one at the same positions.

    The service goes on answering. Who interrupts this command stops no rebuild: typed again it goes on showing it.
    """
    return run(_rebuild(target, service, projection, as_json=as_json))


@projections.command()
@service_argument
@projection_argument
@click.argument("version", type=click.IntRange(1))
@click.option("--accept", metavar="DIGEST", help="Take a version that differs, named by the digest of its rows.")
@target_options
@json_option
def switch(target: Target, service: str, projection: str, version: int, accept: str | None, as_json: bool) -> int:
    """Make a version live, after it was compared once more. The one before it stays until it is dropped."""
    try:
        request = SwitchProjection.model_validate({"projection": projection, "version": version, "accept": accept})
    except ValidationError:
        raise click.UsageError("A digest has 64 hexadecimal digits, as `vekha projections rebuild` tells it.") from None
    return run(_switch(target, service, request, as_json=as_json))


@projections.command()
@service_argument
@projection_argument
@click.argument("version", type=click.IntRange(1))
@target_options
@json_option
def drop(target: Target, service: str, projection: str, version: int, as_json: bool) -> None:
    """Drop a version that is not live: one that is old, or one that is being built."""
    run(_drop(target, service, DropProjection(projection=projection, version=version), as_json=as_json))


async def _list(target: Target, *, as_json: bool) -> None:
    async with connected(target) as client:
        found = [(service, shown) for service in SERVICES for shown in await _projections(client, service)]
    if as_json:
        output.print_json({"projections": [{"service": service, **shown.model_dump(mode="json")} for service, shown in found]})
        return
    table = Table("service", "projection", "version", "state", "read")
    for service, shown in found:
        for version in shown.versions:
            name = shown.name if shown.kind == "projection" else f"{shown.name} (reaction)"
            table.add_row(service, name, str(version.version), version.state, _read(version))
    output.console().print(table)


async def _rebuild(target: Target, service: str, projection: str, *, as_json: bool) -> int:
    async with connected(target) as client:
        begun = (await client.ask(REBUILD_PROJECTION[service], RebuildProjection(projection=projection))).reply
        version = await _followed(client, service, projection, begun.version, "Building")
    if as_json:
        output.print_json(version.model_dump(mode="json"))
    elif version.compared is not None:
        _print_comparison(version.compared)
        if version.state == "same":
            output.remark(f"To make it live: vekha projections switch {service} {projection} {version.version}")
    return Exit.OK if version.state == "same" else Exit.FAILED


async def _switch(target: Target, service: str, request: SwitchProjection, *, as_json: bool) -> int:
    async with connected(target) as client:
        await client.ask(SWITCH_PROJECTION[service], request)
        version = await _followed(client, service, request.projection, request.version, "Switching")
    if as_json:
        output.print_json(version.model_dump(mode="json"))
    elif version.state == "live":
        click.echo(f"Version {version.version} of {service}'s {request.projection} is live.")
        output.remark("The one before it is kept until it is dropped: vekha projections drop")
    elif version.compared is not None:
        _print_comparison(version.compared)
    return Exit.OK if version.state == "live" else Exit.FAILED


async def _drop(target: Target, service: str, request: DropProjection, *, as_json: bool) -> None:
    async with connected(target) as client:
        dropped = (await client.ask(DROP_PROJECTION[service], request, timeout_s=_PATIENCE_S)).reply
    if as_json:
        output.print_json(dropped.model_dump())
    else:
        click.echo(f"Version {dropped.version} of {service}'s {request.projection} is dropped.")


async def _projections(client: Client, service: str) -> Sequence[ProjectionShown]:
    return (await client.ask(PROJECTIONS[service], Nothing())).reply.projections


async def _followed(client: Client, service: str, projection: str, number: int, doing: str) -> VersionShown:
    """The version when nothing is under way with it any more; until then how far it is, and how fast."""
    with output.progress() as progress:
        task = progress.add_task(doing, total=None)
        while True:
            found = next(shown for shown in await _projections(client, service) if shown.name == projection)
            version = next(version for version in found.versions if version.version == number)
            if version.state not in ("building", "switching"):
                return version
            progress.update(task, completed=version.done, total=version.total, description=f"{doing}{_rate(version)}")
            await asyncio.sleep(_LOOK_EVERY_S)


def _rate(version: VersionShown) -> str:
    if version.trouble is not None:
        return f" ({version.trouble}; tries again)"
    return "" if version.events_per_s is None else f" ({version.events_per_s:,.0f} events/s)"


def _read(version: VersionShown) -> str:
    read = f"{version.done} of {version.total}" if version.done != version.total else str(version.done)
    return f"{read}{_rate(version)}"


def _print_comparison(compared: Comparison) -> None:
    if not compared.differing and compared.live == compared.rebuilt:
        click.echo(f"Both versions have the digest {compared.live} at the same positions.")
        return
    click.echo(f"{compared.differing} rows differ. The live version has the digest {compared.live}, the rebuilt one {compared.rebuilt}.")
    table = Table("table", "row", "live", "rebuilt")
    for one in compared.differences:
        table.add_row(one.table, _fields(one.key), _fields(one.live), _fields(one.rebuilt))
    output.console().print(table)
    if compared.differing > len(compared.differences):
        click.echo(f"These are the first {len(compared.differences)}.")


def _fields(row: dict[str, Any] | None) -> str:
    return "—" if row is None else "\n".join(f"{name}: {value}" for name, value in row.items())
