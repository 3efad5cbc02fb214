"""`vekha slips`: one-time codes for a class, the staff or the whole school, printed into PDFs that are made once."""

from __future__ import annotations

import base64
import os
from collections.abc import Generator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

import click

from contracts.identity import PRINT_SLIPS, REISSUE, SLIPS_A_CALL, PrintSlips, ReissueQuery
from vekha import output
from vekha.client import Client, Target, connected
from vekha.failures import Exit, Failure
from vekha.loop import run
from vekha.lots import Lot, lots_of, parts
from vekha.options import ID, as_option, json_option, target_options

_TIMEOUT_S = 60.0


@dataclass
class _Outcome:
    files: list[Path] = field(default_factory=list[Path])
    printed: int = 0
    refused: dict[str, str] = field(default_factory=dict[str, str])
    command_ids: list[str | None] = field(default_factory=list[str | None])


@click.command()
@click.option("--school", type=ID, metavar="ID", required=True)
@click.option("--class", "class_id", type=ID, metavar="ID", help="The pupils of one class and their guardians.")
@click.option("--staff", is_flag=True, help="The staff. Without --class, --staff and --person: everybody, a file for each class.")
@click.option("--person", "people", type=ID, metavar="ID", multiple=True, help="One person; may be given several times.")
@click.option("--reissue", is_flag=True, help="Also for those who have a code, which is then no longer valid.")
@click.option("--proposal", type=ID, metavar="ID", help="With --reissue of many: the proposal that was confirmed. Alone it says whom.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="A new PDF; for everybody, a new folder of them.")
@as_option
@target_options
@json_option
def slips(
    target: Target,
    school: str,
    class_id: str | None,
    staff: bool,
    people: tuple[str, ...],
    reissue: bool,
    proposal: str | None,
    out: Path,
    acting_as: str | None,
    as_json: bool,
) -> int:
    """Make one-time codes and print them as slips to be cut apart, with sheets to be signed.

    A code stands on its slip and nowhere else: what was lost is issued anew, with --reissue; more than five at once under a proposal alone
    (`vekha reissue`), for all its people or some at a time. For whom there is no slip is listed. If there is none at all, this ends with 1.
    """
    if (class_id is not None) + staff + bool(people) > 1:
        raise click.UsageError("Either --class, --staff or --person.")
    if proposal is not None and not reissue:
        raise click.UsageError("--proposal goes with --reissue.")
    outcome = _Outcome()
    try:
        run(_print(target, school, class_id, people, out, acting_as, outcome, staff=staff, reissue=reissue, proposal=proposal))
    except KeyboardInterrupt:
        output.remark("Stopped. Whose code was being made meanwhile has one that nobody knows: print those who are left with --reissue.")
        raise
    finally:  # whatever went wrong later, these files hold codes that nobody can print again
        for file in outcome.files:
            output.remark(f"{file} holds codes. Print it, then delete it.")
    if as_json:
        files = [str(file) for file in outcome.files]
        output.print_json({"files": files, "printed": outcome.printed, "refused": outcome.refused, "command_ids": outcome.command_ids})
    else:
        output.print_refused(outcome.refused)
        click.echo(f"{outcome.printed} printed, {len(outcome.refused)} refused.")
    if "person.not-entered" in outcome.refused.values():
        output.remark("A pupil is entered with a guardian, or with the reason for none: roster.link-guardian, roster.record-no-guardian.")
    if "credentials.already-issued" in outcome.refused.values():
        output.remark("Who has a code or a link keeps it. What was lost is replaced with --reissue.")
    return Exit.OK if outcome.printed else Exit.FAILED


async def _print(
    target: Target,
    school: str,
    class_id: str | None,
    people: Sequence[str],
    out: Path,
    as_: str | None,
    outcome: _Outcome,
    *,
    staff: bool,
    reissue: bool,
    proposal: str | None,
) -> None:
    async with connected(target) as client:
        in_folder = class_id is None and not staff and not people
        lots = [Lot("people", [*dict.fromkeys(people)])] if people else await lots_of(client, school, class_id, as_, staff=staff)
        if in_folder and proposal is not None:
            card = (await client.ask(REISSUE, ReissueQuery(school=school, proposal=proposal), as_=as_, up_to_date=True)).reply
            if not card.left:
                text = f"The proposal {proposal} was carried out already: the codes of all its people have been replaced."
                hint = "What was lost since is replaced under another one: vekha reissue propose."
                raise Failure("reissue.carried-out", text, hint)
            lots = [replace(lot, people=[person for person in lot.people if person in card.left]) for lot in lots]
        with _new_folder(out) if in_folder else nullcontext(), output.progress() as progress:
            task = progress.add_task("slips", total=sum(len(lot.people) for lot in lots))
            for lot in lots:
                file = out / f"{lot.name}.pdf" if in_folder else out
                for number, some in enumerate(parts(lot.people, SLIPS_A_CALL), 1):
                    request = PrintSlips(school=school, people=some, class_id=lot.class_id, reissue=reissue, proposal=proposal)
                    await _print_file(client, request, _numbered(file, number), as_, outcome)
                    progress.advance(task, len(some))


def _numbered(file: Path, number: int) -> Path:
    """The file of a part: more people than an answer may hold slips of go into several."""
    return file if number == 1 else file.with_name(f"{file.stem}-{number}{file.suffix}")


async def _print_file(client: Client, request: PrintSlips, path: Path, as_: str | None, outcome: _Outcome) -> None:
    with _new_file(path) as file:
        answer = await client.ask(PRINT_SLIPS, request, as_=as_, up_to_date=True, timeout_s=_TIMEOUT_S)
        if answer.reply.pdf is not None:
            outcome.files.append(path)
            file.write(base64.b64decode(answer.reply.pdf))
    outcome.printed += len(answer.reply.printed)
    outcome.refused |= answer.reply.refused
    outcome.command_ids.append(answer.command_id)


@contextmanager
def _new_file(path: Path) -> Generator[BinaryIO]:
    """A file for its owner's eyes alone. It is there before any code is made, and goes again if there was nothing to write."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        text = f"{path} is there already, and may hold codes that are nowhere else."
        raise Failure("file.exists", text, "Name another one, or delete it.") from None
    except OSError as error:
        raise _unwritable(path, error) from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
    finally:
        if path.stat().st_size == 0:
            path.unlink()


@contextmanager
def _new_folder(path: Path) -> Generator[None]:
    """A folder for its owner's eyes alone. It goes again if nothing was written into it, so that the same one can be named once more."""
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        raise Failure("file.exists", f"{path} is there already.", "Name a new folder.") from None
    except OSError as error:
        raise _unwritable(path, error) from error
    try:
        yield
    finally:
        with suppress(OSError):  # it is not empty
            path.rmdir()


def _unwritable(path: Path, error: OSError) -> Failure:
    return Failure("file.unwritable", f"{path} cannot be written: {(error.strerror or type(error).__name__).lower()}.")
