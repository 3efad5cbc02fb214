"""`vekha doctor --repair` and `--rebuild-stream` (DESIGN 2.3): what a restored database lacks comes back from the bus, byte for byte."""

from __future__ import annotations

import asyncio
from datetime import date
from pathlib import Path
from random import Random
from typing import Any

import pytest
from msgspec.structs import replace
from sqlalchemy import delete

from contracts import SERVICES, identity, roster
from contracts.roster import PersonName
from eventkit.broker import EmbeddedBroker
from eventkit.database import Database, sqlite_url
from eventkit.event import encode
from eventkit.jetstream import JetStream, connect, disconnect
from eventkit.projection import checkpoint_table
from plan_tracker.projections import BoardProjection
from tests import load, record
from tests.conftest import Lived, boards, instance
from tests.faults.test_restored import put_an_older_database_back
from tests.load import check_running, check_stopped
from tests.school import SCHOOL
from tests.test_erasure import enter, order, reached, sealed
from vekha.folder import DataFolder
from vekha.testing import Outcome, Vekha

pytestmark = [pytest.mark.faults, pytest.mark.timeout(240)]


@pytest.mark.fault("a database restored from an older backup, and taken back from the bus under its seals")
@pytest.mark.parametrize("service", SERVICES)
async def test_what_seals_speak_for_is_taken_back_byte_for_byte(lived: Lived, tmp_path: Path, vekha: Vekha, service: str) -> None:
    data = lived.copy(tmp_path / "data")
    put_an_older_database_back(data, lived, service)
    missing = len(record.logs(lived.data)[service]) - len(record.logs(data)[service])
    repaired = await asyncio.to_thread(vekha, "doctor", "--repair", "--data", data, "--json")
    assert (repaired.code, repaired.json["taken_back"], repaired.json["undecided"]) == (0, {service: missing}, [])
    assert record.logs(data) == record.logs(lived.data)
    again = await asyncio.to_thread(vekha, "doctor", "--repair", "--data", data, "--json")
    assert (again.code, again.json["taken_back"]) == (0, {})
    verified = await asyncio.to_thread(vekha, "audit", "verify", "--data", data, "--json")
    assert (verified.code, verified.json["findings"]) == (0, [])
    async with instance(data) as client:
        # A command that was carried out is known, and recorded by nobody again.
        before = len(record.logs(data)[service])
        for made in [made for made in lived.commands if made.call.service == service][-5:]:
            outcome = await asyncio.to_thread(
                vekha, "call", made.call.name, made.request.model_dump_json(exclude_unset=True), "--command-id", made.command_id,
                *(["--as", made.as_] if made.as_ else []), "--data", data, "--json",
            )  # fmt: skip
            assert outcome.code == 0 or outcome.error["code"] == "command.answer-lost"
        await check_running(client, data)
        lost = record.events(record.logs(data)[service])[before:]
        assert {event.type for event in lost} <= {"identity.credentials-revoked.v1"}
        if service == "identity":
            assert {event.facts()[1]["reason"] for event in lost} <= {"digest-lost"}  # none where each code was used before
    if service != "roster":
        check_stopped(data, tmp_path)


@pytest.mark.fault("databases restored from an older backup: who lost the own data, a credential, or was erased since")
async def test_whose_data_were_lost_is_entered_again_a_code_without_a_digest_is_revoked_and_the_erased_are_erased_again(
    lived: Lived, tmp_path: Path, vekha: Vekha
) -> None:
    data = lived.copy(tmp_path / "data", of_first_day=True)
    async with instance(data) as client:
        person, consent_id = await enter(client)
        pupils = (await client.ask(roster.PEOPLE, roster.PeopleQuery(school=SCHOOL, kind="pupil"))).reply.people
        gone = next(pupil for pupil in pupils if pupil != person)
        await order(client, gone)
        await reached(client, gone, "completed")
    logs = record.logs(data)
    for service in ("roster", "consent", "identity"):
        put_an_older_database_back(data, lived, service)
    assert sealed(data, gone) is not None
    assert (await _run(vekha, "doctor", "--repair", "--data", data)).code == 0
    assert record.logs(data) == logs
    checks = (await _run(vekha, "doctor", "--data", data)).json["checks"]
    (lost,) = [check for check in checks if check["check"] == "database roster"]
    assert (lost["state"], f"pupil {person} of {SCHOOL}" in lost["text"], gone in lost["text"]) == ("finding", True, False)
    async with instance(data) as client:
        assert sealed(data, gone) is None
        await load.settle(client)
        revoked = [event.facts()[1] for event in record.events(record.logs(data)["identity"][len(logs["identity"]) :])]
        assert [(fact["person"], fact["reason"]) for fact in revoked] == [(person, "digest-lost")]
        class_id = (await client.ask(roster.CLASSES, roster.ClassesQuery(school=SCHOOL))).reply.classes[0].class_id
        again = roster.EnrolPupil(
            school=SCHOOL,
            details=PersonName(last_name="Найденов", first_name="Имя"),
            class_id=class_id,
            consent_id=consent_id,
            enrolled_on=date(2014, 9, 1),
        )
        assert (await client.ask(roster.ENROL_PUPIL, again)).reply.person == person
        found = (await client.ask(roster.PERSON, roster.PersonQuery(school=SCHOOL, person=person))).reply
        assert "Найденов" in found.model_dump_json()
        issued = await client.ask(identity.ISSUE_CREDENTIALS, identity.IssueCredentials(school=SCHOOL, people=(person,)))
        assert issued.reply.credentials[0].code
        await check_running(client, data)
    assert all(check["state"] != "finding" for check in (await _run(vekha, "doctor", "--data", data)).json["checks"])
    check_stopped(data, tmp_path)


