"""`vekha handover`: records who received the codes on slips, by whom, in which way, and who took it for a pupil (step 18)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import click

from contracts.identity import HAND_OVER, Channel, HandOver
from vekha import output
from vekha.client import Target, connected
from vekha.failures import Exit
from vekha.loop import run
from vekha.lots import lots_of, parts
from vekha.options import ID, as_option, json_option, target_options

_AT_A_TIME = 200


@dataclass
class _Outcome:
    done: list[str] = field(default_factory=list[str])
    refused: dict[str, str] = field(default_factory=dict[str, str])
    command_ids: list[str | None] = field(default_factory=list[str | None])


class _Took(click.ParamType[tuple[str, str]]):
    name = "PUPIL=GUARDIAN"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        pupil, _, guardian = str(value).partition("=")
        return ID.convert(pupil, param, ctx), ID.convert(guardian, param, ctx)


@click.command()
@click.option("--school", type=ID, metavar="ID", required=True)
@click.option("--class", "class_id", type=ID, metavar="ID", help="The pupils of one class and their guardians.")
@click.option("--staff", is_flag=True, help="The staff.")
@click.option("--person", "people", type=ID, metavar="ID", multiple=True, help="One person; may be given several times.")
@click.option("--except", "absent", type=ID, metavar="ID", multiple=True, help="Who has not received the code yet; several times.")
@click.option("--receiver", "took", type=_Took(), multiple=True, help="For a pupil, the guardian who took the slip; several times.")
@click.option("--channel", type=click.Choice([str(one) for one in Channel]), default=str(Channel.PAPER), show_default=True)
@click.option("--on", "happened_on", type=click.DateTime(["%Y-%m-%d"]), help="The day on which it was; by default today.")
@as_option
@target_options
@json_option
def handover(
    target: Target,
    school: str,
    class_id: str | None,
    staff: bool,
    people: tuple[str, ...],
    absent: tuple[str, ...],
    took: tuple[tuple[str, str], ...],
    channel: str,
    happened_on: Any,
    acting_as: str | None,
    as_json: bool,
) -> int:
    """Record that codes were handed over, as the signed sheets say: a class, the staff or single people, without those left out.

    Whoever acts is recorded as the giver. Each person is the receiver of the own code, but for pupils whose guardian took it. Said again,
    it records nothing twice: who has received the code is listed so. A code opens nothing before this. Ends with 1 only where nobody's
    hand-over could be recorded.
    """
    if (class_id is not None) + staff + bool(people) != 1:
        raise click.UsageError("Whom? Give --class, --staff or --person.")
    outcome = _Outcome()
    day = None if happened_on is None else happened_on.date()
    more = {"school": school, "channel": channel, **({} if day is None else {"happened_on": day})}
    run(_hand_over(target, more, class_id, people, {*absent}, dict(took), acting_as, outcome, staff=staff))
    if as_json:
        output.print_json({"handed_over": len(outcome.done), "refused": outcome.refused, "command_ids": outcome.command_ids})
    else:
        output.print_refused(outcome.refused)
        click.echo(f"{len(outcome.done)} handed over, {len(outcome.refused)} refused.")
    if "credentials.not-issued" in outcome.refused.values():
        output.remark("Who has no code gets one on a slip (vekha slips), which says what is missing where it refuses one.")
    unsettled = {code for code in outcome.refused.values() if code != "credentials.already-handed-over"}
    return Exit.OK if outcome.done or not unsettled else Exit.FAILED


async def _hand_over(
    target: Target,
    more: Mapping[str, Any],
    class_id: str | None,
    people: Sequence[str],
    absent: set[str],
    took: Mapping[str, str],
    as_: str | None,
    outcome: _Outcome,
    *,
    staff: bool,
) -> None:
    async with connected(target) as client:
        if not people:
            people = [one for lot in await lots_of(client, more["school"], class_id, as_, staff=staff) for one in lot.people]
        if strangers := {*absent, *took} - {*people}:
            raise click.UsageError(f"Not among these people: {', '.join(sorted(strangers))}.")
        by_receiver: dict[str | None, list[str]] = defaultdict(list)
        for person in people:
            if person not in absent:
                by_receiver[None if person not in took else f"{person} {took[person]}"].append(person)
        with output.progress() as progress:
            task = progress.add_task("handed over", total=sum(len(some) for some in by_receiver.values()))
            for received in by_receiver.values():
                for some in parts(received, _AT_A_TIME):
                    request = HandOver.model_validate({**more, "people": some, "receiver": took.get(some[0])})
                    answer = await client.ask(HAND_OVER, request, as_=as_, up_to_date=True)
                    outcome.refused |= answer.reply.refused
                    outcome.done += [person for person in some if person not in answer.reply.refused]
                    outcome.command_ids.append(answer.command_id)
                    progress.advance(task, len(some))
