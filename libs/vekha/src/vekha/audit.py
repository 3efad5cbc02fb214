"""`vekha audit`: does every log keep its own rules and its seals, and does every bus stream hold exactly its log?

The record is the log: its chain is followed from the first event, its columns are held against the bytes that they are copies of, every
event against its contract, and the chain against what the service has sealed, and against a checkpoint that somebody has kept. The bus is
held against the record byte for byte. A stream that is behind its log is lag, since the relay refills it; one that holds more than its log,
something else, or nothing readable where something was, is a finding. So is a log that does not hold what a reader has read of it: a log
cut off at its end keeps all of its own rules.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Collection, Generator, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import msgspec
from sqlalchemy import Connection

from contracts.event import SERVICES
from eventkit import checkpoint, log, sealing, seals
from eventkit.checkpoint import Checkpoint
from eventkit.event import decode
from eventkit.jetstream import BusError, JetStream
from eventkit.log import Finding
from eventkit.projection import CheckpointDamaged, LastRead, is_created, last_read
from eventkit.seals import Seal
from vekha import bus, output
from vekha.archive import reading as reading_archives
from vekha.archive import writing
from vekha.bus import Bus
from vekha.client import Target
from vekha.evidence import HARMLESS, Examined, Witness
from vekha.failures import Exit, Failure
from vekha.files import TO_BE_HANDED_ON, check_new, new, write_new
from vekha.loop import run
from vekha.options import ID, as_json_option, json_option, target_options
from vekha.own_seals import known_keys
from vekha.proof import prove
from vekha.records import Unreadable, last_reads, reading, unrecognized
from vekha.signing import signing

LAG = "lag"
"""The one kind of finding that is no fault: the relay will publish what is missing."""

_WORDS = {
    LAG: "the bus stream ends before it; the relay refills it",
    "unsealed": "it is not sealed yet; the service seals it",
    "missing": "the log has no event there",
    "chain-broken": "the event's bytes or its hash were changed",
    "bytes-undecodable": "the event's bytes were damaged",
    "event-undecodable": "the event is not what its type's contract says",
    "frame-broken": "where the next event begins cannot be told",
    "archive-changed": "the archive's files are not those that were written",
    "archive-removed": "files of the archive are gone",
    "archive-inserted": "the archive holds files that are not its own",
    "archive-forged": "the archive is not signed with a key of identity's log",
    "duplicate": "another event stands at the same position",
    "seal-ahead": "the service has sealed more than the log holds",
    "seal-differs": "a seal says something else of the events from there on",
    "seal-forged": "the seal there is not the service's",
    "seal-missing": "the seal of the events from there on is gone",
    "key-forged": "a key was published under no key of the service",
    "key-missing": "the log does not publish the key that the service signs with",
    "checkpoint-ahead": "the checkpoint goes further than the log",
    "checkpoint-differs": "the checkpoint says something else of the events from there on",
    "checkpoint-forged": "the checkpoint is not signed with a key of identity's log",
    "time-runs-backwards": "it was recorded before the one before it",
    "beyond-head": "the log holds more than its head says",
    "head-differs": "the head does not fit the log's last event",
    "stream-ahead": "the bus stream holds events that the log does not: from before a backup was put back, or anybody's",
    "stream-differs": "the bus stream holds another event there",
    "stream-gap": "the bus stream holds nothing readable there",
    "stream-damaged": "the bus stream was damaged from there on",
    "reader-ahead": "readers have read further than the log goes: was the database put back from a backup?",
    "reader-differs": "a reader has read another event there: was the database replaced?",
    "reader-damaged": "the service's own readers' checkpoints are damaged",
    "database-missing": "the database file is not there",
    "database-unreadable": "the database file is damaged",
}


@click.group()
def audit() -> None:
    """Check that the record is whole, and that the bus agrees with it."""


@audit.command()
@click.argument("archive", type=click.Path(path_type=Path, dir_okay=False), required=False)
@click.option("--checkpoint", "kept", type=click.Path(path_type=Path, dir_okay=False), help="A checkpoint that somebody has kept.")
@target_options
@json_option
def verify(target: Target, archive: Path | None, kept: Path | None, as_json: bool) -> int:
    """Check every chain, column, event and seal, and every bus stream against its log; or an ARCHIVE.

    Works while the instance runs, up to the heads that it finds, and while it is stopped. Ends with 4 where something is wrong, and says at
    which position it begins and what was done: changed, removed, inserted, reordered, truncated or forged.
    """
    known = None if kept is None else _read_checkpoint(kept)
    if archive is not None:
        return _verify_archive(archive, known, as_json=as_json)
    return run(_verify(target, known, as_json=as_json))


@audit.command("checkpoint")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Also write the page into a file that is not there yet.")
@target_options
@json_option
def make_checkpoint(target: Target, out: Path | None, as_json: bool) -> None:
    """Print a signed page that says where the five logs end and what they hold, to be mailed or kept outside."""
    if out is not None:
        check_new(out)
    made = signing(target).checkpoint
    if out is not None:
        write_new(out, made.text().encode(), TO_BE_HANDED_ON)
    if as_json:
        output.print_json(made.as_json())
    else:
        click.echo(made.text(), nl=False)


@audit.command()
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="The archive, a zip file that is not there yet."
)
@target_options
@json_option
def export(target: Target, out: Path, as_json: bool) -> None:
    """Write the whole record, up to what is sealed, into one signed archive that verifies itself (verify.py in it)."""
    check_new(out)
    signed = signing(target)
    with output.progress() as bar, new(out, TO_BE_HANDED_ON) as file:
        task = bar.add_task("export", total=None)
        writing.write(target.folder, signed, file, lambda done, total: bar.update(task, completed=done, total=total))
    heads = {service: at.position for service, at in signed.checkpoint.sealed.items()}
    if as_json:
        output.print_json({"file": str(out), "bytes": out.stat().st_size, "heads": heads})
    else:
        click.echo(f"{out}: {sum(heads.values())} events, {out.stat().st_size} bytes. To verify it: python3 verify.py {out.name}")


@audit.command("prove")
@click.option("--event", "event_id", metavar="ID", help="The event's id, as `vekha events` shows it.")
@click.option("--school", type=ID, metavar="ID", help="Instead of an event: the school of an answer.")
@click.option("--step", type=click.IntRange(1, 99), help="And the step that the answer is about.")
@click.option("--as-of", "as_of", metavar="DATE", help="At the end of that day, by default today.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write the proof into a new file instead.")
@target_options
@as_json_option
def prove_event(target: Target, event_id: str | None, school: str | None, step: int | None, as_of: str | None, out: Path | None) -> None:
    """Prove that an event is in the record, or what the record says of a step of a school.

    An event with the hashes that lead to the seal behind it, and that seal, as JSON; an answer as `vekha plan explain` gives it, with each
    event that it rests on. The verify.py of any archive verifies both, on any machine: python3 verify.py PROOF.json --keys ARCHIVE.zip
    """
    if (event_id is None) == (school is None) or (school is None) != (step is None) or (as_of is not None and school is None):
        raise click.UsageError("Name an event (--event), or a school and one of its steps (--school, --step).")
    target.folder.check_is_made()
    if out is not None:
        check_new(out)
    if school is not None and step is not None:
        proof = _prove_step(target, school, step, as_of)
    else:
        proof = prove(target.folder, event_id or "")
    if out is None:
        output.print_json(proof)
    else:
        write_new(out, f"{json.dumps(proof, indent=1, ensure_ascii=False)}\n".encode(), TO_BE_HANDED_ON)


@audit.command("replay")
@click.argument("source", metavar="ARCHIVE|live")
@click.option(
    "--to", metavar="DATE|TIME|POSITIONS", help="The end of a day, a time, or the positions that an answer carried; else the end."
)
@click.option("--as-of", "as_of", metavar="DATE", help="The day of the boards; else that of --to, or of what was recorded last.")
@click.option("--school", type=ID, metavar="ID", help="Print this school's board, as `vekha plan status` answers it.")
@click.option("--compare", is_flag=True, help="Compare an archive, too, with the instance that runs on --data.")
@target_options
@json_option
def replay_record(target: Target, source: str, to: str | None, as_of: str | None, school: str | None, compare: bool, as_json: bool) -> int:
    """Make every projection and board anew from the events alone, print their digests, and list what a running instance has otherwise.

    With `live` the events come from the instance's own databases, and it is compared if it runs. Ends with 1 where something differs.
    """
    from vekha import replaying  # what no other command of this group has to wait for

    return run(replaying.replayed(target, source, to, as_of, school, compare=compare, as_json=as_json))


def _prove_step(target: Target, school: str, step: int, as_of: str | None) -> dict[str, Any]:
    from vekha import answer_proof, replaying  # what no other command of this group has to wait for

    day = None if as_of is None else replaying.day(as_of)
    return answer_proof.prove_step(target.folder, signing(target), school, step, day)


def _read_checkpoint(path: Path) -> Checkpoint:
    try:
        return checkpoint.read(path.read_text())
    except OSError:
        raise Failure("checkpoint.unreadable", f"{path} cannot be read.", exit_code=Exit.INVALID) from None
    except ValueError:
        hint = "It is what `vekha audit checkpoint` prints, from VEKHA CHECKPOINT to the end of the signature."
        raise Failure("checkpoint.unreadable", f"There is no checkpoint in {path}.", hint, exit_code=Exit.INVALID) from None


def _verify_archive(path: Path, kept: Checkpoint | None, *, as_json: bool) -> int:
    examined = reading_archives.examine(path, kept)
    _tell(examined, as_json=as_json)
    return Exit.OK if examined.ok else Exit.UNVERIFIED


async def _verify(target: Target, kept: Checkpoint | None, *, as_json: bool) -> int:
    target.folder.check_is_made()
    examined = Examined()
    roots = known_keys(target)
    async with bus.opened(target) as opened:
        reads = last_reads(target.folder)
        for service in SERVICES:
            await _service(target, opened, service, examined, reads, roots.get(service, ()), kept)
    if kept is not None:
        examined.hold(kept)
    _tell(examined, as_json=as_json)
    return Exit.OK if examined.ok else Exit.UNVERIFIED


def _tell(examined: Examined, *, as_json: bool) -> None:
    if as_json:
        findings = [asdict(finding) for finding in examined.findings if finding.kind != "unsealed"]
        damage = [asdict(one) for one in examined.damage]
        output.print_json({"ok": examined.ok, "heads": examined.heads, "findings": findings, "damage": damage, "sealed": examined.sealed})
        return
    for service, head in examined.heads.items():
        faults = [finding for finding in examined.findings if finding.service == service and finding.kind not in HARMLESS]
        state = f"{len(faults)} findings" if faults else "ok"
        click.echo(f"{service:<10} {head:>9} events   {examined.sealed.get(service, 0):>9} sealed   {state}")
    for finding in examined.findings:
        kind, _, column = finding.kind.partition(":")
        words = f"the column {column} differs from the event's bytes" if column else _WORDS.get(kind, "")
        click.echo(f"{finding.service} {finding.position}: {finding.kind} ({words})")
    for one in examined.damage:
        click.echo(f"{one.service}: {one.kind}, from {one.position} on")
    click.echo("The record verifies." if examined.ok else "The record does not verify. Keep a copy before anything is mended.")


async def _service(
    target: Target,
    opened: Bus,
    service: str,
    examined: Examined,
    reads: Sequence[LastRead],
    roots: Collection[str],
    kept: Checkpoint | None,
) -> None:
    """Looks one service through. Its stream's end is asked before its log is opened: what was published was committed before."""
    stream_end = await opened.end_of(service)
    published = await _published(opened, service)
    found: list[Finding] = []
    witness, head = Witness(seals.Log(service, ""), []), 0
    try:
        with reading(target.folder, service) as connection, output.progress() as bar:
            head = log.head(connection).position
            whose = seals.Log(service, log.log_id(connection))
            sealed = seals.kept_after(connection, 0) if seals.are_kept(connection) else []
            task = bar.add_task(service, total=head)
            checkpoints = () if kept is None else (kept.sealed[service],)
            witness = looking = Witness(whose, sealed, published, roots, checkpoints, lambda: bar.advance(task))
            found += await asyncio.to_thread(lambda: [*log.verify(connection, service, seen=looking.seen), *looking.findings()])
            found += [finding async for finding in _stream_against_log(opened, service, stream_end, head, connection)]
            if stream_end <= head:  # else the log has lost its end, and what was read of that is no second finding
                found += _readers_against_log(connection, service, head, reads)
            if is_created(connection):
                last_read(connection)
    except CheckpointDamaged:
        found.append(Finding(service, head, "reader-damaged"))
    except Unreadable as unreadable:
        position = head if unreadable.position is None else unreadable.position
        found.append(Finding(service, position, unreadable.code.replace(".", "-")))
    examined.take(service, witness, found, head)


