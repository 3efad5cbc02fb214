"""Who leaves is truly forgotten while the record still verifies (DESIGN 2.7): seen from the outside, over all five services."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import shutil
import sqlite3
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from pypdf import PdfReader
from sqlalchemy import create_engine, insert, select

from contracts import SERVICES, consent, erasure, identity, operations, plan, roster
from contracts.call import Call
from contracts.consent import Decision, SubjectKind
from contracts.erasure import DataCategory, ErasureGround, ErasureState, HeldOn
from contracts.roster import LegalBasis, PersonName, Relation
from eventkit.erasure import Erase, erased
from eventkit.event import Origin, decode
from eventkit.store import Transaction
from tests import private_tables, record
from tests.conftest import Lived, boards, instance
from tests.load import check_stopped
from tests.school import SCHOOL
from vekha.builds import BUILDS
from vekha.client import Client
from vekha.failures import Failure
from vekha.testing import Vekha

DIRECTOR = f"director:{SCHOOL}"
ADMINISTRATOR = f"administrator:{SCHOOL}"
CANARY = PersonName(
    last_name="Незабудкина",
    first_name="Аполлинария",
    birth_date=date(2003, 4, 29),
    email="nezabudkina@post.example",
    phone="+79167771122",
    snils="11223344595",
)
EXTERNAL_ID = "CANARY-77123"


async def ask(client: Client, call: Call[Any, Any], request: Any, as_: str | None = None) -> Any:
    return (await client.ask(call, request, as_=as_, up_to_date=True)).reply


async def enter(client: Client) -> tuple[str, str]:
    """Enters the canary on a consent of her own; answers her id and the consent's."""
    classes = (await ask(client, roster.CLASSES, roster.ClassesQuery(school=SCHOOL))).classes
    seat = roster.Seat(class_id=classes[0].class_id, number=40, holder=roster.SeatHolder.PUPIL)
    decision = Decision(granted=True, seat=seat, subject_kind=SubjectKind.PUPIL, number="Z-77123")
    decided = await ask(client, consent.RECORD_DECISION, consent.RecordDecision(school=SCHOOL, decision=decision))
    enrolling = roster.EnrolPupil(
        school=SCHOOL,
        details=CANARY,
        class_id=classes[0].class_id,
        consent_id=decided.consent_id,
        enrolled_on=date(2014, 9, 1),
        external_id=EXTERNAL_ID,
    )
    person = (await ask(client, roster.ENROL_PUPIL, enrolling)).person
    absence = roster.RecordNoGuardian(school=SCHOOL, pupil=person, reason=roster.NoGuardianReason.REFUSED)
    await ask(client, roster.RECORD_NO_GUARDIAN, absence)
    issued = await ask(client, identity.ISSUE_CREDENTIALS, identity.IssueCredentials(school=SCHOOL, people=(person,)))
    assert issued.credentials[0].code
    await ask(client, identity.HAND_OVER, identity.HandOver(school=SCHOOL, people=(person,)))
    return person, decided.consent_id


async def state(client: Client, person: str) -> ErasureState:
    return await ask(client, erasure.ERASURE, erasure.ErasureQuery(school=SCHOOL, person=person))


async def reached(client: Client, person: str, wanted: str) -> ErasureState:
    """Waits for what the services do by themselves."""
    async with asyncio.timeout(30):
        while True:
            found = await state(client, person)
            if found.state == wanted:
                return found
            await asyncio.sleep(0.05)


async def order(client: Client, person: str) -> str:
    request = erasure.OrderErasure(school=SCHOOL, person=person, ground=ErasureGround.COURT_ORDER, reference="2-77/2015")
    return (await ask(client, erasure.ORDER_ERASURE, request, DIRECTOR)).erasure


async def advance(client: Client, days: int) -> None:
    await client.ask(operations.ADVANCE_CLOCK, operations.AdvanceClock(days=days), timeout_s=60.0)


async def refusal(client: Client, call: Call[Any, Any], request: Any, as_: str | None = None) -> str:
    with pytest.raises(Failure) as refused:
        await ask(client, call, request, as_)
    return refused.value.code


