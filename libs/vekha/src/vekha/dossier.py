"""`vekha dossier` and `vekha journal`: all that is held on a person, and who has read it."""

from __future__ import annotations

from collections.abc import Iterable

import click

from contracts.roster import DOSSIER, JOURNAL, JournalQuery, PersonQuery, Reading
from vekha import output
from vekha.client import Target, connected
from vekha.loop import run
from vekha.options import ID, as_option, json_option, target_options

_school_option = click.option("--school", type=ID, metavar="ID", required=True)
_person_option = click.option("--person", type=ID, metavar="ID", required=True)


@click.command()
@_school_option
@_person_option
@as_option
@target_options
@json_option
def dossier(target: Target, school: str, person: str, acting_as: str | None, as_json: bool) -> None:
    """Show all that is held on a person, in every service. It is personal data, and reading it is journalled."""
    run(_dossier(target, school, person, acting_as, as_json=as_json))


async def _dossier(target: Target, school: str, person: str, acting_as: str | None, *, as_json: bool) -> None:
    async with connected(target) as client:
        request = PersonQuery(school=school, person=person)
        found = (await client.ask(DOSSIER, request, as_=acting_as, up_to_date=True)).reply
    if as_json:
        output.print_json(found.model_dump(mode="json"))
    else:
        click.secho(f"{person}  {found.kind or 'erased'}", bold=True)
        details = {} if found.details is None else found.details.model_dump(mode="json")
        for field, value in {**details, **found.other_details}.items():
            if value:
                click.echo(f"  {field}: {value}")
        for record in found.records:
            fields = ", ".join(f"{name} {value}" for name, value in record.fields.items() if value is not None)
            click.echo(f"  {record.service} {record.what}: {fields}")
        _show(found.readings)
    if found.unheard:
        output.remark(f"Not asked: {', '.join(found.unheard)} did not answer. Ask again when they run.")


@click.command()
@_school_option
@_person_option
@as_option
@target_options
@json_option
def journal(target: Target, school: str, person: str, acting_as: str | None, as_json: bool) -> None:
    """Show who has read a person's details, newest first."""
    run(_journal(target, school, person, acting_as, as_json=as_json))


async def _journal(target: Target, school: str, person: str, acting_as: str | None, *, as_json: bool) -> None:
    readings: list[Reading] = []
    async with connected(target) as client:
        before = None
        while True:
            request = JournalQuery(school=school, person=person, before=before, limit=500)
            page = (await client.ask(JOURNAL, request, as_=acting_as)).reply.readings
            readings += page
            if len(page) < request.limit:
                break
            before = page[-1].number
    if as_json:
        output.print_json({"person": person, "readings": [reading.model_dump(mode="json") for reading in readings]})
    else:
        _show(readings)


def _show(readings: Iterable[Reading]) -> None:
    for reading in readings:
        through = f" through {reading.principal}" if reading.principal else ""
        click.echo(f"  read {reading.at} by {reading.reader}{through}: {reading.call}")
