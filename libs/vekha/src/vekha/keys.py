"""`vekha keys`: the keys under which the services sign."""

from __future__ import annotations

import click

from contracts.event import SERVICES
from contracts.operations import ROTATE_KEY, Nothing
from vekha import output
from vekha.client import Target, connected
from vekha.loop import run
from vekha.options import json_option, target_options


@click.group()
def keys() -> None:
    """The keys under which the services sign their tokens."""


@keys.command()
@click.argument("service", type=click.Choice(SERVICES))
@target_options
@json_option
def rotate(target: Target, service: str, as_json: bool) -> None:
    """Make a service sign with a new key. The one before it is believed until its last token has expired."""
    run(_rotate(target, service, as_json=as_json))


async def _rotate(target: Target, service: str, *, as_json: bool) -> None:
    async with connected(target) as client:
        rotated = (await client.ask(ROTATE_KEY[service], Nothing())).reply
    if as_json:
        output.print_json(rotated.model_dump(mode="json"))
        return
    click.echo(f"{service} signs with key {rotated.key_id}; {rotated.before} is believed until {rotated.before_until}.")
