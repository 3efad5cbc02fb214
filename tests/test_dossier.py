"""A person's dossier and journal: all that is held on one, told to the office and to whom it is about, and never without a trace."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import create_engine, delete, insert

from contracts import SERVICES
from contracts.consent import STATUS, StatusQuery
from contracts.roster import DOSSIER, JOURNAL, PEOPLE, PERSON, JournalQuery, PeopleQuery, PersonQuery
from tests import private_tables
from tests.conftest import Lived, instance
from tests.school import SCHOOL
from vekha.builds import BUILDS
from vekha.client import Client
from vekha.failures import Failure

TOLD_OTHERWISE = {"roster.journal": "the dossier tells the readings by themselves"}


async def _people(client: Client, kind: str) -> list[str]:
    request = PeopleQuery.model_validate({"school": SCHOOL, "kind": kind})
    return list((await client.ask(PEOPLE, request)).reply.people)


async def _families(client: Client) -> dict[str, str]:
    """Each pupil's guardian, as the dossiers say it."""
    found: dict[str, str] = {}
    for pupil in await _people(client, "pupil"):
        dossier = (await client.ask(DOSSIER, PersonQuery(school=SCHOOL, person=pupil))).reply
        for record in dossier.records:
            if record.what == "guardianship" and record.fields["linked"]:
                found[pupil] = str(record.fields["guardian"])
    return found


async def test_a_dossier_gathers_what_every_service_holds_and_nothing_secret(lived: Lived, tmp_path: Path) -> None:
    async with instance(lived.copy(tmp_path / "data")) as client:
        teacher = (await _people(client, "staff"))[0]
        pupil = next(iter(await _families(client)))
        told = (await client.ask(DOSSIER, PersonQuery(school=SCHOOL, person=pupil), as_=f"administrator:{SCHOOL}")).reply
        assert told.unheard == ()
        assert (told.kind, told.details and told.details.last_name) == ("pupil", "Учеников")
        assert {(record.service, record.what) for record in told.records} >= {
            ("roster", "place"),
            ("roster", "guardianship"),
            ("consent", "decision"),
            ("identity", "account"),
            ("identity", "credential"),
            ("plan", "facts"),
        }
        decisions = (await client.ask(STATUS, StatusQuery(school=SCHOOL, subject=pupil))).reply.consents
        assert {card.consent_id for card in decisions} == {
            record.fields["consent_id"] for record in told.records if record.what == "decision"
        }
        assert "digest" not in told.model_dump_json()
        of_staff = (await client.ask(DOSSIER, PersonQuery(school=SCHOOL, person=teacher))).reply
        assert of_staff.kind == "staff"


async def test_each_reading_is_journalled_with_its_call_and_the_journal_is_for_the_office_and_the_person(
    lived: Lived, tmp_path: Path
) -> None:
    async with instance(lived.copy(tmp_path / "data")) as client:
        pupil, guardian = next(iter((await _families(client)).items()))
        stranger = next(one for one in await _people(client, "guardian") if one != guardian)
        await client.ask(PERSON, PersonQuery(school=SCHOOL, person=pupil), as_=f"director:{SCHOOL}")
        await client.ask(DOSSIER, PersonQuery(school=SCHOOL, person=pupil), as_=f"guardian:{guardian}")
        seen: list[tuple[str, str | None, str]] = []
        for reader in (f"director:{SCHOOL}", f"administrator:{SCHOOL}", f"guardian:{guardian}", f"pupil:{pupil}"):
            asked = await client.ask(JOURNAL, JournalQuery(school=SCHOOL, person=pupil), as_=reader)
            seen = [(one.reader, one.principal, one.call) for one in asked.reply.readings]
            assert seen[:2] == [
                (f"guardian:{guardian}", "operator", "roster.dossier"),
                (f"director:{SCHOOL}", "operator", "roster.person"),
            ]
        first = (await client.ask(JOURNAL, JournalQuery(school=SCHOOL, person=pupil, limit=1))).reply.readings
        rest = (await client.ask(JOURNAL, JournalQuery(school=SCHOOL, person=pupil, before=first[0].number))).reply.readings
        assert [(one.reader, one.principal, one.call) for one in (*first, *rest)] == seen
        with pytest.raises(Failure, match=r"^access\.other-person"):
            await client.ask(JOURNAL, JournalQuery(school=SCHOOL, person=pupil), as_=f"guardian:{stranger}")
        with pytest.raises(Failure, match=r"^access\.other-person"):
            await client.ask(DOSSIER, PersonQuery(school=SCHOOL, person=pupil), as_=f"guardian:{stranger}")
        with pytest.raises(Failure, match=r"^person\.unknown"):
            await client.ask(DOSSIER, PersonQuery(school=SCHOOL, person="nobody"))


@pytest.mark.parametrize("name", SERVICES)
async def test_every_private_table_that_names_people_is_told_in_a_dossier_or_it_is_said_why(tmp_path: Path, name: str) -> None:
    settings = private_tables.settings(tmp_path, name)
    service = BUILDS[name](settings)
    await service.prepare()
    engine = create_engine(settings.database_url)
    tables = private_tables.private(engine, name)
    untold: set[str] = set()
    with engine.begin() as connection:
        for table in tables:
            connection.execute(insert(table).values(private_tables.filled(table, "p-one")))
        told = service.held(connection, private_tables.SCHOOL, "p-one")
        assert service.held(connection, private_tables.SCHOOL, "p-other") == ()
        assert service.held(connection, "another-school", "p-one") == ()
        for table in private_tables.naming_people(engine, name):
            untouched = connection.begin_nested()
            connection.execute(delete(table))
            if service.held(connection, private_tables.SCHOOL, "p-one") == told:
                untold.add(f"{name}.{table.name}")
            untouched.rollback()
    engine.dispose()
    await service.stop()
    assert untold == {table for table in TOLD_OTHERWISE if table.startswith(f"{name}.")}