async def _published(opened: Bus, service: str) -> list[Seal]:
    """The seals on the bus, as far as it can be asked."""
    if opened.nc is None:
        return []
    with suppress(BusError):
        return await sealing.published(opened.nc, service)
    return []


def _readers_against_log(connection: Connection, service: str, head: int, reads: Sequence[LastRead]) -> Generator[Finding]:
    """One finding of each kind: where the log ends before what readers have read, and the first position where it holds something else."""
    positions = sorted(read.position for read in unrecognized(connection, service, reads))
    if differing := [position for position in positions if position <= head]:
        yield Finding(service, differing[0], "reader-differs")
    if positions and positions[-1] > head:
        yield Finding(service, head + 1, "reader-ahead")


async def _stream_against_log(opened: Bus, service: str, stream_end: int, head: int, connection: Connection) -> AsyncGenerator[Finding]:
    common = min(stream_end, head)
    position = 1
    if opened.nc is not None:
        async for batch in JetStream(opened.nc).read_range(service.upper(), 1, common):
            rows = log.read(connection, position - 1, batch[-1][0] - position + 1)
            ours = {row_position: data for row_position, _, data in rows}
            for theirs, subject, data in batch:
                if theirs > position:
                    yield Finding(service, position, "stream-gap")  # one for the whole run, where it begins
                # Where the log has lost the event, its own verification says so.
                if (mine := ours.get(theirs)) is not None and (mine != data or _subject(mine) != subject):
                    yield Finding(service, theirs, "stream-differs")
                position = theirs + 1
    if position <= common:
        yield Finding(service, position, "stream-gap")
    if stream_end > head:
        yield Finding(service, head + 1, "stream-ahead")
    elif stream_end < head:
        cut = opened.cut().get(service.upper(), 0)
        yield Finding(service, stream_end + 1, "stream-damaged" if cut else LAG)


def _subject(data: bytes) -> str | None:
    try:
        return decode(data).subject
    except msgspec.MsgspecError:
        return None
