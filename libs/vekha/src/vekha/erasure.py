"""`vekha erasure`: has a person forgotten at once, says how far that is, and writes the act that proves it."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import get_args

import click
import msgspec

from contracts.call import Call
from contracts.erasure import (
    ACT_OF_DESTRUCTION,
    ERASURE,
    ORDER_ERASURE,
    ActOfDestruction,
    ErasureQuery,
    ErasureState,
    OrderErasure,
    OrderGround,
)
from vekha import output
from vekha.client import P, Q, Target, connected
from vekha.files import check_new, write_new
from vekha.loop import run
from vekha.options import ID, as_option, json_option, target_options

_TIMEOUT_S = 60.0
_ORDER_GROUNDS = tuple(ground.value for ground in get_args(OrderGround))

_school = click.option("--school", type=ID, metavar="ID", required=True)
_person = click.option("--person", type=ID, metavar="ID", required=True)


@click.group()
def erasure() -> None:
    """Forget a person: order it at once, see how far it is, write the act of destruction.

    What is due by itself (a consent withdrawn, somebody who has left) needs no order.
    """


@erasure.command()
@_school
@_person
@click.option("--ground", type=click.Choice(_ORDER_GROUNDS), required=True, help="Why it cannot wait for its term.")
@click.option("--reference", required=True, metavar="REF", help="The paper that orders it: capital letters, digits and / . -")
@as_option
@target_options
@json_option
def order(target: Target, school: str, person: str, ground: str, reference: str, acting_as: str | None, as_json: bool) -> None:
    """Have all that is held of a person destroyed at once. It cannot be undone.

    The person may stand in the files of the school's imports, so these go as well, with the rows that wait to be compared.
    """
    body = {"school": school, "person": person, "ground": ground, "reference": reference}
    try:
        request = OrderErasure.model_validate(body)
    except ValueError:
        text = f"{reference!r} is no reference of a paper: use Latin capital letters, digits and / . -, e.g. 2-1234/2015"
        raise click.BadParameter(text, param_hint="--reference") from None
    ordered = run(_ask(target, ORDER_ERASURE, request, acting_as))
    if as_json:
        output.print_json({"erasure": ordered.erasure, "person": person})
    else:
        click.echo(f"{person} is being forgotten: {ordered.erasure}.")
        output.remark(
            "The files of all imports and exports of the school so far go as well, and the rows that wait for `vekha import settle`:"
            " these imports are not listed any more and cannot be rolled back."
        )
        output.remark("`vekha erasure status` says how far it is, `vekha erasure act` writes the act.")


@erasure.command()
@_school
@_person
@as_option
@target_options
@json_option
def status(target: Target, school: str, person: str, acting_as: str | None, as_json: bool) -> None:
    """Say how far a person's erasure is."""
    found = run(_ask(target, ERASURE, ErasureQuery(school=school, person=person), acting_as))
    if as_json:
        output.print_json(found.model_dump(mode="json"))
        return
    click.echo(_told(found))
    for answer in found.answers:
        click.echo(f"  {answer.service} {answer.position}: {', '.join(answer.destroyed) or 'held nothing but the random id'}")


def _told(found: ErasureState) -> str:
    match found.state:
        case "none":
            return f"Nothing is to be destroyed of {found.person}."
        case "scheduled":
            unless = f", and will not be: there is a ground again ({found.held_on})" if found.held_on is not None else ""
            return f"To be destroyed on {found.due_on} ({found.ground}){unless}."
        case "cancelled":
            return f"Not destroyed: there was a ground again before {found.due_on}."
        case "ordered":
            return f"Being destroyed since {found.ordered_on} ({found.ground}): {len(found.answers)} of 5 services have answered."
        case "completed":
            return f"Destroyed on {found.completed_on} ({found.ground})."


@erasure.command()
@_school
@_person
@click.option("--out", type=click.Path(path_type=Path), required=True, help="A new PDF; the extract is written beside it, as .json")
@as_option
@target_options
@json_option
def act(target: Target, school: str, person: str, out: Path, acting_as: str | None, as_json: bool) -> None:
    """Write the act of destruction as PDF, and the extract of the logs that proves it as JSON. Both are to be kept for three years."""
    extract = out.with_suffix(".json")
    if extract == out:
        raise click.BadParameter("name a PDF: the extract beside it is the .json", param_hint="--out")
    for path in (out, extract):
        check_new(path)
    found = run(_ask(target, ACT_OF_DESTRUCTION, ErasureQuery(school=school, person=person), acting_as))
    write_new(extract, _extract(found))
    write_new(out, base64.b64decode(found.pdf))
    if as_json:
        output.print_json({"files": [str(out), str(extract)], "erasure": found.erasure, "person": person})
    else:
        click.echo(f"{out} is the act, {extract} the extract.")


def _extract(found: ActOfDestruction) -> bytes:
    return msgspec.json.format(found.model_dump_json(exclude={"pdf"}).encode(), indent=2) + b"\n"


async def _ask(target: Target, call: Call[Q, P], request: Q, as_: str | None) -> P:
    async with connected(target) as client:
        return (await client.ask(call, request, as_=as_, up_to_date=True, timeout_s=_TIMEOUT_S)).reply
