"""`vekha doctor`: what is wrong, and how to mend it, a line each; while the instance runs and while it is stopped."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncGenerator, Collection, Generator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

import click
import msgspec
from sqlalchemy import Connection, text

from contracts.event import SERVICES
from contracts.operations import HEAD, HEALTH, READ_LOG, Health, Nothing, ReadLog
from eventkit import log
from eventkit.broker import BrokerError
from eventkit.event import decode, moment
from eventkit.jetstream import BusError, JetStream
from eventkit.secrets import SecretMissing
from roster.restoring import without_data
from vekha import bus, output, repairing
from vekha.bus import Bus
from vekha.client import Client, Target, connected
from vekha.failures import Exit, Failure
from vekha.folder import DataFolder
from vekha.loop import run
from vekha.migrations import MIGRATIONS
from vekha.options import json_option, target_options
from vekha.own_seals import known_keys, sealed_on_bus
from vekha.records import Unreadable, check_readers, last_reads, reading, unrecognized
from vekha.repairing import Repaired

_SKEW_S = 60.0
_BACKUP_FRESH_FOR = timedelta(days=2)
_DRILL_FRESH_FOR = timedelta(days=30)
_SHOWN = 20  # people
_ASKED_AGAIN = 5
_STOP_AND_START = "Stop the instance and start it again; its log on stderr says why."
_NOT_READY = "Its /readyz and its log say why: docker compose ps; docker compose logs SERVICE"
_PROVISION = "Bring them up to date: vekha deploy provision"
_LAG_PATIENCE_S = 3.0  # what was committed a moment ago is on its way


@dataclass(frozen=True)
class Check:
    """One thing that was looked at. A finding says in `hint` what to do; a note is nothing that has to be mended."""

    check: str
    state: Literal["ok", "note", "finding"]
    text: str
    hint: str | None = None


@click.command()
@click.option("--repair", is_flag=True, help="Take back from the bus what a database lacks, as far as seals speak for it.")
@click.option("--accept", multiple=True, metavar="EVENT", help="With --repair: this event, for which no seal speaks, happened.")
@click.option("--discard", multiple=True, metavar="EVENT", help="With --repair: this event and what follows it never happened.")
@click.option("--rebuild-stream", type=click.Choice(SERVICES), help="Make a service's bus stream anew from its log.")
@target_options
@json_option
def doctor(
    target: Target, repair: bool, accept: tuple[str, ...], discard: tuple[str, ...], rebuild_stream: str | None, as_json: bool
) -> int:
    """Say what is wrong and how to mend it, a line each. Ends with 1 where there is anything.

    To mend anything the instance is stopped first.
    """
    if target.server is not None and (repair or rebuild_stream is not None):
        text = f"The services at {target.server} run apart, and nothing here opens their databases."
        raise Failure("repair.apart", text, "Stop them; then, where the deployment's secrets are: vekha deploy repair, or rebuild-stream")
    if rebuild_stream is not None:
        return say_rebuilt(rebuild_stream, run(repairing.rebuild_stream(repairing.halted(target.folder), rebuild_stream)), as_json=as_json)
    if repair:
        done = run(repairing.repair(repairing.halted(target.folder), accepted=accept, discarded=discard))
        return say_repaired(done, "vekha doctor --repair", as_json=as_json)
    if accept or discard:
        raise click.UsageError("--accept and --discard go with --repair")
    return run(_doctor(target, as_json=as_json))


def say_rebuilt(service: str, messages: int, *, as_json: bool) -> int:
    """Tells that a bus stream was made anew; answers the exit code."""
    if as_json:
        output.print_json({"service": service, "messages": messages})
    else:
        click.echo(f"The bus stream of {service} was made anew, with {messages} messages.")
    return Exit.OK


def say_repaired(done: Repaired, again: str, *, as_json: bool) -> int:
    """Tells what was repaired; `again` is what to type where something is left to be decided. Answers the exit code."""
    if as_json:
        output.print_json(done.as_json())
    else:
        for service, count in done.taken_back.items():
            click.echo(f"{service}: {count} events were taken back from the bus.")
        for service, count in done.discarded.items():
            click.echo(f"{service}: {count} events were discarded, and its bus stream was made anew.")
        for reader in done.derived_anew:
            click.echo(f"{reader} is derived anew at the next start.")
        for one in done.undecided:
            click.echo(f"{one.service} {one.position}: no seal speaks for {one.type} of {one.school}, {one.recorded_at}. Event {one.event}")
        if done.undecided:
            output.remark(f"Say of each whether it happened: {again} --accept EVENT … --discard EVENT …")
        elif not done.taken_back and not done.discarded and not done.derived_anew:
            click.echo("There is nothing to repair.")
    return Exit.FAILED if done.undecided else Exit.OK


async def _doctor(target: Target, *, as_json: bool) -> int:
    checks = [check async for check in _examined(target)]
    ok = all(check.state != "finding" for check in checks)
    if as_json:
        output.print_json({"ok": ok, "checks": [asdict(check) for check in checks]})
    else:
        for check in checks:
            mark, color = {"ok": ("ok", "green"), "note": ("--", None), "finding": ("!!", "red")}[check.state]
            click.echo(f"{click.style(mark, fg=color)} {check.check:<20} {check.text}{f' {check.hint}' if check.hint else ''}")
    return Exit.OK if ok else Exit.FAILED


async def _examined(target: Target) -> AsyncGenerator[Check]:
    if not _is_apart(target):
        try:
            about = target.folder.about()
        except Failure as failure:
            yield Check("data folder", "finding", failure.text, failure.hint)
            return
        yield Check("data folder", "ok", f"{target.folder.root}, format {about.format}, {about.clock} clock.")
        for check in _secrets(target.folder):
            yield check
        for check in _kept(target.folder):
            yield check
        for service in SERVICES:
            yield await asyncio.to_thread(_database, target.folder, service)
    if target.server is None and not target.folder.is_held:
        async for check in _stopped(target):
            yield check
        yield Check("instance", "note", "It is not running.", target.up_line)
        return
    try:
        async with connected(target) as client:
            yield Check("instance", "ok", f"It listens at {target.url()}.")
            async for check in _running(client, known_keys(target), _NOT_READY if _is_apart(target) else _STOP_AND_START):
                yield check
    except Failure as failure:
        yield Check("instance", "finding", failure.text, failure.hint)


def _is_apart(target: Target) -> bool:
    """Whether what is looked at are services apart, of which only secrets to call them are here."""
    return target.server is not None and not target.folder.is_made


def _secrets(folder: DataFolder) -> Generator[Check]:
    try:
        folder.secrets()
    except SecretMissing as error:
        yield Check("secrets", "finding", str(error))
        return
    except Failure as failure:
        yield Check("secrets", "finding", failure.text, failure.hint)
        return
    if exposed := folder.exposed_secrets():
        hint = f"Type: chmod -R go= {folder.secrets_folder}"
        yield Check("secrets", "finding", f"Open to others: {', '.join(str(path) for path in exposed)}.", hint)
    else:
        yield Check("secrets", "ok", "All there, for their owner alone.")


def _kept(folder: DataFolder) -> Generator[Check]:
    """How old the last backup is, and the last proof that one can be restored."""
    kept: list[tuple[str, Literal["backup", "drill"], timedelta, str]] = [
        ("backup", "backup", _BACKUP_FRESH_FOR, "Make one: vekha backup --out FILE"),
        ("restore drill", "drill", _DRILL_FRESH_FOR, "Restore the last backup on trial: vekha drill FILE"),
    ]
    for name, what, fresh_for, hint in kept:
        at = folder.remembered(what)
        if at is None:
            yield Check(name, "note", "There was none yet.", hint)
            continue
        age = datetime.now(UTC) - at
        told = f"The last good one was {age.days} days and {age.seconds // 3600} hours ago."
        yield Check(name, "ok", told) if age <= fresh_for else Check(name, "note", told, hint)


def _database(folder: DataFolder, service: str) -> Check:
    name = f"database {service}"
    try:
        with reading(folder, service) as connection:
            if (found := connection.execute(text("PRAGMA quick_check(1)")).scalar_one()) != "ok":
                return Check(name, "finding", f"It is damaged: {found}.", "Put it back from a backup, then: vekha audit verify")
            if strange := connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'trigger' ORDER BY 1")).scalars().all():
                what = f"It has triggers, which change what is written, and none is ours: {', '.join(strange)}."
                return Check(name, "finding", what, "Find out who has made them; then: vekha audit verify")
            revision, known = MIGRATIONS[service].current(connection), MIGRATIONS[service].head
            if revision == known and (lacking := MIGRATIONS[service].lacking(connection)):
                return Check(name, "finding", f"It lacks its {', '.join(lacking)}.", "Put it back from a backup, then: vekha audit verify")
            head = log.head(connection)
            check_readers(folder, service, connection)
            if service == "roster" and (nameless := without_data(connection)):
                return _nameless(name, nameless)
    except Failure as failure:
        return Check(name, "finding", failure.text, failure.hint)
    try:
        check = _skew(name, head.position, moment(head.recorded_at), folder.time())
    except Failure as failure:
        return Check(name, "finding", failure.text, failure.hint)
    except ValueError:
        return Check(name, "finding", "Its head does not say when its last event was recorded.", "See: vekha audit verify")
    if check.state == "ok" and revision < known:
        return Check(name, "note", f"{check.text} Its tables are at revision {revision}: the next start brings them to {known}.")
    return check


def _nameless(name: str, people: Sequence[tuple[str, str, str]]) -> Check:
    """A record that was taken back from the bus knows who is at a school, and nobody's name."""
    shown = ", ".join(f"{kind} {person} of {school}" for school, kind, person in people[:_SHOWN])
    more = f" and {len(people) - _SHOWN} more" if len(people) > _SHOWN else ""
    hint = "Enter them again with their consents. Whoever has none is dismissed, and hired anew."
    return Check(name, "finding", f"Nothing is known of {shown}{more} but that they are there.", hint)


