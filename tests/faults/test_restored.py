"""Folders that are lost, or put back from an older copy while the instance is stopped (DESIGN 2.3)."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from contracts import SERVICES, consent, identity, operations, plan, roster
from contracts.call import Call, Request
from contracts.roster import PersonName, Position
from tests import record
from tests.conftest import Lived, boards, instance
from tests.load import check_running, check_stopped
from tests.school import SCHOOL, digest
from vekha.client import Client
from vekha.failures import Exit, Failure
from vekha.story import samples
from vekha.testing import Outcome, Vekha, running


def lose_the_bus(data: Path, lived: Lived) -> None:
    shutil.rmtree(data / "bus")


def put_an_older_bus_back(data: Path, lived: Lived) -> None:
    lose_the_bus(data, lived)
    shutil.copytree(lived.first_day / "bus", data / "bus")


@pytest.mark.parametrize("damage", [lose_the_bus, put_an_older_bus_back])
async def test_a_bus_that_was_lost_or_is_older_is_refilled_with_the_same_bytes_at_the_same_sequences(
    lived: Lived, tmp_path: Path, damage: Callable[[Path, Lived], None]
) -> None:
    data = lived.copy(tmp_path / "data")
    before = await record.stored_streams(data)
    damage(data, lived)
    async with instance(data) as client:
        await check_running(client, data)
        assert await record.streams(client.nc) == before
        assert await boards(client) == lived.boards
    assert await record.stored_streams(data) == before
    assert record.logs(data) == record.logs(lived.data)
    check_stopped(data, tmp_path)


@pytest.mark.fault("the broker's data lost, or replaced by an older copy, while stopped")
@pytest.mark.faults
@pytest.mark.parametrize("damage", [lose_the_bus, put_an_older_bus_back])
def test_the_record_verifies_while_a_lost_bus_is_still_missing_and_when_it_is_refilled(
    lived: Lived, tmp_path: Path, vekha: Vekha, damage: Callable[[Path, Lived], None]
) -> None:
    data = lived.copy(tmp_path / "data")
    damage(data, lived)
    behind = _verify(vekha, data)
    assert behind.code == 0
    assert {finding["kind"] for finding in behind.json["findings"]} == {"lag"}
    with running(data):
        refilled = _verify(vekha, data)
        assert (refilled.code, refilled.json["heads"]) == (0, behind.json["heads"])
        assert vekha("doctor", "--data", data, "--json").code == 0
    assert _verify(vekha, data).json["findings"] == []


async def test_services_whose_databases_are_older_answer_reads_and_refuse_to_record(lived: Lived, tmp_path: Path) -> None:
    data = lived.copy(tmp_path / "data")
    for service in SERVICES:
        put_an_older_database_back(data, lived, service)
    older, streams = record.logs(data), await record.stored_streams(lived.data)
    for _ in range(2):  # it is said at every start anew
        async with instance(data) as client:
            for service in SERVICES:
                health = (await client.ask(operations.HEALTH[service], operations.Nothing())).reply
                assert health.quarantined is not None
                assert f"ends at {len(streams[service])}" in health.quarantined
                assert health.position == len(older[service])
            for call, request in APPENDS.values():
                await _is_refused(client, call, request)
            assert len((await client.ask(roster.PEOPLE, roster.PeopleQuery(school=SCHOOL, kind="pupil"))).reply.people) == 6
            await _is_refused(client, consent.STATUS, consent.StatusQuery(school=SCHOOL, subject="p-1"), "person.unknown")
            # Timers, announcements and mail stop as well: a week passes, and nobody records anything.
            await client.ask(operations.ADVANCE_CLOCK, operations.AdvanceClock(days=7))
            assert await record.streams(client.nc) == streams
        assert record.logs(data) == older


@pytest.mark.fault("a database restored from an older backup than the bus")
@pytest.mark.faults
@pytest.mark.parametrize("service", SERVICES)
def test_a_service_whose_database_is_older_is_quarantined_alone_until_the_newer_one_is_back(
    lived: Lived, tmp_path: Path, vekha: Vekha, service: str
) -> None:
    data = lived.copy(tmp_path / "data")
    put_an_older_database_back(data, lived, service)
    head = len(record.logs(data)[service])
    found = _verify(vekha, data)
    assert found.code == 4
    assert {finding["service"] for finding in found.json["findings"]} == {service}
    kinds = {finding["kind"] for finding in found.json["findings"]}
    assert {"stream-ahead", "seal-ahead"} <= kinds <= {"stream-ahead", "seal-ahead", "key-missing"}  # a key may have followed since
    assert {"service": service, "position": head + 1, "kind": "stream-ahead"} in found.json["findings"]
    with running(data) as up:
        for other, (call, request) in APPENDS.items():
            outcome = vekha("call", call.name, request.model_dump_json(exclude_unset=True), "--data", data, "--json")
            if other == service:
                assert (outcome.code, outcome.error["code"]) == (1, "service.quarantined")
                assert "doctor" in outcome.error["hint"]
            else:
                assert outcome.code == 0 or outcome.error["code"] == "consent.unknown"
        doctor = vekha("doctor", "--data", data, "--json")
        assert doctor.code == 1
        wrong = [check for check in doctor.json["checks"] if check["state"] == "finding"]
        assert [check["check"] for check in wrong] == [f"service {service}"]
        assert "quarantine" in wrong[0]["text"]
        assert wrong[0]["hint"]
        assert vekha("call", "plan.status", f'{{"school": "{SCHOOL}"}}', "--data", data).code == 0
        assert up.end() == 0
    assert len(record.logs(data)[service]) == head
    assert _verify(vekha, data).code == 4
    for file in (data / "db").glob(f"{service}.db*"):
        file.unlink()
    shutil.copy(lived.data / "db" / f"{service}.db", data / "db")
    with running(data):
        assert vekha("doctor", "--data", data, "--json").code == 0
    assert _verify(vekha, data).json["findings"] == []


@pytest.mark.fault("a database restored from an older backup, and the bus lost")
@pytest.mark.faults
@pytest.mark.parametrize("service", ["roster", "consent"])
def test_when_a_database_is_older_and_the_bus_is_lost_as_well_the_readers_keep_it_from_being_appended_to(
    lived: Lived, tmp_path: Path, vekha: Vekha, service: str
) -> None:
    data = lived.copy(tmp_path / "data")
    put_an_older_database_back(data, lived, service)
    lose_the_bus(data, lived)
    older, known = record.logs(data)[service], len(record.logs(lived.data)[service])
    found = [finding for finding in _verify(vekha, data).json["findings"] if finding["kind"] != "lag"]
    assert {"service": service, "position": len(older) + 1, "kind": "reader-ahead"} in found
    assert {finding["kind"] for finding in found} <= {"reader-ahead", "key-missing"}  # a key may have followed since
    for _ in range(2):  # it is said at every start anew
        with running(data):
            call, request = APPENDS[service]
            refused = vekha("call", call.name, request.model_dump_json(exclude_unset=True), "--data", data, "--json")
            assert (refused.code, refused.error["code"]) == (1, "service.quarantined")
            assert f"has read {service} up to {known}, and the log of {service} ends at {len(older)}" in refused.error["text"]
            doctor = vekha("doctor", "--data", data, "--json")
            wrong = [check["check"] for check in doctor.json["checks"] if check["state"] == "finding"]
            assert (doctor.code, wrong) == (1, [f"service {service}"])
            board = vekha("plan", "status", "--school", SCHOOL, "--data", data, "--json")
            assert (board.json["incomplete"], board.json["parked"]) == (True, {service: [known + 1]})
            if service == "roster":
                for preview in ([], ["--dry-run"]):
                    file = samples() / "school-staff.xlsx"
                    refused = vekha("import", file, "--school", SCHOOL, *preview, "--data", data, "--json")
                    assert (refused.code, refused.error["code"]) == (1, "service.quarantined")
    assert record.logs(data)[service] == older
    shutil.copy(lived.data / "db" / f"{service}.db", data / "db")
    with running(data):
        assert vekha("doctor", "--data", data, "--json").code == 0
        board = vekha("plan", "status", "--school", SCHOOL, "--as-of", "2015-09-09", "--data", data, "--json")
        assert board.json["incomplete"] is False
    assert _verify(vekha, data).json["findings"] == []


def put_an_older_database_back(data: Path, lived: Lived, service: str) -> None:
    for file in (data / "db").glob(f"{service}.db*"):
        file.unlink()
    for file in (lived.first_day / "db").glob(f"{service}.db*"):
        shutil.copy(file, data / "db")


async def _is_refused(client: Client, call: Call[Any, Any], request: Request, code: str = "service.quarantined") -> None:
    with pytest.raises(Failure) as refused:
        await client.ask(call, request)
    assert (refused.value.code, refused.value.exit_code) == (code, Exit.FAILED)


def _verify(vekha: Vekha, data: Path) -> Outcome:
    return vekha("audit", "verify", "--data", data, "--json")


APPENDS: dict[str, tuple[Call[Any, Any], Request]] = {
    "roster": (
        roster.HIRE_STAFF,
        roster.HireStaff(
            school=SCHOOL,
            details=PersonName(last_name="Новых", first_name="Имя"),
            position=Position.OTHER,
            hired_on=date(2015, 9, 1),
        ),
    ),
    "consent": (consent.WITHDRAW, consent.Withdraw(school=SCHOOL, consent_id="c-1")),
    "identity": (identity.ISSUE_CREDENTIALS, identity.IssueCredentials(school=SCHOOL, people=("p-1",))),
    "plan": (plan.REGISTER_ORDER, plan.RegisterOrder(school=SCHOOL, evidence_sha256=digest("order 3"))),
}
"""A command for each service that takes any; notifier takes none."""
