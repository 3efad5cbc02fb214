"""`vekha export`: a school's roster as a file that `vekha import` reads."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

import click

from contracts.roster import EXPORT, EXPORT_PART, ExportPart, ExportRoster, RosterExport
from vekha import output
from vekha.client import Target, connected
from vekha.failures import Exit, Failure
from vekha.files import check_new, write_new
from vekha.loop import run
from vekha.options import ID, as_option, json_option, target_options

_TIMEOUT_S = 60.0


@click.command("export")
@click.option("--school", type=ID, metavar="ID", required=True)
@click.option(
    "--format",
    "file_format",
    type=click.Choice(["xlsx", "csv", "oneroster-1.1", "oneroster-1.2"]),
    required=True,
    help="csv is an archive of three files, OneRoster one of its own.",
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="A new file, for its owner's eyes alone.")
@as_option
@target_options
@json_option
def export_roster(target: Target, school: str, file_format: str, out: Path, acting_as: str | None, as_json: bool) -> int:
    """Write a school's classes, staff, pupils and guardians into a file, as `vekha import` reads them.

    Importing the file changes nothing; the consents stay where they are. It is journalled of everybody in it who has read it.
    """
    made = run(_export(target, school, file_format, out, acting_as))
    for told in made.left_out:
        output.remark(f"Not in the file: {told}.")
    output.remark(f"{out} holds personal data.")
    counts = {"classes": made.classes, "staff": made.staff, "pupils": made.pupils, "guardians": made.guardians}
    if as_json:
        output.print_json({"file": str(out), "sha256": made.sha256, **counts, "left_out": made.left_out})
    else:
        click.echo(f"{', '.join(f'{number} {what}' for what, number in counts.items())}.")
    return Exit.OK


async def _export(target: Target, school: str, file_format: Any, out: Path, as_: str | None) -> RosterExport:
    check_new(out)
    async with connected(target) as client:
        request = ExportRoster(school=school, format=file_format)
        made = (await client.ask(EXPORT, request, as_=as_, up_to_date=True, timeout_s=_TIMEOUT_S)).reply
        pieces: list[bytes] = []
        with output.progress() as progress:
            task = progress.add_task(made.file_name, total=made.parts)
            for number in range(1, made.parts + 1):
                asked = ExportPart(school=school, export=made.export, part=number)
                part = (await client.ask(EXPORT_PART, asked, as_=as_, timeout_s=_TIMEOUT_S)).reply
                pieces.append(base64.b64decode(part.content))
                progress.advance(task)
    content = b"".join(pieces)
    if hashlib.sha256(content).hexdigest() != made.sha256:
        raise Failure("export.damaged", "The file did not come whole.", "Export it again.")
    write_new(out, content)
    return made
