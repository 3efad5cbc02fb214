"""What goes where: data to stdout, one JSON object where `--json` is given; progress and remarks to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any, Protocol

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from vekha.failures import Failure

_MOST_LISTED = 10  # people, for each reason
_WIDTH_WITHOUT_TERMINAL = 150  # a table that goes into a file or a pipe is not squeezed into 80 columns


def print_json(value: Mapping[str, Any]) -> None:
    """One object on one line. A date becomes its ISO text."""
    try:
        text = msgspec.json.encode(value).decode()
    except UnicodeEncodeError:  # it quotes a word of the command line that is no UTF-8, as a file's name may be
        text = json.dumps(msgspec.to_builtins(value))
    click.echo(text)


def remark(text: str) -> None:
    """Something worth knowing that is not the answer."""
    click.echo(text, err=True)


def print_refused(refused: Mapping[str, str]) -> None:
    """The first of those who were refused, by the refusal's code, a line each."""
    by_code: dict[str, list[str]] = {}
    for person, code in refused.items():
        by_code.setdefault(code, []).append(person)
    for code, people in by_code.items():
        click.echo(f"{code}: {len(people)}: {', '.join(people[:_MOST_LISTED])}{' …' if len(people) > _MOST_LISTED else ''}")


def print_failure(failure: Failure, *, as_json: bool) -> None:
    """A machine reads the failure from stdout, a person from stderr."""
    if as_json:
        print_json(failure.as_json())
    lines = [f"{failure.code}: {failure.text}"]
    if failure.hint:
        lines.append(failure.hint)
    if failure.incident:
        lines.append(f"Incident {failure.incident}.")
    if failure.command_id:
        lines.append(f"Command {failure.command_id}.")
    remark("\n".join(lines))


def console() -> Console:
    """Where tables for people are printed."""
    return Console(width=None if sys.stdout.isatty() else _WIDTH_WITHOUT_TERMINAL, highlight=False)


def progress() -> Progress:
    """A bar on stderr, gone when what it showed is done."""
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    )


class OnProgress(Protocol):
    """Told how far something is: so much is done, of so much in all (0: not known yet)."""

    def __call__(self, done: int, total: int) -> None: ...