def wrapped_key(data: Path, person: str) -> bytes | None:
    """The person's key as it lies on the disk."""
    with closing(sqlite3.connect(f"file:{data / 'keys' / 'roster.db'}?mode=ro", uri=True)) as database:
        found = database.execute("SELECT key FROM person_key WHERE person = ?", (person,)).fetchone()
    return None if found is None else found[0]


def sealed(data: Path, person: str) -> bytes | None:
    with closing(sqlite3.connect(f"file:{data / 'db' / 'roster.db'}?mode=ro", uri=True)) as database:
        found = database.execute("SELECT sealed FROM vault WHERE person = ?", (person,)).fetchone()
    return None if found is None else found[0]


def files_with(data: Path, *secrets: bytes | str) -> list[tuple[str, bytes]]:
    """Which files of a data folder hold any of these, as they lie on the disk."""
    wanted = [secret.encode() if isinstance(secret, str) else secret for secret in secrets]
    files = [path for path in data.rglob("*") if path.is_file()]
    return [(str(path.relative_to(data)), one) for path in files for one in wanted if one in path.read_bytes()]


def traces() -> tuple[str, ...]:
    return (CANARY.last_name, CANARY.first_name, "2003-04-29", "29.04.2003", CANARY.email, CANARY.phone, CANARY.snils, EXTERNAL_ID)


async def test_thirty_days_after_a_withdrawal_nothing_is_left_of_the_person_and_the_record_verifies(
    lived: Lived, tmp_path: Path, vekha: Vekha
) -> None:
    data = lived.copy(tmp_path / "data")
    async with instance(data) as client:
        person, consent_id = await enter(client)
        key, box = wrapped_key(data, person), sealed(data, person)
        assert key is not None
        assert box is not None
        assert files_with(data, key, box) != []
        await ask(client, consent.WITHDRAW, consent.Withdraw(school=SCHOOL, consent_id=consent_id))
        scheduled = await reached(client, person, "scheduled")
        assert (scheduled.ground, scheduled.due_on, scheduled.held_on) == (ErasureGround.WITHDRAWN, date(2015, 10, 9), None)
        await advance(client, 29)
        assert (await state(client, person)).state == "scheduled"
        assert sealed(data, person) == box
        await advance(client, 1)
        completed = await reached(client, person, "completed")
        assert completed.ordered_on == completed.completed_on == date(2015, 10, 9)
        destroyed = {answer.service: answer.destroyed for answer in completed.answers}
        assert destroyed["roster"] == (DataCategory.DETAILS, DataCategory.KEY, DataCategory.MATCHING_DIGESTS)
        assert destroyed["identity"] == (DataCategory.CREDENTIALS,)
        assert set(destroyed) == {"roster", "consent", "identity", "plan", "notifier"}
        asked = roster.PersonQuery(school=SCHOOL, person=person)
        assert await refusal(client, roster.PERSON, asked) == "person.erased"
        assert await refusal(client, identity.ACCOUNT, identity.AccountQuery(school=SCHOOL, person=person)) == "person.erased"
        people = (await ask(client, roster.PEOPLE, roster.PeopleQuery(school=SCHOOL, kind="pupil"))).people
        assert person not in people
        assert (await ask(client, roster.PERSONS, roster.PersonsQuery(school=SCHOOL, people=(person,)))).persons == ()
        assert files_with(data, key, box, *traces()) == []
    assert files_with(data, key, box, *traces()) == []
    verified = await asyncio.to_thread(vekha, "audit", "verify", "--data", data, "--json")
    assert (verified.code, verified.json["findings"]) == (0, [])
    check_stopped(data, tmp_path)  # every projection equals its rebuild


async def test_nobody_waits_for_an_erased_person_and_past_days_count_as_they_did(lived: Lived, tmp_path: Path) -> None:
    data = lived.copy(tmp_path / "data")
    async with instance(data) as client:
        before = await boards(client)
        person, _ = await enter(client)
        asked = plan.ExplainRequest(school=SCHOOL, step=19)
        await advance(client, 1)
        assert person in (await ask(client, plan.EXPLAIN, asked)).missing
        waiting = await boards(client)
        await order(client, person)
        await reached(client, person, "completed")
        assert person not in (await ask(client, plan.EXPLAIN, asked)).missing
        after = await boards(client)
        for day, board in waiting.items():
            assert steps(after[day]) == steps(board), day
        assert steps(before[date(2015, 8, 17)]) == steps(after[date(2015, 8, 17)])
    check_stopped(data, tmp_path)