def _skew(name: str, position: int, recorded: datetime, now: datetime) -> Check:
    """Nothing can have been recorded in the future: then the clock went back, and new events bear the time of the last one."""
    if recorded > now + timedelta(seconds=_SKEW_S):
        text = f"Its last event was recorded at {recorded:%Y-%m-%d %H:%M} UTC, and the clock says {now:%Y-%m-%d %H:%M}."
        return Check(name, "finding", text, "Set the machine's clock right.")
    return Check(name, "ok", f"{position} events.")


async def _stopped(target: Target) -> AsyncGenerator[Check]:
    """Where the bus streams end, in a copy of them, and what the readers have read: both against the logs."""
    try:
        reads, roots = last_reads(target.folder), known_keys(target)
        async with bus.opened(target) as opened:
            for service in SERVICES:
                with suppress(Unreadable), reading(target.folder, service) as connection:  # it has been named
                    found = await _stream(opened, service, connection, roots.get(service, ()))
                    unknown = list(unrecognized(connection, service, reads))
                    if unknown and found.state == "ok":
                        names = ", ".join(f"{read.reader} up to {read.position}" for read in unknown)
                        text = f"Its log does not hold what was read of it ({names}): was the database put back from a backup?"
                        found = Check(f"database {service}", "finding", text, _newer(service))
                    yield found
    except Failure as failure:  # a database that may be sound; it has been named as well
        yield Check("bus", "note", "The bus streams were not looked at.", failure.hint)
    except (BrokerError, BusError) as error:
        yield Check("bus", "finding", str(error))


