"""`vekha import reviews` and `vekha import settle`: the rows that imports have put aside, and whose they are."""

from __future__ import annotations

import asyncio

import click

from contracts.roster import REVIEWS, SETTLE_REVIEW, ReviewCard, ReviewsQuery, ReviewStatus, SettledAs, SettleReview
from vekha import output
from vekha.client import Target, connected
from vekha.failures import Exit
from vekha.loop import run
from vekha.options import ID, as_option, json_option, target_options

_PAUSE_S = 0.2  # a call has waited for some seconds already


@click.command("reviews")
@click.option("--school", type=ID, metavar="ID", required=True)
@click.option("--import", "import_id", type=ID, metavar="IMPORT_ID", help="Only the rows of this import.")
@as_option
@target_options
@json_option
def list_reviews(target: Target, school: str, import_id: str | None, acting_as: str | None, as_json: bool) -> int:
    """List the rows that somebody has to compare before they are entered: who they may be is told by id (`vekha call roster.person`)."""
    return run(_list(target, school, import_id, acting_as, as_json=as_json))


async def _list(target: Target, school: str, import_id: str | None, acting_as: str | None, *, as_json: bool) -> int:
    async with connected(target) as client:
        cards = (await client.ask(REVIEWS, ReviewsQuery(school=school, import_id=import_id), as_=acting_as)).reply
    if as_json:
        output.print_json(cards.model_dump(mode="json"))
        return Exit.OK
    for card in cards.reviews:
        click.echo(_told(card))
        for cell in card.rejected:
            click.echo(f"    not entered: {cell.column or 'the row'}: {cell.code}: {cell.hint}")
    if cards.total > len(cards.reviews):
        output.remark(f"{cards.total - len(cards.reviews)} more wait: settle these first.")
    if cards.reviews:
        output.remark(f"`vekha import settle REVIEW --school {school}` with --same-as PERSON, --new or --leave.")
    else:
        output.remark("No rows wait to be compared. What waited before an erasure in the school went with it.")
    return Exit.OK


def _told(card: ReviewCard) -> str:
    where = " ".join(part for part in (card.file, card.sheet, f"row {card.row}") if part)
    near = f" Near: {', '.join(card.near)}." if card.near else ""
    return f"{card.review}  {where}, ID {card.external_id}: {card.text}{near}{' Under way.' if card.under_way else ''}"


@click.command("settle")
@click.argument("review", type=ID, metavar="REVIEW")
@click.option("--school", type=ID, metavar="ID", required=True)
@click.option("--same-as", "person", type=ID, metavar="PERSON", help="The row is this person's: it is entered as such.")
@click.option("--new", "is_new", is_flag=True, help="The row is that of somebody new: enter them.")
@click.option("--leave", "is_left", is_flag=True, help="Enter nothing of the row, and forget it.")
@as_option
@target_options
@json_option
def settle(
    target: Target, review: str, school: str, person: str | None, is_new: bool, is_left: bool, acting_as: str | None, as_json: bool
) -> int:
    """Say whose a row is that an import has put aside (`vekha import reviews`), and have it entered by the rules of its import.

    Where it cannot be entered, the reasons are listed and the row waits on; then this ends with 3.
    """
    said = [answer for answer, given in zip(SettledAs, (person is not None, is_new, is_left), strict=True) if given]
    if len(said) != 1:
        raise click.UsageError("Say one of --same-as PERSON, --new and --leave.")
    request = SettleReview(school=school, review=review, settled_as=said[0], person=person)
    return run(_settle(target, request, acting_as, as_json=as_json))


async def _settle(target: Target, request: SettleReview, acting_as: str | None, *, as_json: bool) -> int:
    async with connected(target) as client:
        status = (await client.ask(SETTLE_REVIEW, request, as_=acting_as, timeout_s=30.0)).reply
        while status.state == "settling":
            await asyncio.sleep(_PAUSE_S)
            status = (await client.ask(SETTLE_REVIEW, request, as_=acting_as, timeout_s=30.0)).reply
    if as_json:
        output.print_json(status.model_dump(mode="json"))
    else:
        _tell(status)
    return Exit.INVALID if status.rejected else Exit.OK


def _tell(status: ReviewStatus) -> None:
    for cell in status.rejected:
        place = " ".join(part for part in (cell.file, cell.sheet, f"row {cell.row}" if cell.row else None, cell.column) if part)
        click.echo(f"{place}: {cell.code}: {cell.hint}")
    if status.state == "open":
        click.echo("Nothing was entered, and the row waits on.")
    elif status.settled_as is SettledAs.LEAVE:
        click.echo("Nothing of the row is entered, and it is forgotten.")
    else:
        rest = " but for what is listed; correct it in the file, and import that" if status.rejected else ""
        click.echo(f"The row is entered as {status.person}'s{rest}.")