def steps(board: str) -> object:
    """A board's rows, without the positions that it was read at."""
    return json.loads(board)["steps"]


async def test_nobody_acts_on_an_erased_person_and_the_old_paper_brings_nobody_back(lived: Lived, tmp_path: Path) -> None:
    data = lived.copy(tmp_path / "data")
    async with instance(data) as client:
        person, consent_id = await enter(client)
        erased_in = await order(client, person)
        assert await order(client, person) == erased_in  # saying it twice orders nothing twice
        await reached(client, person, "completed")
        class_id = (await ask(client, roster.CLASSES, roster.ClassesQuery(school=SCHOOL))).classes[0].class_id
        again = Decision(granted=True, person=person, subject_kind=SubjectKind.PUPIL)
        decision = consent.RecordDecision(school=SCHOOL, decision=again)
        assert await refusal(client, consent.RECORD_DECISION, decision) == "person.erased"
        enrolling = roster.EnrolPupil(
            school=SCHOOL, details=CANARY, class_id=class_id, consent_id=consent_id, enrolled_on=date(2015, 9, 1), external_id=EXTERNAL_ID
        )
        assert await refusal(client, roster.ENROL_PUPIL, enrolling) == "person.erased"
        linking = roster.LinkGuardian(school=SCHOOL, pupil=person, details=CANARY, relation=Relation.MOTHER)
        assert await refusal(client, roster.LINK_GUARDIAN, linking) == "person.erased"
        assigning = roster.AssignPupil(school=SCHOOL, pupil=person, class_id=class_id)
        assert await refusal(client, roster.ASSIGN_PUPIL, assigning) == "person.erased"
        issued = await ask(client, identity.ISSUE_CREDENTIALS, identity.IssueCredentials(school=SCHOOL, people=(person,), reissue=True))
        assert issued.credentials[0].refused == "person.erased"
        handed = await ask(client, identity.HAND_OVER, identity.HandOver(school=SCHOOL, people=(person,)))
        assert handed.refused == {person: "person.erased"}
        newly = roster.EnrolPupil(
            school=SCHOOL,
            details=CANARY,
            class_id=class_id,
            legal_basis=LegalBasis(code="law", reference="273-FZ"),
            enrolled_on=date(2015, 9, 1),
            external_id=EXTERNAL_ID,
        )
        assert (await ask(client, roster.ENROL_PUPIL, newly)).person != person  # who comes back is somebody new


async def test_past_an_erasure_dossier_status_and_receipt_tell_what_is_left_and_nobodys_name(lived: Lived, tmp_path: Path) -> None:
    data = lived.copy(tmp_path / "data")
    async with instance(data) as client:
        person, consent_id = await enter(client)
        asked = roster.PersonQuery(school=SCHOOL, person=person)
        before = await ask(client, roster.DOSSIER, asked, ADMINISTRATOR)
        assert before.details.last_name == CANARY.last_name
        assert {"account", "credential"} <= {record.what for record in before.records if record.service == "identity"}
        erased_in = await order(client, person)
        await reached(client, person, "completed")

        dossier = await ask(client, roster.DOSSIER, asked, ADMINISTRATOR)
        assert (dossier.details, dossier.unheard) == (None, ())
        destroyed = {record.service: record.fields for record in dossier.records if record.what == "destruction"}
        assert destroyed == {service: {"erasure": erased_in, "on": "2015-09-09"} for service in SERVICES}
        left = {(record.service, record.what) for record in dossier.records} - {(service, "destruction") for service in SERVICES}
        assert left == {
            ("roster", "place"),  # that the id was a pupil's, and on which number of which list
            ("roster", "seat"),
            ("consent", "decision"),  # what was decided, as the log says
            ("consent", "consent"),
            ("consent", "seat"),
            ("plan", "facts"),
        }
        assert [reading.call for reading in dossier.readings] == ["roster.dossier", "roster.dossier"]

        [card] = (await ask(client, consent.STATUS, consent.StatusQuery(school=SCHOOL, subject=person))).consents
        assert (card.consent_id, card.state) == (consent_id, "granted")
        receipt = consent.ReceiptQuery(school=SCHOOL, subject=person, pdf=True)
        told = await ask(client, consent.RECEIPT, receipt, ADMINISTRATOR)
        assert told.receipt.header.pii_principal_id == person
        text = "".join(page.extract_text() for page in PdfReader(io.BytesIO(base64.b64decode(told.pdf))).pages)
        assert person in text
        for answer in (text, dossier.model_dump_json(), card.model_dump_json(), told.receipt.model_dump_json()):
            assert not [trace for trace in traces() if trace in answer]