async def _stream(opened: Bus, service: str, connection: Connection, roots: Collection[str]) -> Check:
    name, head, last = f"bus stream {service}", log.head(connection).position, await opened.end_of(service)
    if last > head and opened.nc is not None:
        return (await _more_than_log(JetStream(opened.nc), service, last, head, roots)).check
    if last > 0 and opened.nc is not None:
        stored = await JetStream(opened.nc).get_message(service.upper(), last)
        ours = log.read(connection, last - 1, 1)
        if stored is None or opened.cut().get(service.upper(), 0):
            return Check(name, "finding", "It is damaged at its end.", "See: vekha audit verify")
        if not ours or stored != ours[0][1:]:
            return Check(name, "finding", f"It holds another event than the log at {last}.", "See: vekha audit verify")
    return Check(name, "ok", f"{last} messages{'' if last == head else f'; the other {head - last} follow at the next start'}.")


def _newer(service: str) -> str:
    return f"Put the newer database of {service} back; or, if there is none, take what it lacks back from the bus: vekha doctor --repair"


async def _running(client: Client, roots: Mapping[str, Collection[str]], silent: str) -> AsyncGenerator[Check]:
    """`roots` are the services' keys as they are known here, `silent` what to do where one does not answer."""
    streams = {service: await _stream_beside_log(client, service, roots.get(service, ())) for service in SERVICES}
    healths: list[Health] = []
    for service in SERVICES:
        try:
            health = (await client.ask(HEALTH[service], Nothing())).reply
            if health.published < health.position and health.quarantined is None:
                health = await _patiently(client, service, health)
            healths.append(health)
        except Failure as failure:
            yield Check(f"service {service}", "finding", failure.text, silent)
    quarantined = {health.service for health in healths if health.quarantined is not None}
    for service, stream in streams.items():
        if service not in quarantined or stream.is_unsealed:
            yield stream.check
    for health in healths:
        for check in _service(health, quarantined):
            yield check
    # Asked after the readers, so that what was recorded meanwhile does not look like a reader that has run ahead.
    # A service in quarantine has been named already.
    sound = [health.service for health in healths if health.service not in quarantined]
    heads = {service: (await client.ask(HEAD[service], Nothing())).reply.position for service in sound}
    for check in _readers_ahead(healths, heads):
        yield check
    for check in _mixed(healths):
        yield check
    for health in healths:
        if len(await _programs(client, health)) > 1:
            text = "Two versions of it answer, by turns."
            yield Check(f"service {health.service}", "finding", text, "Unless an upgrade is under way, stop the older one.")


