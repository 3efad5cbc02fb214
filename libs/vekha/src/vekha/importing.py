"""`vekha import`: hands a roster file to the school's roster, follows the job, and brings the rejected rows back as a file; lists a
school's imports, takes one up again, and rolls one back. What an import puts aside is settled in reviews.py."""

from __future__ import annotations

import asyncio
import base64
import io
import os
import secrets
import time
import zipfile
from itertools import count
from pathlib import Path

import click
from pydantic import ValidationError

from contracts.roster import (
    FILE_BYTES,
    IMPORT,
    IMPORT_STATUS,
    IMPORTS,
    ROLL_BACK_IMPORT,
    UPLOAD,
    ImportCard,
    ImportedTable,
    ImportJob,
    ImportRoster,
    ImportsQuery,
    ImportStatus,
    LegalBasis,
    RollBackImport,
    RollBackStatus,
    UploadPart,
)
from vekha import output
from vekha.client import Client, Target, connected
from vekha.failures import Exit, Failure
from vekha.loop import run
from vekha.options import ID, as_option, json_option, target_options
from vekha.reviews import list_reviews, settle

_PART_BYTES = 256 * 1024
_FIRST_PAUSE_S = 0.02  # a small file is entered in a moment
_LONGEST_PAUSE_S = 0.2
_FILE = "file"


def _legal_basis(_context: click.Context, _parameter: click.Parameter, value: str | None) -> LegalBasis | None:
    if value is None:
        return None
    code, _, reference = value.partition(":")
    try:
        return LegalBasis.model_validate({"code": code, "reference": reference})
    except ValidationError:
        raise click.BadParameter("CODE:REF, e.g. law:273-FZ; codes are law, contract, court-order and guardianship-authority") from None


