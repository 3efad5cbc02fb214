"""`vekha audit replay`: what it prints, and what it compares with."""

from __future__ import annotations

import hashlib
from contextlib import ExitStack
from datetime import date
from pathlib import Path
from typing import Any

import click

from contracts.plan import Board
from vekha import output, replay
from vekha.client import Target, connected
from vekha.failures import Exit, Failure
from vekha.plan import board_json


async def replayed(
    target: Target, source: str, to: str | None, as_of: str | None, school: str | None, *, compare: bool, as_json: bool
) -> int:
    """Replays, compares with the instance if it runs, and prints. Answers the exit code."""
    as_of_day = None if as_of is None else day(as_of)
    with ExitStack() as opened:
        if source == "live":
            target.folder.check_is_made()
            events = opened.enter_context(replay.from_databases(target.folder))
            compare = target.folder.endpoint() is not None or target.server is not None
        else:
            events = replay.from_archive(Path(source))
        at, day_of_to = replay.resolved(events, to)
        with output.progress() as bar:
            task = bar.add_task("replay", total=sum(at[name] for _, projection in replay.PROJECTIONS for name in projection.sources))
            made = replay.replay(events, at, as_of_day or day_of_to, lambda: bar.advance(task))
    if school is not None and school not in made.boards:
        raise Failure("school.unknown", f"By then {school} had not adopted a plan.", "Name a later day, or another school.")
    differing: list[str] | None = None
    if compare:
        async with connected(target) as client:
            differing = [line async for line in replay.differences(target.folder, client, made)]
    _print(made, school, differing, as_json=as_json)
    return Exit.FAILED if differing else Exit.OK


def day(text: str) -> date:
    """A day of the command line. Raises Failure `day.unreadable`."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise Failure("day.unreadable", f"{text!r} is no day.", "Give one like 2015-09-01.", exit_code=Exit.USAGE) from None


def _print(made: replay.Replayed, school: str | None, differing: list[str] | None, *, as_json: bool) -> None:
    boards = {name: _digest(board) for name, board in made.boards.items()}
    if as_json:
        told: dict[str, Any] = {
            "at": dict(made.at),
            "as_of": made.as_of,
            "digests": made.digests,
            "boards": boards,
            "differences": differing,
        }
        if school is not None:
            told["board"] = board_json(made.boards[school])
        output.print_json(told)
        return
    click.echo(f"as of {made.as_of}, at {', '.join(f'{service} {position}' for service, position in made.at.items())}")
    for name, digest in made.digests.items():
        click.echo(f"projection {name:<18} {digest}")
    for name, digest in boards.items():
        click.echo(f"board {name:<23} {digest}")
    if school is not None:
        click.echo(made.boards[school].model_dump_json(indent=2))
    if differing is None:
        output.remark("No instance runs here to compare with.")
    else:
        click.echo("\n".join(differing) if differing else "The running instance holds and answers the same.")


def _digest(board: Board) -> str:
    return hashlib.sha256(board.model_dump_json().encode()).hexdigest()
