"""`vekha reissue`: many codes are replaced by two people: one proposes it, another confirms it, then slips or links are made under it."""

from __future__ import annotations

import click

from contracts.identity import CONFIRM_REISSUE, PROPOSE_REISSUE, REISSUE, ConfirmReissue, ProposeReissue, ReissueCard, ReissueQuery
from vekha import output
from vekha.client import Target, connected
from vekha.failures import Exit
from vekha.loop import run
from vekha.lots import lots_of
from vekha.options import ID, as_option, json_option, target_options


@click.group()
def reissue() -> None:
    """Replace many codes at once, which takes two people."""


@reissue.command()
@click.option("--school", type=ID, metavar="ID", required=True)
@click.option("--class", "class_id", type=ID, metavar="ID", help="The pupils of one class and their guardians.")
@click.option("--staff", is_flag=True, help="The staff. Without --class, --staff and --person: everybody.")
@click.option("--person", "people", type=ID, metavar="ID", multiple=True, help="One person; may be given several times.")
@as_option
@target_options
@json_option
def propose(
    target: Target, school: str, class_id: str | None, staff: bool, people: tuple[str, ...], acting_as: str | None, as_json: bool
) -> int:
    """Propose that the codes of a class, the staff, everybody or single people are replaced. Nothing is replaced by this."""
    if (class_id is not None) + staff + bool(people) > 1:
        raise click.UsageError("Either --class, --staff or --person.")

    async def ask() -> tuple[str, str, int, str | None]:
        async with connected(target) as client:
            lots = [] if people else await lots_of(client, school, class_id, acting_as, staff=staff)
            whom = tuple(dict.fromkeys(people or [person for lot in lots for person in lot.people]))
            if not whom:
                raise click.UsageError("There is nobody among these people.")
            answer = await client.ask(PROPOSE_REISSUE, ProposeReissue(school=school, people=whom), as_=acting_as, up_to_date=True)
            return answer.reply.proposal, str(answer.reply.expires_on), len(whom), answer.command_id

    proposal, expires_on, count, command_id = run(ask())
    if as_json:
        output.print_json({"proposal": proposal, "people": count, "expires_on": expires_on, "command_id": command_id})
    else:
        click.echo(f"{proposal}: to replace the codes of {count} people, until {expires_on}.")
        output.remark(f"Somebody else of the office confirms it: vekha reissue confirm {proposal} --school {school}")
    return Exit.OK


@reissue.command()
@click.argument("proposal", type=ID)
@click.option("--school", type=ID, metavar="ID", required=True)
@as_option
@target_options
@json_option
def confirm(target: Target, proposal: str, school: str, acting_as: str | None, as_json: bool) -> int:
    """Confirm what somebody else has proposed. Confirmed twice is confirmed once."""

    async def ask() -> str | None:
        async with connected(target) as client:
            request = ConfirmReissue(school=school, proposal=proposal)
            return (await client.ask(CONFIRM_REISSUE, request, as_=acting_as, up_to_date=True)).command_id

    command_id = run(ask())
    if as_json:
        output.print_json({"proposal": proposal, "command_id": command_id})
    else:
        click.echo(f"{proposal} is confirmed.")
        output.remark(f"Print the codes: vekha slips --school {school} --reissue --proposal {proposal} --out FOLDER")
    return Exit.OK


@reissue.command()
@click.argument("proposal", type=ID)
@click.option("--school", type=ID, metavar="ID", required=True)
@as_option
@target_options
@json_option
def show(target: Target, proposal: str, school: str, acting_as: str | None, as_json: bool) -> int:
    """Show who wants it, who has confirmed it, and whose codes are still to be replaced."""

    async def ask() -> ReissueCard:
        async with connected(target) as client:
            return (await client.ask(REISSUE, ReissueQuery(school=school, proposal=proposal), as_=acting_as, up_to_date=True)).reply

    card = run(ask())
    if as_json:
        output.print_json(card.model_dump(mode="json"))
    else:
        click.echo(f"Proposed by {card.proposed_by}, {f'confirmed by {card.confirmed_by}' if card.confirmed_by else 'not confirmed'}.")
        click.echo(f"{len(card.left)} of {len(card.people)} people are left, until {card.expires_on}.")
    return Exit.OK
