"""`vekha audit verify`: does every log keep its own rules, and does every bus stream hold exactly its log?

The record is the log: its chain is followed from the first event, and its columns are held against the bytes that they are copies of. The
bus is held against the record byte for byte. A stream that is behind its log is lag, since the relay refills it; one that holds more than
its log, something else, or nothing readable where something was, is a finding. So is a log that does not hold what a reader has read of it:
a log cut off at its end keeps all of its own rules.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator, Sequence
from dataclasses import asdict

import click
import msgspec
from sqlalchemy import Connection

from contracts.event import SERVICES
from eventkit import log
from eventkit.event import decode
from eventkit.jetstream import JetStream
from eventkit.log import Finding
from eventkit.projection import LastRead
from vekha import bus, output
from vekha.bus import Bus
from vekha.client import Target
from vekha.failures import Exit
from vekha.loop import run
from vekha.options import json_option, target_options
from vekha.records import Unreadable, last_reads, reading, unrecognized

LAG = "lag"
"""The one kind of finding that is no fault: the relay will publish what is missing."""

_WORDS = {
    LAG: "the bus stream ends before it; the relay refills it",
    "missing": "the log has no event there",
    "chain-broken": "the event's bytes or its hash were changed",
    "bytes-undecodable": "the event's bytes were damaged",
    "time-runs-backwards": "it was recorded before the one before it",
    "beyond-head": "the log holds more than its head says",
    "head-differs": "the head does not fit the log's last event",
    "stream-ahead": "the bus stream holds events that the log does not: was the database put back from a backup?",
    "stream-differs": "the bus stream holds another event there",
    "stream-gap": "the bus stream holds nothing readable there",
    "stream-damaged": "the bus stream was damaged from there on",
    "reader-ahead": "readers have read further than the log goes: was the database put back from a backup?",
    "reader-differs": "a reader has read another event there: was the database replaced?",
    "database-missing": "the database file is not there",
    "database-unreadable": "the database file is damaged",
}


@click.group()
def audit() -> None:
    """Check that the record is whole, and that the bus agrees with it."""


@audit.command()
@target_options
@json_option
def verify(target: Target, as_json: bool) -> int:
    """Check every chain, every column against its bytes, and every bus stream against its log.

    Works while the instance runs, up to the heads that it finds, and while it is stopped. Ends with 4 where something is wrong.
    """
    return run(_verify(target, as_json=as_json))


async def _verify(target: Target, *, as_json: bool) -> int:
    target.folder.about()
    heads: dict[str, int] = {}
    findings: list[Finding] = []
    async with bus.opened(target) as opened:
        reads = last_reads(target.folder)
        for service in SERVICES:
            found = [finding async for finding in _service(target, opened, service, heads, reads)]
            findings += found
            if not as_json:
                state = "ok" if all(finding.kind == LAG for finding in found) else f"{len(found)} findings"
                click.echo(f"{service:<10} {heads.get(service, 0):>9} events   {state}")
    ok = all(finding.kind == LAG for finding in findings)
    if as_json:
        output.print_json({"ok": ok, "heads": heads, "findings": [asdict(finding) for finding in findings]})
    else:
        for finding in findings:
            kind, _, column = finding.kind.partition(":")
            words = f"the column {column} differs from the event's bytes" if column else _WORDS.get(kind, "")
            click.echo(f"{finding.service} {finding.position}: {finding.kind} ({words})")
        click.echo("The record verifies." if ok else "The record does not verify. Keep a copy before anything is mended.")
    return Exit.OK if ok else Exit.UNVERIFIED


async def _service(target: Target, opened: Bus, service: str, heads: dict[str, int], reads: Sequence[LastRead]) -> AsyncGenerator[Finding]:
    """One service's findings. Its stream's end is asked before its log is opened: what was published was committed before."""
    stream_end = await opened.end_of(service)
    try:
        with reading(target.folder, service) as connection:
            head = heads[service] = log.head(connection).position
            for finding in await asyncio.to_thread(lambda: list(log.verify(connection, service))):
                yield finding
            async for finding in _stream_against_log(opened, service, stream_end, head, connection):
                yield finding
            if stream_end <= head:  # else the log has lost its end, and what was read of that is no second finding
                for finding in _readers_against_log(connection, service, head, reads):
                    yield finding
    except Unreadable as unreadable:
        yield Finding(service, heads.get(service, 0), unreadable.code.replace(".", "-"))


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
