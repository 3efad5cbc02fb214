"""`vekha links`: activation links by e-mail: sent to a class, the staff or single people, revoked, and taken back where mail returned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

import click

from contracts.identity import MAIL_LINKS, REVOKE_CREDENTIALS, MailLinks, RevocationReason, RevokeCredentials
from contracts.notifier import REPORT_BOUNCE, ReportBounce
from vekha import output
from vekha.client import Target, connected
from vekha.failures import Exit, Failure
from vekha.loop import run
from vekha.lots import lots_of, parts
from vekha.options import ID, as_option, json_option, target_options
from vekha.returned import Returned, returned

_AT_A_TIME = 200
_MOST_REPORT_BYTES = 10_000_000


@dataclass
class _Outcome:
    done: list[str] = field(default_factory=list[str])
    already: list[str] = field(default_factory=list[str])
    refused: dict[str, str] = field(default_factory=dict[str, str])
    expires_on: str | None = None
    command_ids: list[str | None] = field(default_factory=list[str | None])


@click.group()
def links() -> None:
    """Activation links, each mailed to its owner alone."""


@links.command()
@click.option("--school", type=ID, metavar="ID", required=True)
@click.option("--class", "class_id", type=ID, metavar="ID", help="The pupils of one class and their guardians.")
@click.option("--staff", is_flag=True, help="The staff. Without --class, --staff and --person: everybody.")
@click.option("--person", "people", type=ID, metavar="ID", multiple=True, help="One person; may be given several times.")
@click.option("--reissue", is_flag=True, help="Also to those who have a code or a link, which is then no longer valid.")
@click.option("--proposal", type=ID, metavar="ID", help="With --reissue of many: the proposal that somebody else has confirmed.")
@as_option
@target_options
@json_option
def send(
    target: Target,
    school: str,
    class_id: str | None,
    staff: bool,
    people: tuple[str, ...],
    reissue: bool,
    proposal: str | None,
    acting_as: str | None,
    as_json: bool,
) -> int:
    """Make activation links and mail each to its owner.

    Who gets none is listed with the reason, such as no address. Where a mail has come to, notifier.outbox tells. If nobody gets a link,
    this ends with 1.
    """
    if (class_id is not None) + staff + bool(people) > 1:
        raise click.UsageError("Either --class, --staff or --person.")
    if proposal is not None and not reissue:
        raise click.UsageError("--proposal goes with --reissue.")
    outcome = _Outcome()
    run(_send(target, school, class_id, people, acting_as, outcome, staff=staff, reissue=reissue, proposal=proposal))
    if as_json:
        told = {"prepared": outcome.done, "refused": outcome.refused, "expires_on": outcome.expires_on, "command_ids": outcome.command_ids}
        output.print_json(told)
    else:
        output.print_refused(outcome.refused)
        click.echo(f"{len(outcome.done)} to be mailed, {len(outcome.refused)} refused.")
    if "person.not-entered" in outcome.refused.values():
        output.remark("A pupil is entered with a guardian, or with the reason for none: roster.link-guardian, roster.record-no-guardian.")
    if "credentials.already-issued" in outcome.refused.values():
        output.remark("Who has a code or a link keeps it. What was lost on the way is replaced with --reissue.")
    if "person.no-address" in outcome.refused.values():
        output.remark("For who has no address, print a slip: vekha slips.")
    return Exit.OK if outcome.done else Exit.FAILED


async def _send(
    target: Target,
    school: str,
    class_id: str | None,
    people: Sequence[str],
    as_: str | None,
    outcome: _Outcome,
    *,
    staff: bool,
    reissue: bool,
    proposal: str | None,
) -> None:
    async with connected(target) as client:
        if not people:
            people = [person for lot in await lots_of(client, school, class_id, as_, staff=staff) for person in lot.people]
        with output.progress() as progress:
            task = progress.add_task("links", total=len(people))
            for some in parts(people, _AT_A_TIME):
                request = MailLinks(school=school, people=some, reissue=reissue, proposal=proposal)
                answer = await client.ask(MAIL_LINKS, request, as_=as_, up_to_date=True)
                outcome.done += answer.reply.prepared
                outcome.refused |= answer.reply.refused
                outcome.expires_on = str(answer.reply.expires_on)
                outcome.command_ids.append(answer.command_id)
                progress.advance(task, len(some))


@links.command()
@click.option("--school", type=ID, metavar="ID", required=True)
@click.option("--person", "people", type=ID, metavar="ID", multiple=True, required=True, help="May be given several times.")
@click.option("--reason", type=click.Choice(["lost", "exposed", "mistake"]), required=True)
@as_option
@target_options
@json_option
def revoke(target: Target, school: str, people: tuple[str, ...], reason: str, acting_as: str | None, as_json: bool) -> int:
    """Take back links, and codes on slips, that were not used yet. Who has nothing to be taken back is listed."""
    outcome = _Outcome()
    run(_revoke(target, school, people, RevocationReason(reason), acting_as, outcome))
    if as_json:
        counts = {"revoked": len(outcome.done), "already": outcome.already, "refused": outcome.refused}
        output.print_json({**counts, "command_ids": outcome.command_ids})
    else:
        output.print_refused(outcome.refused)
        click.echo(f"{len(outcome.done)} revoked, {len(outcome.already)} had been revoked before, {len(outcome.refused)} refused.")
    return Exit.FAILED if outcome.refused else Exit.OK


async def _revoke(target: Target, school: str, people: Sequence[str], reason: RevocationReason, as_: str | None, outcome: _Outcome) -> None:
    async with connected(target) as client:
        for some in parts(people, _AT_A_TIME):
            request = RevokeCredentials.model_validate({"school": school, "people": some, "reason": reason})
            answer = await client.ask(REVOKE_CREDENTIALS, request, as_=as_, up_to_date=True)
            outcome.refused |= answer.reply.refused
            outcome.already += answer.reply.already
            outcome.done += [person for person in some if person not in {*answer.reply.refused, *answer.reply.already}]
            outcome.command_ids.append(answer.command_id)


@links.command("returned")
@click.argument("report", type=click.File("rb"), default="-")
@as_option
@target_options
@json_option
def returned_mail(target: Target, report: BinaryIO, acting_as: str | None, as_json: bool) -> int:
    """Record that a mail came back, from the REPORT (RFC 3464) of a mail system, by default on stdin.

    Made to be the program behind the mailbox that VEKHA_MAIL_FROM names. Its link opens nothing any more, and the person counts again as
    one who has none.
    """
    found = returned(report.read(_MOST_REPORT_BYTES))
    if found is None:
        text = "This is no report of a message from here that will not arrive."
        raise Failure("report.unreadable", text, "Give the whole mail as it came, headers included.", exit_code=Exit.INVALID)
    school, recipient = run(_report(target, found, acting_as))
    if as_json:
        output.print_json({"message": found.message, "status": found.status, "school": school, "recipient": recipient})
    else:
        click.echo(f"Message {found.message} to {recipient} of {school} came back: {found.status}.")
    return Exit.OK


async def _report(target: Target, found: Returned, as_: str | None) -> tuple[str, str]:
    async with connected(target) as client:
        reply = (await client.ask(REPORT_BOUNCE, ReportBounce(message=found.message, status=found.status), as_=as_)).reply
        return reply.school, reply.recipient