class _Imports(click.Group):
    """Whatever is none of its commands is a file to import."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in self.get_help_option_names(ctx):
            args = [_FILE, *args]
        return super().parse_args(ctx, args)


@click.group("import", cls=_Imports, no_args_is_help=False)
def import_roster() -> None:
    """Import roster files, settle what they put aside, list imports, follow one, and roll one back.

    `vekha import PATH` is short for `vekha import file PATH`.
    """


import_roster.add_command(list_reviews)
import_roster.add_command(settle)


@import_roster.command(_FILE)
@click.argument("path", type=click.Path(path_type=Path, readable=False))
@click.option("--school", type=ID, metavar="ID", required=True)
@click.option("--dry-run", is_flag=True, help="Say what would happen, and change nothing.")
@click.option("--legal-basis", metavar="CODE:REF", callback=_legal_basis, help="Another ground than consent, for rows without one.")
@click.option("--org", metavar="SOURCED_ID", help="This org of a OneRoster export is the school, though its name is another.")
@click.option("--overrule", is_flag=True, help="Let the file win where somebody has changed a person's details by hand.")
@click.option("--full-list", is_flag=True, help="The file lists all pupils, all staff, or both: who is missing from it leaves.")
@click.option("--missing", type=click.IntRange(min=0), metavar="N", help="Confirms that N are missing from a full list: more than 5 %.")
@as_option
@target_options
@json_option
def import_file(
    target: Target,
    path: Path,
    school: str,
    dry_run: bool,
    legal_basis: LegalBasis | None,
    org: str | None,
    overrule: bool,
    full_list: bool,
    missing: int | None,
    acting_as: str | None,
    as_json: bool,
) -> int:
    """Import pupils, staff or classes from our xlsx or csv template, a folder or zip of such csv files, or a OneRoster 1.1 or 1.2 export.

    Good rows are entered. Rejected ones are listed, and written to a file beside PATH that can be corrected and imported again; then
    this ends with 3.
    """
    if missing is not None and not full_list:
        raise click.UsageError("--missing confirms a full list: say --full-list too.")
    name, content = read(path)
    return run(
        _import(
            target,
            path,
            name,
            content,
            school,
            legal_basis,
            org,
            acting_as,
            dry_run=dry_run,
            overrule=overrule,
            full_list=full_list,
            missing=missing,
            as_json=as_json,
        )
    )


async def _import(
    target: Target,
    path: Path,
    name: str,
    content: bytes,
    school: str,
    legal_basis: LegalBasis | None,
    org: str | None,
    acting_as: str | None,
    *,
    dry_run: bool,
    overrule: bool,
    full_list: bool,
    missing: int | None,
    as_json: bool,
) -> int:
    async with connected(target) as client:
        with output.progress() as progress:
            task = progress.add_task(name, total=None)
            status = await hand_in(
                client,
                school,
                name,
                content,
                as_=acting_as,
                dry_run=dry_run,
                legal_basis=legal_basis,
                org=org,
                overrule=overrule,
                full_list=full_list,
                missing=missing,
                on_progress=lambda done, total: progress.update(task, completed=done, total=total or None),
            )
    return _tell_ended(status, school, path, dry_run=dry_run, as_json=as_json)


def _tell_ended(status: ImportStatus, school: str, path: Path, *, dry_run: bool, as_json: bool) -> int:
    rejected_file = None
    if status.rejected_file and not dry_run:
        rejected_file = _write_beside(path, base64.b64decode(status.rejected_file))
    for table in status.tables:
        output.remark(_read_as(table))
    for warning in status.warnings:
        output.remark(warning)
    if status.review and not dry_run:
        rows = "1 row is" if status.review == 1 else f"{status.review} rows are"
        output.remark(f"{rows} not entered before somebody has compared them: `vekha import reviews --school {school}`.")
    if as_json:
        output.print_json(
            {
                "job": status.job,
                "created": status.created,
                "updated": status.updated,
                "unchanged": status.unchanged,
                "review": status.review,
                "conflict": status.conflict,
                "leaving": status.leaving,
                "rejected": [cell.model_dump() for cell in status.rejected],
                "rejected_rows": _rejected_rows(status),
                "rejected_file": None if rejected_file is None else str(rejected_file),
                "warnings": status.warnings,
                "tables": [table.model_dump() for table in status.tables],
            }
        )
    else:
        _tell(status, rejected_file, dry_run=dry_run)
    return Exit.INVALID if status.rejected or status.rejected_rows else Exit.OK


@import_roster.command("follow")
@click.argument("import_id", type=ID, metavar="IMPORT_ID")
@click.option("--school", type=ID, metavar="ID", required=True)
@as_option
@target_options
@json_option
def follow_import(target: Target, import_id: str, school: str, acting_as: str | None, as_json: bool) -> int:
    """Follow an import to its end, wherever it was begun. One that an instance was stopped in is taken up when it runs again.

    Rejected rows are written to a file in this folder.
    """
    return run(_follow(target, import_id, school, acting_as, as_json=as_json))


async def _follow(target: Target, import_id: str, school: str, acting_as: str | None, *, as_json: bool) -> int:
    async with connected(target) as client:
        with output.progress() as progress:
            task = progress.add_task(import_id, total=None)
            status = (await client.ask(IMPORT_STATUS, ImportJob(school=school, job=import_id), as_=acting_as, timeout_s=30.0)).reply
            status = await follow(
                client,
                school,
                status,
                as_=acting_as,
                on_progress=lambda done, total: progress.update(task, completed=done, total=total or None),
            )
    return _tell_ended(status, school, Path(Path(status.file_name or import_id).name), dry_run=False, as_json=as_json)


@import_roster.command("list")
@click.option("--school", type=ID, metavar="ID", required=True)
@as_option
@target_options
@json_option
def list_imports(target: Target, school: str, acting_as: str | None, as_json: bool) -> int:
    """List a school's imports of the last 30 days, the newest first, with the ids by which they are rolled back.

    An erasure destroys the files of the imports before it: they are not listed any more, and cannot be rolled back.
    """
    return run(_list(target, school, acting_as, as_json=as_json))


async def _list(target: Target, school: str, acting_as: str | None, *, as_json: bool) -> int:
    async with connected(target) as client:
        cards = (await client.ask(IMPORTS, ImportsQuery(school=school), as_=acting_as)).reply
    if as_json:
        output.print_json(cards.model_dump(mode="json"))
        return Exit.OK
    for card in cards.imports:
        click.echo(_told(card))
    if not cards.imports:
        output.remark("No import is kept: each is for 30 days, or until anybody of the school is erased.")
    return Exit.OK


def _told(card: ImportCard) -> str:
    numbers = {"created": card.created, "updated": card.updated, "unchanged": card.unchanged, "to review": card.review}
    words = ", ".join(f"{number} {what}" for what, number in {**numbers, "rejected": card.rejected}.items())
    left = f", {card.left} left as they are" if card.left else ""
    why = f"\n    {card.error_code}: {card.error_text}" if card.error_code else ""
    return f"{card.import_id}  {card.day}  {card.state:12}  {card.file_name or '-'}  {words}{left}{why}"


@import_roster.command("roll-back")
@click.argument("import_id", type=ID, metavar="IMPORT_ID")
@click.option("--school", type=ID, metavar="ID", required=True)
@as_option
@target_options
@json_option
def roll_back(target: Target, import_id: str, school: str, acting_as: str | None, as_json: bool) -> int:
    """Take an import back as if it had never been: whom it entered is gone, whom it changed is as before.

    Whom something else rests on since, a move to another class, say, is left whole, and listed with the reason.
    """
    return run(_roll_back(target, import_id, school, acting_as, as_json=as_json))


async def _roll_back(target: Target, import_id: str, school: str, acting_as: str | None, *, as_json: bool) -> int:
    request = RollBackImport(school=school, import_id=import_id)
    async with connected(target) as client:
        with output.progress() as progress:
            task = progress.add_task(import_id, total=None)
            status = (await client.ask(ROLL_BACK_IMPORT, request, as_=acting_as, timeout_s=60.0)).reply
            was_done = status.state == "done"  # it only begins with the first answer
            pause_s = _FIRST_PAUSE_S
            while status.state == "running":
                progress.update(task, completed=status.done, total=status.total or None)
                await asyncio.sleep(pause_s)
                pause_s = min(_LONGEST_PAUSE_S, pause_s * 1.2)
                status = (await client.ask(ROLL_BACK_IMPORT, request, as_=acting_as, timeout_s=60.0)).reply
    if status.state == "failed":
        raise Failure(status.error_code or "rollback.failed", status.error_text or f"The roll-back of {import_id} failed.")
    if as_json:
        output.print_json({**status.model_dump(mode="json"), "was_done": was_done})
    else:
        if was_done:
            click.echo(f"{import_id} was rolled back before; nothing was done now. What that has done:")
        _tell_rolled_back(status)
    return Exit.OK


def _tell_rolled_back(status: RollBackStatus) -> None:
    for one in status.left:
        click.echo(f"{one.kind} {one.id} is left: {one.code}: {one.text}")
    if status.left_total > len(status.left):
        output.remark(f"{status.left_total - len(status.left)} more are left.")
    if not (status.total or status.decisions or status.left_total):
        click.echo("It had entered nothing, so nothing was taken back.")
        return
    gone = {"pupils": status.pupils, "guardians": status.guardians, "staff": status.staff, "classes": status.classes}
    words = ", ".join(f"{number} {what}" for what, number in gone.items())
    click.echo(
        f"Gone: {words}. Put back as before: {status.put_back}. Decisions invalidated: {status.decisions}. Left: {status.left_total}."
    )


def read(path: Path) -> tuple[str, bytes]:
    """The name and the bytes to upload; a folder goes as one archive of its csv files. Raises Failure with exit code 3."""
    try:
        if path.is_dir():
            name, content = f"{_in_words(path.resolve().name)}.zip", _zipped(path)
        else:
            name, content = _in_words(path.name), path.read_bytes()
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise _file_failure("file.unreadable", f"{path} cannot be opened: {reason}.", "Check the path and the permissions.") from error
    if len(content) > FILE_BYTES:
        raise _file_failure("file.too-large", f"{path} is larger than {FILE_BYTES // 2**20} MiB.", "Split it into several files.")
    return name, content


async def hand_in(
    client: Client,
    school: str,
    name: str,
    content: bytes,
    *,
    as_: str | None = None,
    dry_run: bool = False,
    legal_basis: LegalBasis | None = None,
    org: str | None = None,
    overrule: bool = False,
    full_list: bool = False,
    missing: int | None = None,
    on_progress: output.OnProgress,
) -> ImportStatus:
    """Uploads a file in parts, starts its import and follows it to its end. Raises Failure where nothing of it was entered."""
    upload = f"u-{secrets.token_hex(10)}"
    parts = [content[at : at + _PART_BYTES] for at in range(0, len(content), _PART_BYTES)] or [b""]
    try:
        for number, part in enumerate(parts, 1):
            text = base64.b64encode(part).decode()
            await client.ask(
                UPLOAD,
                UploadPart(school=school, upload=upload, part=number, parts=len(parts), file_name=name, content=text),
                as_=as_,
                timeout_s=30.0,
            )
        request = ImportRoster(
            school=school,
            upload=upload,
            dry_run=dry_run,
            legal_basis=legal_basis,
            org=org,
            overrule=overrule,
            full_list=full_list,
            missing=missing,
        )
        status = (await client.ask(IMPORT, request, as_=as_, timeout_s=60.0)).reply
    except Failure as failure:
        if failure.code.startswith("file."):
            failure.exit_code = Exit.INVALID
        raise
    return await follow(client, school, status, as_=as_, dry_run=dry_run, on_progress=on_progress)


async def follow(
    client: Client, school: str, status: ImportStatus, *, as_: str | None = None, dry_run: bool = False, on_progress: output.OnProgress
) -> ImportStatus:
    """Follows an import to its end. Raises Failure where nothing of it was entered, or where nobody answers any more."""
    job, wait_s = status.job, _LONGEST_PAUSE_S
    again = "Import the file again." if dry_run else f"Then: vekha import follow {job} --school {school}"
    try:
        while status.state == "running":
            on_progress(status.done_rows, status.total_rows)
            asked_at = time.monotonic()
            request = ImportJob(school=school, job=job, wait_s=wait_s) if wait_s else ImportJob(school=school, job=job)
            try:
                status = (await client.ask(IMPORT_STATUS, request, as_=as_, timeout_s=15.0)).reply
            except Failure as failure:
                if failure.code != "body.invalid" or not wait_s:
                    raise
                wait_s = 0.0  # a service that is not of this version yet does not know how to wait
            if status.state == "running":  # where too many wait, the answer comes at once
                await asyncio.sleep(asked_at + _LONGEST_PAUSE_S - time.monotonic())
    except Failure as failure:
        if failure.exit_code is not Exit.UNREACHABLE:
            raise
        text = f"{failure.text} Import {job} was under way"
        text += ", as a preview: it enters nothing." if dry_run else ": it is taken up where it was when the instance runs again."
        raise Failure(failure.code, text, f"{failure.hint or 'Start the instance.'} {again}", exit_code=Exit.UNREACHABLE) from failure
    except asyncio.CancelledError:
        output.remark(f"Import {job} goes on without you: vekha import follow {job} --school {school}")
        raise
    on_progress(status.done_rows, status.total_rows)
    if status.state == "failed":
        code = status.error_code or "import.failed"
        exit_code = Exit.INVALID if code.startswith("file.") else Exit.FAILED
        raise Failure(code, status.error_text or f"The import {job} failed.", exit_code=exit_code)
    return status


_DELIMITERS = {";": "semicolons", ",": "commas", "\t": "tabs"}


def _read_as(table: ImportedTable) -> str:
    """How a table was understood: a wrong guess shows here before anybody wonders at the rows."""
    where = table.file if table.sheet is None else f"{table.file}, {table.sheet}"
    how = f", {table.encoding} with {_DELIMITERS[table.delimiter]}" if table.encoding and table.delimiter else ""
    return f"{where}: read as {table.kind}{how}, {table.rows} row{'' if table.rows == 1 else 's'}."


def _tell(status: ImportStatus, rejected_file: Path | None, *, dry_run: bool) -> None:
    for cell in status.rejected:
        place = " ".join(part for part in (cell.file, cell.sheet, f"row {cell.row}" if cell.row else None, cell.column) if part)
        click.echo(f"{place}: {cell.code}: {cell.hint}")
    rejected = _rejected_rows(status)
    if rejected > (listed := _listed_rows(status)):
        click.echo(f"Of {rejected} rejected rows the first {listed} are listed.")
    counts = {"created": status.created, "updated": status.updated, "unchanged": status.unchanged, "to review": status.review}
    rare = {what: number for what, number in {"in conflict": status.conflict, "leaving": status.leaving}.items() if number}
    words = ", ".join(f"{number} {what}" for what, number in {**counts, "rejected": rejected, **rare}.items())
    click.echo(f"Nothing was entered. It would be: {words}." if dry_run else f"{words}.")
    if rejected_file is not None:
        click.echo(f"Correct the rejected rows in {rejected_file}, then import that file.")


def _listed_rows(status: ImportStatus) -> int:
    return len({(cell.file, cell.sheet, cell.row) for cell in status.rejected})


def _rejected_rows(status: ImportStatus) -> int:
    return status.rejected_rows or _listed_rows(status)


def _write_beside(path: Path, content: bytes) -> Path | None:
    """Writes the rejected rows, for their owner's eyes alone. An earlier file may be half corrected: it is left as it is."""
    suffix = ".zip" if content.startswith(b"PK") else ".csv"
    for number in count(1):
        beside = path.resolve().with_name(f"{path.resolve().stem}-rejected{'' if number == 1 else f'-{number}'}{suffix}")
        try:
            descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            continue
        except OSError as error:
            output.remark(f"The rejected rows cannot be written to {beside}: {(error.strerror or type(error).__name__).lower()}.")
            return None
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        return beside
    return None


