"""`vekha demo`: builds an instance afresh, plays a real school's weeks on it, and shows where the plan stands."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import click
import msgspec

from contracts.operations import TIMERS, Nothing
from contracts.plan import EXPLAIN, Board, ExplainRequest, Explanation, StatusRequest
from eventkit.child import tied_to_us
from vekha import board, output, story
from vekha.client import Client, Target, connected
from vekha.failures import Failure
from vekha.folder import DataFolder
from vekha.loop import run
from vekha.moving import time_of
from vekha.options import json_option
from vekha.plan import board_json, whole_board
from vekha.simulation import Simulation

_FOLDER = ".vekha-demo"
_MARK = "demo"
_STOP_TIMEOUT_S = 30.0
_MOST_SCHOOLS = 500


@click.command()
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False, readable=False),
    default=_FOLDER,
    show_default=True,
    help="Where to build it. What an earlier demo built there is replaced; nothing else ever is.",
)
@click.option(
    "--server",
    metavar="URL",
    help="Where an instance's broker listens, to play on that; --data is then its operator's folder. Its clock has to be a manual"
    " one that is not past the story's beginning.",
)
@click.option(
    "--schools",
    type=click.IntRange(1, _MOST_SCHOOLS),
    default=1,
    show_default=True,
    help="How many in all; those beside the first are small invented schools: fast, slow, stuck and chaotic ones.",
)
@json_option
def demo(data: Path, server: str | None, schools: int, as_json: bool) -> None:
    """Play one school's weeks in August and September 2015 through its plan, and show the board."""
    target = Target(DataFolder(data), server)
    if server is None:
        _clear(target.folder)
        with _running(target.folder):
            shown, explained, region = run(_play(target, schools))
    else:
        shown, explained, region = run(_play(target, schools))
    if as_json:
        explanation = explained.model_dump()
        told = {"data": str(data.absolute()), "school": story.SCHOOL, "board": board_json(shown), "explanation": explanation}
        output.print_json(told if region is None else {**told, "region": board_json(region)})
        return
    console = output.console()
    if region is not None:
        console.print(board.board_table(region, console.width))
        console.print()
    console.print(board.board_table(shown, console.width))
    console.print()
    console.print(board.explanation(explained))
    click.echo(_look_around(target))


async def _play(target: Target, schools: int) -> tuple[Board, Explanation, Board | None]:
    with output.progress() as progress:
        task = progress.add_task("the demo starts", total=len(story.WEEKS))
        async with connected(target) as client:
            await _is_for_it(client)
            others = Simulation(client.ask, schools - 1) if schools > 1 else None
            await story.play(client, lambda over, what: progress.update(task, completed=over, description=what), others)
            shown = await whole_board(client, StatusRequest(school=story.SCHOOL))
            explained = (await client.ask(EXPLAIN, ExplainRequest(school=story.SCHOOL, step=story.RED_STEP))).reply
            region = None if others is None else await whole_board(client, StatusRequest())
    return shown, explained, region


async def _is_for_it(client: Client) -> None:
    """Raises Failure `demo.clock-unfit` where the clock cannot be moved from the story's beginning on."""
    timers = (await client.ask(TIMERS["plan"], Nothing())).reply
    if timers.kind == "real" or await time_of(client) > datetime.fromisoformat(story.START):
        text = "The demo moves the clock from August 2015 on, and that of this instance cannot be moved there."
        hint = f"Bring up another one for it, with VEKHA_PRODUCTION=0 VEKHA_MANUAL_CLOCK={story.START}"
        raise Failure("demo.clock-unfit", text, hint)


def _clear(folder: DataFolder) -> None:
    """Makes an empty folder that bears our mark. Raises Failure `demo.not-ours` for any other that has something in it."""
    try:
        if folder.root.exists() and any(folder.root.iterdir()):
            if not (folder.root / _MARK).is_file():
                text = f"{folder.root} was not made by `vekha demo`, so it is left alone."
                raise Failure("demo.not-ours", text, "Choose another folder with --data.")
            with folder.hold():
                for entry in folder.root.iterdir():
                    # The mark goes last: a clean-up that was cut off can be taken up again.
                    if entry.is_dir():
                        shutil.rmtree(entry)
                    elif entry.name != _MARK:
                        entry.unlink()
        folder.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        (folder.root / _MARK).write_text("`vekha demo` made this folder and replaces it the next time.\n")
    except OSError as error:
        text = f"{folder.root} cannot be written: {(error.strerror or type(error).__name__).lower()}."
        raise Failure("data.not-writable", text, "Give this user the right, or choose another folder with --data.") from error


@contextmanager
def _running(folder: DataFolder) -> Generator[None]:
    """The instance, as a process of its own like anybody's; it ends with us, whatever ends us."""
    folder.run.mkdir(mode=0o700, exist_ok=True)
    command = [sys.executable, "-m", "vekha.main", "up", "--data", str(folder.root), "--manual-clock", story.START, "--json"]
    with (folder.run / "up.log").open("ab") as log:
        # Its own session: a Ctrl-C in the terminal reaches us alone, and we stop it in order.
        process = subprocess.Popen(
            tied_to_us(command), stdout=subprocess.PIPE, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
        )
    try:
        _until_ready(process, Path(log.name))
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _until_ready(process: subprocess.Popen[bytes], log_file: Path) -> None:
    line = process.stdout.readline() if process.stdout else b""
    told = msgspec.json.decode(line or b"{}", type=dict[str, Any])
    if error := told.get("error"):
        raise Failure(error["code"], error["text"], error["hint"])
    if not told.get("ready"):
        raise Failure("demo.not-started", f"The instance did not start. Its log: {log_file}")


def _look_around(target: Target) -> str:
    vekha = os.path.relpath(sys.argv[0]) if Path(sys.argv[0]).name == "vekha" else "vekha"
    data = f"--data {target.folder.root}"
    begin = f"Look around. In one shell:\n  {vekha} up {data}\nand in a second one:"
    if target.server is not None:
        begin, data = "Look around:", f"{data} --server {target.server}"
    return f"""
{begin}
  {vekha} plan status --school {story.SCHOOL} --as-of 2015-08-24 {data}
  {vekha} plan explain --school {story.SCHOOL} --step 14 {data}
  {vekha} events --type step-reopened {data}"""