@dataclass(frozen=True)
class _OfStream:
    """What was found of a bus stream; whether it holds what no seal of its service speaks for."""

    check: Check
    is_unsealed: bool = False


async def _stream_beside_log(client: Client, service: str, roots: Collection[str]) -> _OfStream:
    """Holds the end of a bus stream against the log of a service that runs, as the service does by itself from time to time."""
    name, bus = f"bus stream {service}", JetStream(client.nc)
    try:
        last = await bus.last_sequence(service.upper())
        head = (await client.ask(HEAD[service], Nothing())).reply.position  # asked later: what was published was recorded before
        if last > head:
            return await _more_than_log(bus, service, last, head, roots)
        stored = await bus.get_message(service.upper(), last) if last else None
        rows = (await client.ask(READ_LOG[service], ReadLog(after=last - 1, limit=1))).reply.rows if last else ()
    except BusError as error:
        return _OfStream(Check(name, "finding", str(error)))
    except Failure:  # it does not answer, and is named for that
        return _OfStream(Check(name, "note", "It was not held against the log."))
    if last and stored is None:
        return _OfStream(Check(name, "finding", "It is damaged at its end.", "See: vekha audit verify"))
    if stored is not None and [stored] != [(_subject(data), data) for row in rows for data in [base64.b64decode(row.bytes)]]:
        return _OfStream(Check(name, "finding", f"It holds another event than the log at {last}.", "See: vekha audit verify"))
    return _OfStream(Check(name, "ok", f"{last} messages."))


def _subject(data: bytes) -> str:
    """Under which subject an event of a log stands on the bus; none where its bytes are none."""
    try:
        return decode(data).subject
    except msgspec.MsgspecError:
        return ""


async def _more_than_log(bus: JetStream, service: str, last: int, head: int, roots: Collection[str]) -> _OfStream:
    """A stream that goes further than its log: the service's own last seal tells whether that has lost its end."""
    sealed = await sealed_on_bus(bus, service, roots)
    text, name = f"It holds {last} messages, and the log ends at {head}", f"bus stream {service}"
    if sealed > head:
        return _OfStream(Check(name, "finding", f"{text}: was the database put back from a backup?", _newer(service)))
    text += f": no kept seal of {service} speaks for what stands from {head + 1} on. It is forged, or the database has lost its end."
    hint = "See: vekha audit verify. Then stop the instance: vekha doctor --repair lists these events, to be accepted or discarded."
    return _OfStream(Check(name, "finding", text, hint), is_unsealed=True)