def _zipped(folder: Path) -> bytes:
    """The csv files of a folder; those of the folders in it, where it has none itself."""
    inside = sorted(folder.iterdir())
    found = [path for path in inside if _is_csv(path)] or [path for path in sorted(folder.rglob("*")) if _is_csv(path)]
    if not found:
        others = [path for path in inside if path.suffix.casefold() in (".zip", ".xlsx")]
        hint = f"Hand in {others[0]} itself." if others else "Hand in a workbook, an archive, or a folder of csv files."
        raise _file_failure("file.empty", f"There is no csv file in {folder}.", hint)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, strict_timestamps=False) as archive:  # a time before 1980 is no trouble
        for path in found:
            archive.write(path, _in_words(str(path.relative_to(folder))))
    return packed.getvalue()


def _in_words(name: str) -> str:
    """A file's name as text: one that came from an old Windows is written in CP1251, which is no text where all else is UTF-8."""
    written = os.fsencode(name)
    try:
        return written.decode()
    except UnicodeDecodeError:
        return written.decode("cp1251", "replace")


def _is_csv(path: Path) -> bool:
    return path.is_file() and path.suffix.casefold() == ".csv" and not path.name.startswith(".")


def _file_failure(code: str, text: str, hint: str) -> Failure:
    return Failure(code, text, hint, exit_code=Exit.INVALID)