async def test_a_new_consent_or_coming_back_cancels_what_was_scheduled(lived: Lived, tmp_path: Path) -> None:
    data = lived.copy(tmp_path / "data")
    async with instance(data) as client:
        person, consent_id = await enter(client)
        await ask(client, consent.WITHDRAW, consent.Withdraw(school=SCHOOL, consent_id=consent_id))
        await reached(client, person, "scheduled")
        again = Decision(granted=True, person=person, subject_kind=SubjectKind.PUPIL)
        newer = await ask(client, consent.RECORD_DECISION, consent.RecordDecision(school=SCHOOL, decision=again))
        assert (await state(client, person)).held_on is HeldOn.CONSENT
        await advance(client, 31)
        assert (await state(client, person)).state == "cancelled"
        await ask(client, roster.PUPIL_LEFT, roster.PupilAct(school=SCHOOL, pupil=person))
        left = await reached(client, person, "scheduled")
        assert (left.ground, left.due_on) == (ErasureGround.LEFT, date(2015, 11, 9))
        class_id = (await ask(client, roster.CLASSES, roster.ClassesQuery(school=SCHOOL))).classes[0].class_id
        back = roster.EnrolPupil(
            school=SCHOOL, details=CANARY, class_id=class_id, consent_id=newer.consent_id, enrolled_on=date(2015, 9, 1)
        )
        assert (await ask(client, roster.ENROL_PUPIL, back)).person == person
        await advance(client, 31)
        assert (await state(client, person)).state == "cancelled"
        card = await ask(client, roster.PERSON, roster.PersonQuery(school=SCHOOL, person=person))
        assert card.details.last_name == CANARY.last_name


async def test_who_has_left_and_guardians_of_nobody_any_more_are_forgotten_when_their_term_is_over(lived: Lived, tmp_path: Path) -> None:
    """In the weeks a pupil left on 1 September, a guardian was unlinked on that day, and a teacher was dismissed on the 2nd."""
    data = lived.copy(tmp_path / "data")
    async with instance(data) as client:
        events = list(record.events(record.logs(lived.data)["roster"]))
        gone = {
            str(event.facts()[1].get("guardian") or event.facts()[1].get("person"))
            for event in events
            if event.type in ("roster.pupil-left.v1", "roster.guardian-unlinked.v1", "roster.staff-dismissed.v1")
        }
        assert len(gone) == 3
        pupil = next(event.facts()[1]["person"] for event in events if event.type == "roster.pupil-left.v1")
        assert (await state(client, pupil)).ground is ErasureGround.COURT_ORDER  # at the end of the weeks it was ordered
        gone.remove(pupil)
        for person in gone:
            assert (await reached(client, person, "scheduled")).ground is ErasureGround.LEFT
        links = [event.facts()[1] for event in events if event.type == "roster.guardian-linked.v1"]
        guardians = {link["guardian"] for link in links if link["pupil"] == pupil}
        for guardian in guardians:
            assert (await state(client, guardian)).state == "scheduled"
        await advance(client, 30)
        for person in gone | guardians:
            assert (await reached(client, person, "completed")).ground is ErasureGround.LEFT


