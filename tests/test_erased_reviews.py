"""Who is erased stands in no row that an import has put aside: such rows hold names of people nobody has told apart yet (DESIGN 2.7)."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from contracts import roster
from contracts.roster import LegalBasis, SettledAs
from tests.conftest import Lived, instance
from tests.school import SCHOOL
from tests.test_erasure import CANARY, DIRECTOR, ask, enter, files_with, order, reached, refusal, traces
from vekha.client import Client
from vekha.importing import hand_in

TWIN = "CANARY-TWIN"
NEAR = "ID;Фамилия;Имя;Отчество;Дата рождения;Класс;Дата зачисления\n"
LAW = LegalBasis(code="law", reference="273-FZ")


async def put_aside(client: Client) -> roster.ReviewCard:
    """Imports a row of the canary's name and birth date under another ID, with a patronymic that the canary has not."""
    classes = (await ask(client, roster.CLASSES, roster.ClassesQuery(school=SCHOOL))).classes
    label = f"{classes[0].grade}{classes[0].letter}"
    row = f"{TWIN};{CANARY.last_name};{CANARY.first_name};Невидимовна;29.04.2003;{label};01.09.2015\n"
    status = await hand_in(client, SCHOOL, "canary.csv", (NEAR + row).encode(), legal_basis=LAW, on_progress=lambda done, total: None)
    assert (status.review, status.created, status.rejected_rows) == (1, 0, 0)
    (card,) = (await ask(client, roster.REVIEWS, roster.ReviewsQuery(school=SCHOOL))).reviews
    assert card.external_id == TWIN
    return card


def kept(data: Path) -> list[bytes]:
    """The rows that wait, sealed, as they lie on the disk."""
    with closing(sqlite3.connect(f"file:{data / 'db' / 'roster.db'}?mode=ro", uri=True)) as database:
        return [bytes(row) for (row,) in database.execute("SELECT row FROM import_review WHERE row IS NOT NULL")]


async def test_a_row_that_may_be_of_somebody_erased_is_destroyed_with_the_person(lived: Lived, tmp_path: Path) -> None:
    data = lived.copy(tmp_path / "data")
    async with instance(data) as client:
        person, _ = await enter(client)
        card = await put_aside(client)
        assert card.near == (person,)
        (sealed,) = kept(data)
        await order(client, person)
        await reached(client, person, "completed")
        assert (await ask(client, roster.REVIEWS, roster.ReviewsQuery(school=SCHOOL))).total == 0
        settling = roster.SettleReview(school=SCHOOL, review=card.review, settled_as=SettledAs.NEW)
        assert await refusal(client, roster.SETTLE_REVIEW, settling) == "review.unknown"
        assert kept(data) == []
    assert files_with(data, sealed, "Невидимовна", TWIN, *traces()) == []


async def test_a_row_goes_also_with_somebody_whom_it_is_not_near_as_nobody_knows_yet_whose_it_is(lived: Lived, tmp_path: Path) -> None:
    data = lived.copy(tmp_path / "data")
    async with instance(data) as client:
        person, _ = await enter(client)
        await put_aside(client)
        pupils = (await ask(client, roster.PEOPLE, roster.PeopleQuery(school=SCHOOL, kind="pupil"))).people
        other = next(pupil for pupil in pupils if pupil != person)
        await order(client, other)
        await reached(client, other, "completed")
        assert kept(data) == []
        assert (await ask(client, roster.PERSON, roster.PersonQuery(school=SCHOOL, person=person), DIRECTOR)).details.last_name
        await put_aside(client)  # what is still wanted is sent again
        assert len(kept(data)) == 1


async def test_what_was_settled_as_somebody_goes_with_that_person(lived: Lived, tmp_path: Path) -> None:
    data = lived.copy(tmp_path / "data")
    async with instance(data) as client:
        person, _ = await enter(client)
        card = await put_aside(client)
        settling = roster.SettleReview(school=SCHOOL, review=card.review, settled_as=SettledAs.SAME, person=person)
        settled = await ask(client, roster.SETTLE_REVIEW, settling)
        assert (settled.state, settled.person) == ("settled", person)
        await order(client, person)
        await reached(client, person, "completed")
        assert await refusal(client, roster.SETTLE_REVIEW, settling) == "review.unknown"
    assert files_with(data, "Невидимовна", TWIN, *traces()) == []