async def _programs(client: Client, first: Health) -> set[str]:
    """Of which programs the processes of a service are that answer, as far as a few questions tell."""
    asked = [client.ask(HEALTH[first.service], Nothing()) for _ in range(_ASKED_AGAIN)]
    found = [answer.reply for answer in await asyncio.gather(*asked, return_exceptions=True) if not isinstance(answer, BaseException)]
    return {_program(health)[1] for health in (first, *found)}


def _program(health: Health) -> tuple[str, str]:
    """What a service shares with others, and all of it; a program from before they told has a name of its own."""
    return ("an earlier one", "an earlier one") if health.program is None else (health.program.shared, health.program.whole)


def _mixed(healths: Sequence[Health]) -> Generator[Check]:
    """Services of different versions, and tables that are at another revision than the program that uses them."""
    shared: dict[str, list[str]] = {}
    for health in healths:
        shared.setdefault(_program(health)[0], []).append(health.service)
    if len(shared) > 1:
        told = "; ".join(f"{', '.join(services)} of {digest}" for digest, services in shared.items())
        text = f"The services are of different versions: {told}."
        yield Check("versions", "finding", text, "Unless an upgrade is under way, bring all to the same one: docker compose up --wait")
    for health in healths:
        if (tables := health.tables) is not None and tables.revision != tables.known:
            text = f"Its tables are at revision {tables.revision}, and its program knows {tables.known}"
            if tables.least > tables.known:
                text += f"; they are for programs that know {tables.least}"
            hint = "Start the program of the version that brought them there." if tables.revision > tables.known else _PROVISION
            yield Check(f"service {health.service}", "finding", f"{text}.", hint)


def _readers_ahead(healths: Sequence[Health], heads: Mapping[str, int]) -> Generator[Check]:
    """A reader that has read further than its source's log goes: the log lost its end, and the bus stream with it.

    What the log records next, up to where the reader is, that reader will never see.
    """
    for health in healths:
        for reader in health.readers:
            for source, position in reader.positions.items():
                if position > heads.get(source, position):
                    text = f"{reader.name} has read {source} up to {position}, and the log of {source} ends at {heads[source]}."
                    yield Check(f"service {health.service}", "finding", text, f"Stop the instance. {_newer(source)}")


async def _patiently(client: Client, service: str, before: Health) -> Health:
    await asyncio.sleep(_LAG_PATIENCE_S)
    health = (await client.ask(HEALTH[service], Nothing())).reply
    return health if health.published < before.position else health.model_copy(update={"published": health.position})


def _service(health: Health, quarantined: Collection[str]) -> Generator[Check]:
    name = f"service {health.service}"
    found = False
    if health.quarantined is not None:
        found = True
        hint = f"Stop the instance and keep a copy of its folder. {_newer(health.service)}"
        text = f"It is in quarantine, and refuses to record anything. {health.quarantined}"
        yield Check(name, "finding", f"{text} Whoever has read more than its log holds takes in no more of it.", hint)
    elif health.published < health.position:
        found = True
        behind = health.position - health.published
        yield Check(name, "finding", f"{behind} events are not on the bus, and none goes there.", "Look at the instance's log on stderr.")
    for reader in health.readers:
        for source in sorted(set(reader.unrecognized) - set(quarantined)):
            found = True
            text = f"{reader.name} has read {source} up to {reader.positions[source]}, and the log of {source} does not hold that event."
            yield Check(name, "finding", text, _newer(source))
        if reader.parked:
            found = True
            yield Check(name, "finding", f"{reader.name} has parked {reader.parked} events.", "See: vekha parked list")
        elif halted := sorted(set(reader.halted) - set(reader.unrecognized)):
            found = True
            yield Check(name, "finding", f"{reader.name} stands still before {', '.join(halted)}.", "See: vekha parked list")
    if not found:
        yield Check(name, "ok", f"{health.position} events recorded and on the bus.")
