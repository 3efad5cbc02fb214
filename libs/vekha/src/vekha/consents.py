"""`vekha consent`: forms to be signed, the receipt of a decision, and how the decisions on somebody stand."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from pathlib import Path

import click
from rich.table import Table

from contracts.consent import (
    FORMS,
    FORMS_A_REQUEST,
    RECEIPT,
    STATUS,
    ConsentReceipt,
    ConsentStatus,
    FormsQuery,
    ReceiptQuery,
    StatusQuery,
)
from contracts.roster import PEOPLE, PeopleQuery
from vekha import output
from vekha.client import Client, Target, connected
from vekha.failures import Exit, Failure
from vekha.files import check_new, write_new
from vekha.loop import run
from vekha.options import ID, as_option, json_option, target_options

_TIMEOUT_S = 60.0


@click.group()
def consent() -> None:
    """Print forms of consent, give a family its receipt, look at the decisions on somebody."""


@consent.command()
@click.option("--school", type=ID, metavar="ID", required=True)
@click.option("--class", "class_id", type=ID, metavar="ID", help="A blank form for each pupil's seat of a class and for a guardian's.")
@click.option("--staff", is_flag=True, help="A form with the name for each member of staff.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="A new PDF; more than one holds go into further ones.")
@as_option
@target_options
@json_option
def forms(target: Target, school: str, class_id: str | None, staff: bool, out: Path, acting_as: str | None, as_json: bool) -> int:
    """Print forms of consent, to be read, signed and recorded."""
    if (class_id is None) != staff:
        raise click.UsageError("Either --class or --staff.")
    files, printed = run(_forms(target, school, class_id, out, acting_as))
    if as_json:
        output.print_json({"files": [str(file) for file in files], "forms": printed})
    else:
        click.echo(f"{printed} forms in {', '.join(str(file) for file in files)}.")
    return Exit.OK


@consent.command()
@click.option("--school", type=ID, metavar="ID", required=True)
@click.option("--consent", "consent_id", type=ID, metavar="ID", help="The receipt of this decision.")
@click.option("--person", type=ID, metavar="ID", help="The receipt of the last decision on this person.")
@click.option("--out", type=click.Path(path_type=Path), help="A new PDF with names, for the family.")
@as_option
@target_options
@json_option
def receipt(
    target: Target, school: str, consent_id: str | None, person: str | None, out: Path | None, acting_as: str | None, as_json: bool
) -> int:
    """Tell a decision's record as ISO/IEC TS 27560 has it, and print the receipt."""
    if (consent_id is None) == (person is None):
        raise click.UsageError("Either --consent or --person.")
    query = ReceiptQuery(school=school, consent_id=consent_id, subject=person, pdf=out is not None)
    answer = run(_receipt(target, query, out, acting_as))
    record = answer.receipt.model_dump(mode="json")
    if as_json:
        output.print_json({"receipt": record, "file": None if out is None else str(out)})
    else:
        click.echo(json.dumps(record, ensure_ascii=False, indent=2))
    return Exit.OK


@consent.command()
@click.option("--school", type=ID, metavar="ID", required=True)
@click.option("--person", type=ID, metavar="ID", required=True)
@as_option
@target_options
@json_option
def status(target: Target, school: str, person: str, acting_as: str | None, as_json: bool) -> int:
    """List every decision on a person's data, the oldest first."""
    consents = run(_status(target, StatusQuery(school=school, subject=person), acting_as)).consents
    if as_json:
        output.print_json({"consents": [one.model_dump(mode="json") for one in consents]})
    elif not consents:
        output.remark("No decision on this person is recorded.")
    else:
        table = Table("consent", "decided on", "state", "valid until")
        for one in consents:
            table.add_row(one.consent_id, str(one.decided_on), one.state, str(one.valid_until or ""))
        output.console().print(table)
    return Exit.OK


async def _forms(target: Target, school: str, class_id: str | None, out: Path, as_: str | None) -> tuple[Sequence[Path], int]:
    async with connected(target) as client:
        wanted = [FormsQuery(school=school, class_id=class_id)] if class_id is not None else await _of_staff(client, school, as_)
        files: list[Path] = []
        printed = 0
        for query in wanted:
            part, parts = 1, 1
            while part <= parts:
                file = out if not files else out.with_name(f"{out.stem}-{len(files) + 1}{out.suffix}")
                check_new(file)
                asked = query.model_copy(update={"part": part})
                reply = (await client.ask(FORMS, asked, as_=as_, up_to_date=True, timeout_s=_TIMEOUT_S)).reply
                write_new(file, base64.b64decode(reply.pdf))
                files.append(file)
                printed += reply.forms
                part, parts = part + 1, reply.parts
    return files, printed


async def _of_staff(client: Client, school: str, as_: str | None) -> list[FormsQuery]:
    query = PeopleQuery(school=school, kind="staff")
    people = (await client.ask(PEOPLE, query, as_=as_, up_to_date=True)).reply.people
    if not people:
        raise Failure("person.unknown", "Nobody of the staff is entered in this school.", "Import the staff first.")
    starts = range(0, len(people), FORMS_A_REQUEST)
    return [FormsQuery(school=school, people=people[start : start + FORMS_A_REQUEST]) for start in starts]


async def _receipt(target: Target, query: ReceiptQuery, out: Path | None, as_: str | None) -> ConsentReceipt:
    if out is not None:
        check_new(out)
    async with connected(target) as client:
        reply = (await client.ask(RECEIPT, query, as_=as_, up_to_date=True, timeout_s=_TIMEOUT_S)).reply
    if out is not None:
        write_new(out, base64.b64decode(reply.pdf or ""))
    return reply


async def _status(target: Target, query: StatusQuery, as_: str | None) -> ConsentStatus:
    async with connected(target) as client:
        return (await client.ask(STATUS, query, as_=as_, up_to_date=True)).reply