@pytest.mark.fault("a forged event behind the end of a restored log, accepted or discarded by an administrator")
@pytest.mark.parametrize("happened", [True, False])
async def test_what_no_seal_speaks_for_is_decided_event_by_event(lived: Lived, tmp_path: Path, vekha: Vekha, happened: bool) -> None:
    """The log goes on for two events that its seals on the bus do not cover, and is lost from before them on."""
    data = lived.copy(tmp_path / "data")
    before = record.logs(data)
    forged = await _append_to_stream(data, before["plan"], 2)
    found = await _run(vekha, "doctor", "--repair", "--data", data)
    assert found.code == 1
    events = [one["event"] for one in found.json["undecided"]]
    assert [(one["service"], one["position"]) for one in found.json["undecided"]] == [("plan", position) for position, _, _ in forged]
    assert record.logs(data) == before
    refused = await _run(vekha, "doctor", "--repair", "--accept", events[1], "--data", data)
    assert (refused.code, refused.error["code"]) == (1, "repair.contradicted")
    unknown = await _run(vekha, "doctor", "--repair", "--accept", "0" * 32, "--data", data)
    assert unknown.error["code"] == "repair.event-unknown"
    decision = ["--accept", events[0], "--accept", events[1]] if happened else ["--discard", events[0]]
    decided = await _run(vekha, "doctor", "--repair", *decision, "--data", data)
    assert (decided.code, decided.json["undecided"]) == (0, [])
    assert record.logs(data)["plan"] == [*before["plan"], *(forged if happened else [])]
    async with instance(data) as client:
        await check_running(client, data)
    if not happened:  # what was accepted tells the same as the event that it was made of, so something is said twice
        check_stopped(data, tmp_path)


@pytest.mark.fault("a byte flipped in the middle of a block, the index kept, and the stream made anew")
@pytest.mark.parametrize("service", ["roster", "consent"])
async def test_what_the_broker_skips_in_silence_readers_get_from_the_owner_and_a_stream_made_anew_has_it(
    lived: Lived, tmp_path: Path, vekha: Vekha, service: str
) -> None:
    data = lived.copy(tmp_path / "data")
    logs = record.logs(data)
    damaged = _flip(data, logs[service], Random(service))
    _forget_what_was_read(data)
    async with instance(data) as client:  # every reader begins anew, and meets the gap
        await load.settle(client)
        assert damaged not in {position for position, _, _ in (await record.streams(client.nc))[service]}
        assert await boards(client) == lived.boards
    found = await _run(vekha, "audit", "verify", "--data", data)
    assert [finding["kind"] for finding in found.json["findings"]] == ["stream-gap"]
    rebuilt = await _run(vekha, "doctor", "--rebuild-stream", service, "--data", data)
    assert (rebuilt.code, rebuilt.json["messages"]) == (0, len(record.logs(data)[service]))
    assert (await _run(vekha, "audit", "verify", "--data", data)).json["findings"] == []
    async with instance(data) as client:
        await check_running(client, data)
    check_stopped(data, tmp_path)


@pytest.mark.fault("a database restored from an older backup than the bus")
async def test_no_stream_is_made_anew_from_a_log_that_lacks_some_of_it(lived: Lived, tmp_path: Path, vekha: Vekha) -> None:
    data = lived.copy(tmp_path / "data")
    put_an_older_database_back(data, lived, "consent")
    streams = await record.stored_streams(data)
    refused = await _run(vekha, "doctor", "--rebuild-stream", "consent", "--data", data)
    assert (refused.code, refused.error["code"]) == (1, "repair.log-behind")
    assert await record.stored_streams(data) == streams


async def _run(vekha: Vekha, *arguments: str | Path) -> Outcome:
    return await asyncio.to_thread(vekha, *arguments, "--json")


async def _append_to_stream(data: Path, log: list[Any], count: int) -> list[Any]:
    """Events that only the bus holds, well made: the last one of the log again, under other positions, versions and ids."""
    folder = DataFolder(data)
    made: list[Any] = []
    async with EmbeddedBroker(folder.bus, folder.run, folder.secrets().broker_password_file) as broker:
        nc = await connect(broker.url, broker.credential, name="forger")
        for n in range(1, count + 1):
            position, subject, _ = log[-1]
            recorded = record.events(log)[-1]
            event = encode(replace(recorded, position=position + n, version=recorded.version + n, id=f"{n:032x}", commandid=f"forged-{n}"))
            await nc.request(subject, event, timeout=5)
            made.append((position + n, subject, event))
        assert await JetStream(nc).last_sequence("PLAN") == made[-1][0]
        await disconnect(nc)
    return made


def _flip(data: Path, log: list[Any], random: Random) -> int:
    """A byte of one message in the middle of a stream; answers its position."""
    service = log[0][1].split(".")[1]
    position, _, event = log[random.randrange(len(log) // 4, len(log) * 3 // 4)]
    for block in (data / "bus").glob(f"jetstream/*/streams/{service.upper()}/msgs/*.blk"):
        content = bytearray(block.read_bytes())
        at = content.find(event)
        if at >= 0:
            content[at + len(event) // 2] ^= 0x01
            block.write_bytes(content)
            return position
    raise AssertionError("the stream does not hold it")


def _forget_what_was_read(data: Path) -> None:
    """The tracker's checkpoint and rows are gone: they are derived anew."""
    database = Database(sqlite_url(data / "db" / "plan.db"), "plan")
    with database.writing() as connection:
        connection.execute(delete(checkpoint_table).where(checkpoint_table.c.name == BoardProjection().name))
        for table in reversed(BoardProjection().tables.sorted_tables):
            connection.execute(delete(table))
    database.close()