async def test_a_guardian_is_forgotten_after_the_last_child_who_was_erased(lived: Lived, tmp_path: Path) -> None:
    data = lived.copy(tmp_path / "data")
    async with instance(data) as client:
        child, _ = await enter(client)
        class_id = (await ask(client, roster.CLASSES, roster.ClassesQuery(school=SCHOOL))).classes[0].class_id
        law = LegalBasis(code="law", reference="273-FZ")
        brother = PersonName(last_name="Незабудкин", first_name="Лев", birth_date=date(2004, 5, 2))
        enrolling = roster.EnrolPupil(school=SCHOOL, details=brother, class_id=class_id, legal_basis=law, enrolled_on=date(2014, 9, 1))
        other = (await ask(client, roster.ENROL_PUPIL, enrolling)).person
        mother = PersonName(last_name="Незабудкина", first_name="Вера")
        linking = roster.LinkGuardian(school=SCHOOL, pupil=child, details=mother, relation=Relation.MOTHER, legal_basis=law)
        guardian = (await ask(client, roster.LINK_GUARDIAN, linking)).person
        of_both = roster.LinkGuardian(school=SCHOOL, pupil=other, guardian=guardian, relation=Relation.MOTHER, legal_basis=law)
        await ask(client, roster.LINK_GUARDIAN, of_both)
        await order(client, child)
        await reached(client, child, "completed")
        found = await state(client, guardian)
        assert (found.state, found.held_on) == ("none", HeldOn.LEGAL_BASIS)  # her son is here
        await advance(client, 1)
        await order(client, other)
        await reached(client, other, "completed")
        scheduled = await reached(client, guardian, "scheduled")
        assert (scheduled.ground, scheduled.due_on, scheduled.held_on) == (ErasureGround.LEFT, date(2015, 10, 10), None)
        await advance(client, 30)
        assert (await reached(client, guardian, "completed")).ground is ErasureGround.LEFT
    check_stopped(data, tmp_path)  # every projection equals its rebuild


async def test_the_act_of_destruction_says_what_the_order_asks_for_and_its_entries_stand_in_the_logs(lived: Lived, tmp_path: Path) -> None:
    data = lived.copy(tmp_path / "data")
    async with instance(data) as client:
        person, _ = await enter(client)
        asked = erasure.ErasureQuery(school=SCHOOL, person=person)
        assert await refusal(client, erasure.ACT_OF_DESTRUCTION, asked) == "erasure.not-completed"
        erased_in = await order(client, person)
        await reached(client, person, "completed")
        act = await ask(client, erasure.ACT_OF_DESTRUCTION, asked, ADMINISTRATOR)
        again = await ask(client, erasure.ACT_OF_DESTRUCTION, asked, ADMINISTRATOR)
        assert again.entries == act.entries
        for entry in act.entries:
            known = operations.Recognize(reader="auditor", position=entry.position, sha256=entry.sha256)
            assert (await ask(client, operations.RECOGNIZE[entry.service], known)).known
            recorded = decode(base64.b64decode(entry.bytes))
            assert (recorded.position, recorded.id, recorded.type) == (entry.position, entry.event, entry.type)
    assert {entry.service for entry in act.entries} == {"roster", "consent", "identity", "plan", "notifier"}
    assert [line.person for line in act.extract] == [person] * 5
    document: Any = PdfReader(io.BytesIO(base64.b64decode(act.pdf)))
    text = " ".join(" ".join(page.extract_text().split()) for page in document.pages)
    of_whom = ("Школа № 7", person, erased_in, "09.09.2015", "director:school-7")
    for said in (*of_whom, "решение суда, документ 2-77/2015", "Реестр людей школы", "СНИЛС"):
        assert said in text, said
    assert document.trailer["/Root"]["/MarkInfo"]["/Marked"]
    assert CANARY.last_name not in text


