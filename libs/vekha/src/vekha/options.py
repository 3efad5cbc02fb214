"""The options that several commands share."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import click
import msgspec
from pydantic import TypeAdapter, ValidationError

from contracts.event import SERVICES, Identifier
from vekha.client import Target
from vekha.folder import DEFAULT, DataFolder

P = ParamSpec("P")
R = TypeVar("R")

data_option = click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False, readable=False),  # what may not be read is no fault of the command line
    default=DEFAULT,
    show_default=True,
    help="The data folder of the instance.",
)


class IdType(click.ParamType[str]):
    """The id of a school, a plan, …: refused before it becomes part of a call."""

    name = "ID"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return _IDENTIFIER.validate_python(value)
        except ValidationError:
            text = "an id has 1 to 64 characters: Latin letters, digits, - and _, and begins with a letter or a digit, like school-7"
            self.fail(f"{value!r} is no id: {text}", param, ctx)


_IDENTIFIER = TypeAdapter[str](Identifier)
ID = IdType()
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")


def as_json_option(command: Callable[P, R]) -> Callable[P, R]:
    """Accepts --json where there is nothing but JSON to print."""

    @click.option("--json", "as_json", is_flag=True, expose_value=False, help="Report a failure as JSON on stdout.")
    @wraps(command)
    def accepting(*args: P.args, **kwargs: P.kwargs) -> R:
        return command(*args, **kwargs)

    return accepting


def positions_in(text: str) -> dict[str, int]:
    """Positions as they are typed (roster=812,consent=640), or as an answer carries them (JSON). Raises ValueError where they are none."""
    if text.startswith("{"):
        found = msgspec.json.decode(text, type=dict[str, int])
    else:
        pairs = [one.split("=") for one in text.split(",")]
        found = {service.strip(): int(position) for service, position in pairs}
        if len(found) < len(pairs):
            raise ValueError("a service is named twice")
    if not found or not set(found) <= set(SERVICES) or min(found.values()) < 0:
        raise ValueError("these are no positions")
    return found


def target_options(command: Callable[..., R]) -> Callable[..., R]:
    """Adds --data and --server; the command gets them as `target`.

    Who looks into databases themselves finds those of services apart where VEKHA_DATABASE says.
    """

    @data_option
    @click.option("--server", metavar="URL", help="Where the instance's broker listens, instead of what the data folder says.")
    @wraps(command)
    def with_target(*, data: Path, server: str | None, **others: Any) -> R:
        return command(target=Target(DataFolder(data, os.environ.get("VEKHA_DATABASE")), server), **others)

    return with_target


as_option = click.option("--as", "acting_as", metavar="ROLE[:SCOPE]", help="Whom to act as, e.g. director:school-7; else the operator.")