async def test_an_older_vault_with_its_keys_put_back_brings_nobody_back(lived: Lived, tmp_path: Path) -> None:
    data = lived.copy(tmp_path / "data")
    async with instance(data) as client:
        person, _ = await enter(client)
    key, box = wrapped_key(data, person), sealed(data, person)
    assert key is not None
    assert box is not None
    backup = Path(shutil.copytree(data / "db", tmp_path / "backup"))
    async with instance(data) as client:
        await order(client, person)
        await reached(client, person, "completed")
    before = record.logs(data)
    with closing(sqlite3.connect(data / "db" / "roster.db")) as database, database:
        database.execute("ATTACH ? AS backup", (str(backup / "roster.db"),))
        for table in ("vault", "external_id", "likeness", "person"):
            database.execute(f"INSERT OR REPLACE INTO main.{table} SELECT * FROM backup.{table} WHERE person = ?", (person,))
    with closing(sqlite3.connect(data / "db" / "identity.db")) as database, database:
        database.execute("ATTACH ? AS backup", (str(backup / "identity.db"),))
        database.execute("INSERT INTO main.credential SELECT * FROM backup.credential WHERE person = ?", (person,))
    with closing(sqlite3.connect(data / "keys" / "roster.db")) as database, database:
        database.execute("INSERT INTO person_key (person, key) VALUES (?, ?)", (person, key))
    assert sealed(data, person) == box
    async with instance(data) as client:
        assert await refusal(client, roster.PERSON, roster.PersonQuery(school=SCHOOL, person=person)) == "person.erased"
        assert files_with(data, key, box) == []
    assert record.logs(data) == before


async def test_a_vault_without_its_keys_tells_nobody_of_who_was_erased_since(lived: Lived, tmp_path: Path) -> None:
    """A whole database put back from a backup, which holds no keys: its log is older, too, and knows of no erasure."""
    data = lived.copy(tmp_path / "data")
    async with instance(data) as client:
        person, _ = await enter(client)
    backup = Path(shutil.copytree(data / "db", tmp_path / "backup"))
    async with instance(data) as client:
        await order(client, person)
        await reached(client, person, "completed")
    shutil.copy(backup / "roster.db", data / "db" / "roster.db")
    assert sealed(data, person) is not None
    async with instance(data) as client:
        assert (await client.ask(operations.HEALTH["roster"], operations.Nothing())).reply.quarantined is not None
        assert await refusal(client, roster.PERSON, roster.PersonQuery(school=SCHOOL, person=person)) == "person.erased"
        assert (await client.ask(roster.PERSONS, roster.PersonsQuery(school=SCHOOL, people=(person,)))).reply.persons == ()


# ---- every table that names people ------------------------------------------------------------------------------------------

EVENTS = {
    "roster": erasure.RosterDataErased,
    "consent": erasure.ConsentDataErased,
    "identity": erasure.IdentityDataErased,
    "plan": erasure.PlanDataErased,
    "notifier": erasure.NotifierDataErased,
}
KEPT = {
    "roster.person": "which ids the school knows, and that they are erased",
    "roster.seat": "a number on a list is one pupil's for ever",
    "roster.guardianship": "which ids were linked, as the log says; none is any more",
    "roster.journal": "who read whose details, and when: the answer to whoever asks about that later",
    "consent.consent": "whose consent is whose, as the log says",
    "consent.seat": "a seat is its subject's for ever",
}


@pytest.mark.parametrize("name", SERVICES)
async def test_of_every_private_table_that_names_people_nothing_is_left_or_it_is_said_why(tmp_path: Path, name: str) -> None:
    settings = private_tables.settings(tmp_path, name)
    service = BUILDS[name](settings)
    await service.prepare()
    service.store.start()

    def work(tx: Transaction) -> None:
        tx.decide(erased(EVENTS[name]), "p-gone", Erase("p-gone", "e-1", ()), school=SCHOOL, happened_on=date(2015, 8, 17))

    await service.store.carry_out(work, Origin("operator", "told", "told"))
    await service.stop()
    engine = create_engine(settings.database_url)
    named = private_tables.naming_people(engine, name)
    with engine.begin() as connection:
        for table in named:
            connection.execute(insert(table).values(private_tables.filled(table, "p-gone")))
    engine.dispose()
    started = BUILDS[name](settings)
    await started.prepare()
    await started.stop()
    with engine.begin() as connection:
        left = {f"{name}.{table.name}" for table in named for row in connection.execute(select(table)) if "p-gone" in row}
    engine.dispose()
    assert left == {kept for kept in KEPT if kept.startswith(f"{name}.")}
