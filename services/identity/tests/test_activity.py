"""Days of activity told by call, and each school's week rated by the instance's clock, on a real bus."""

from collections.abc import AsyncIterator, Sequence
from datetime import date, datetime
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.engine import URL

from contracts import identity
from contracts.event import Event
from contracts.identity import ActivityQuery, NoteActivity, WeekRating
from contracts.roster import ClassDeclared
from eventkit.database import sqlite_url
from eventkit.decider import Refused
from eventkit.event import Recorded
from eventkit.harness import System, administrator, director, running
from eventkit.service import Service
from identity.activity import activity_table
from identity.app import build
from identity.policies import Ratings
from identity.testing import Town, activate, assigned, enrolled, granted, hand_over, hired, issue, linked, opened, withdrawn

BUILDS = {"roster": Service, "consent": Service, "identity": build}

TEACHERS = [f"p-teacher-{number}" for number in range(5)]
PUPILS = [f"p-pupil-{number}" for number in range(5)]
GUARDIANS = [f"p-guardian-{number}" for number in range(5)]
EVERYBODY = [*TEACHERS, *PUPILS, *GUARDIANS]


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Town]:
    async with running(tmp_path, BUILDS) as system:
        town = Town(system)
        await fill(town)
        yield town


async def fill(town: Town) -> None:
    """school-7: five teachers, and five pupils of class 5a with a guardian each. All consented, and received their codes on 17 August."""
    events: list[Event] = [opened("school-7"), ClassDeclared(class_id="5a", grade=5, letter="А", academic_year="2015/2016")]
    events += [hired(person) for person in TEACHERS]
    for child, mother in zip(PUPILS, GUARDIANS, strict=True):
        events += [enrolled(child), assigned(child), linked(child, mother)]
    await town.says(*events, *(granted(person) for person in EVERYBODY))
    await hand_over_to(town, EVERYBODY)


async def hand_over_to(town: Town, people: Sequence[str]) -> list[tuple[str | None, str | None]]:
    """Logins and codes, in the order of the people."""
    issued = [one for person in people for one in await issue(town, person, reissue=True)]
    await hand_over(town, *people)
    await town.system.settled()
    return [(one.login, one.code) for one in issued]


async def register(town: Town, people: Sequence[str]) -> None:
    for login, code in await hand_over_to(town, people):
        await activate(town, login, code)
    await town.system.settled()


async def note(town: Town, day: date, *people: str, school: str = "school-7") -> identity.ActivityNoted:
    """As the operator tells it: no service does yet."""
    return await town.system.call(identity.NOTE_ACTIVITY, NoteActivity(school=school, day=day, people=people))


async def note_a_week(town: Town) -> None:
    """Until 26 August four of the five teachers were active enough, three guardians, and one pupil."""
    for day in (24, 25, 26):
        await note(town, date(2015, 8, day), *TEACHERS[:4])
    await note(town, date(2015, 8, 26), TEACHERS[4])
    await note(town, date(2015, 8, 24), *GUARDIANS[:3])
    await note(town, date(2015, 8, 24), PUPILS[0])


async def ratings(town: Town) -> list[Recorded]:
    return [event for event in await town.recorded() if event.type == "identity.school-activity-rated.v1"]


async def weeks_rated(town: Town) -> list[tuple[str, int]]:
    return [(event.facts()[1]["week_ends"], event.facts()[1]["score"]) for event in await ratings(town)]


async def kept(system: System) -> set[tuple[date, str]]:
    service = system.instance.services["identity"]
    rows = await service.read(lambda connection: connection.execute(select(activity_table)).all())
    return {(row.day, row.person) for row in rows}


# Telling who was active.


async def test_a_person_is_active_on_a_day_once_however_often_that_is_told(town: Town):
    for _ in range(2):
        told = await note(town, date(2015, 8, 17), TEACHERS[0], GUARDIANS[0], TEACHERS[0], "p-stranger")
        assert (told.noted, told.unknown) == (2, 1)
    assert await kept(town.system) == {(date(2015, 8, 17), TEACHERS[0]), (date(2015, 8, 17), GUARDIANS[0])}


async def test_an_operator_may_tell_it_and_the_school_itself_may_not(town: Town):
    request = NoteActivity(school="school-7", day=date(2015, 8, 17), people=(TEACHERS[0],))
    assert (await town.system.call(identity.NOTE_ACTIVITY, request)).noted == 1
    for actor in (director("school-7"), administrator("school-7")):
        with pytest.raises(Refused) as refused:
            await town.system.call(identity.NOTE_ACTIVITY, request, as_=actor)
        assert refused.value.code == "access.role"


async def test_what_is_told_of_activity_is_no_event(town: Town):
    before = len(await town.recorded())
    await note(town, date(2015, 8, 17), *EVERYBODY)
    await town.system.settled()
    assert len(await town.recorded()) == before


async def test_a_school_knows_its_own_people_alone(town: Town):
    await town.says(opened("school-8"), school="school-8")
    told = await note(town, date(2015, 8, 17), TEACHERS[0], school="school-8")
    assert (told.noted, told.unknown) == (0, 1)
    assert await kept(town.system) == set()
    with pytest.raises(Refused) as refused:
        await note(town, date(2015, 8, 17), TEACHERS[0], school="school-9")
    assert refused.value.code == "school.unknown"


@pytest.mark.parametrize(("day", "code"), [(date(2015, 8, 18), "date.in-future"), (date(2015, 8, 2), "activity.too-old")])
async def test_activity_is_of_the_last_fourteen_days(town: Town, day: date, code: str):
    with pytest.raises(Refused) as refused:
        await note(town, day, TEACHERS[0])
    assert refused.value.code == code
    assert (await note(town, date(2015, 8, 3), TEACHERS[0])).noted == 1


async def test_days_of_activity_are_kept_for_fourteen_days(town: Town):
    await note(town, date(2015, 8, 17), TEACHERS[0])
    await town.system.until("2015-08-20T12:00:00+03:00")
    await note(town, date(2015, 8, 20), TEACHERS[0])
    await town.system.until("2015-08-31T23:59:59+03:00")
    assert len(await kept(town.system)) == 2
    await town.system.until("2015-09-01T00:00:00+03:00")
    assert await kept(town.system) == {(date(2015, 8, 20), TEACHERS[0])}
    await town.system.until("2015-09-04T00:00:00+03:00")
    assert await kept(town.system) == set()


# The week's rating.


async def test_a_week_is_rated_at_the_midnight_after_its_sunday(town: Town):
    await register(town, EVERYBODY)
    await town.system.until("2015-08-26T20:00:00+03:00")
    await note_a_week(town)
    await town.system.until("2015-08-30T23:59:59+03:00")
    assert await weeks_rated(town) == [("2015-08-23", 0)]
    await town.system.until("2015-08-31T00:00:00+03:00")
    [_, event] = await ratings(town)
    assert event.facts()[1] == {"week_ends": "2015-08-30", "score": 62, "teachers": 80, "families": 60, "pupils": 20}
    assert (event.school, event.stream, event.happenedon, event.recordedat) == (
        "school-7",
        "activity-school-7",
        "2015-08-30",
        "2015-08-30T21:00:00.000000Z",
    )
    assert (event.actor, event.commandid) == ("service:identity", "school-7.activity.2015-08-30")
    await town.system.until("2015-09-06T23:59:59+03:00")
    assert len(await ratings(town)) == 2


async def test_a_withdrawal_leaves_a_small_group_that_does_not_count(town: Town):
    await register(town, EVERYBODY)
    await town.system.until("2015-08-26T20:00:00+03:00")
    await note_a_week(town)
    await town.says(withdrawn(PUPILS[1]))
    await town.system.until("2015-08-31T00:00:00+03:00")
    last = (await ratings(town))[-1].facts()[1]
    assert last == {"week_ends": "2015-08-30", "score": 72, "teachers": 80, "families": 60, "pupils": None}  # (40 + 18) of 80


async def test_whoever_still_has_time_to_register_is_left_out_and_counts_afterwards(town: Town):
    await register(town, GUARDIANS)
    await town.system.until("2015-08-24T00:00:00+03:00")
    assert (await ratings(town))[-1].facts()[1] == {"week_ends": "2015-08-23", "score": 0, "teachers": None, "families": 0, "pupils": None}
    await town.system.until("2015-08-31T12:00:00+03:00")
    assert (await ratings(town))[-1].facts()[1]["pupils"] is None  # the fourteenth day is the first one of the next week
    await town.system.until("2015-09-07T00:00:00+03:00")
    last = (await ratings(town))[-1].facts()[1]
    assert last == {"week_ends": "2015-09-06", "score": 0, "teachers": 0, "families": 0, "pupils": 0}


async def test_a_school_in_which_nobody_could_have_been_active_is_not_rated(town: Town):
    await town.says(opened("school-8"), school="school-8")
    await register(town, TEACHERS)
    await town.system.until("2015-09-01T00:00:00+03:00")
    assert {event.school for event in await ratings(town)} == {"school-7"}


async def test_weeks_in_which_nobody_ran_are_made_up_for_and_none_is_rated_twice(tmp_path: Path):
    async with running(tmp_path, BUILDS) as system:
        town = Town(system)
        await fill(town)
        await register(town, EVERYBODY)
        await system.until("2015-08-27T12:00:00+03:00")
        await note_a_week(town)
    async with running(tmp_path, BUILDS, now="2015-09-16T12:00:00+03:00") as system:
        town = Town(system)
        await system.until("2015-09-16T12:00:01+03:00")
        assert await weeks_rated(town) == [("2015-08-23", 0), ("2015-08-30", 62), ("2015-09-06", 18), ("2015-09-13", 0)]
        assert await kept(system) == set()
    async with running(tmp_path, BUILDS, now="2015-09-20T12:00:00+03:00") as system:
        await system.until("2015-09-20T23:59:59+03:00")
        assert len(await weeks_rated(Town(system))) == 4
        await system.until("2015-09-21T00:00:00+03:00")
        assert (await weeks_rated(Town(system)))[4:] == [("2015-09-20", 0)]


async def test_a_week_that_was_rated_before_its_end_could_be_noted_is_not_rated_again(tmp_path: Path):
    """As after a crash between the last school's rating and the note that the week is done."""
    async with running(tmp_path, BUILDS) as system:
        town = Town(system)
        await fill(town)
        await register(town, TEACHERS)
        await system.until("2015-08-24T00:00:00+03:00")
        identity_service = system.instance.services["identity"]
        await identity_service.write(lambda connection: connection.exec_driver_sql("UPDATE rated SET through = '2015-08-16'").rowcount)
    async with running(tmp_path, BUILDS, now="2015-08-24T10:00:00+03:00") as system:
        await system.until("2015-08-25T00:00:00+03:00")
        assert await weeks_rated(Town(system)) == [("2015-08-23", 0)]


async def test_a_week_is_held_until_it_is_known_that_everything_recorded_has_been_read(town: Town):
    await register(town, TEACHERS)
    await town.system.until("2015-08-23T12:00:00+03:00")
    services = town.system.instance.services
    [timer] = [timer for timer in services["identity"].timers if isinstance(timer, Ratings)]
    await services["consent"].stop()
    town.system.clock.move(datetime.fromisoformat("2015-08-24T00:00:00+03:00"))
    await timer.handle(town.system.clock.now())
    assert await ratings(town) == []
    assert timer.next_due(town.system.clock.now()) == datetime.fromisoformat("2015-08-24T00:01:00+03:00")
    await services["consent"].start()
    await town.system.until("2015-08-24T00:01:00+03:00")
    assert await weeks_rated(town) == [("2015-08-23", 0)]


# Asking for ratings.


async def test_the_last_ratings_are_told_the_newest_first(town: Town):
    await register(town, EVERYBODY)
    await town.system.until("2015-08-27T12:00:00+03:00")
    await note_a_week(town)
    await town.system.until("2015-09-15T12:00:00+03:00")
    found = await town.system.call(identity.ACTIVITY, ActivityQuery(school="school-7"), as_=director("school-7"))
    assert [(one.week_ends.isoformat(), one.score) for one in found.ratings] == [
        ("2015-09-13", 0),
        ("2015-09-06", 18),
        ("2015-08-30", 62),
        ("2015-08-23", 0),
    ]
    assert found.ratings[2] == WeekRating(week_ends=date(2015, 8, 30), score=62, teachers=80, families=60, pupils=20)
    two = await town.system.call(identity.ACTIVITY, ActivityQuery(school="school-7", weeks=2), as_=administrator("school-7"))
    assert two.ratings == found.ratings[:2]


async def test_a_school_sees_its_own_ratings_alone(town: Town):
    await town.says(opened("school-8"), school="school-8")
    await register(town, TEACHERS)
    await town.system.until("2015-08-25T00:00:00+03:00")
    found = await town.system.call(identity.ACTIVITY, ActivityQuery(school="school-8"), as_=director("school-8"))
    assert found.ratings == ()
    for school, code in (("school-7", "access.other-school"), ("school-9", "access.other-school")):
        with pytest.raises(Refused) as refused:
            await town.system.call(identity.ACTIVITY, ActivityQuery(school=school), as_=director("school-8"))
        assert refused.value.code == code
    with pytest.raises(Refused) as refused:
        await town.system.call(identity.ACTIVITY, ActivityQuery(school="school-9"))
    assert refused.value.code == "school.unknown"


# The other engine.


async def test_the_whole_way_is_the_same_on_postgresql(tmp_path: Path, fresh_postgres: str):
    def database_url(service: str) -> str | URL:
        return fresh_postgres if service == "identity" else sqlite_url(tmp_path / "db" / f"{service}.db")

    async with running(tmp_path, BUILDS, database_url=database_url) as system:
        town = Town(system)
        await fill(town)
        await register(town, EVERYBODY)
        await system.until("2015-08-27T12:00:00+03:00")
        await note_a_week(town)
        await note_a_week(town)
        assert len(await kept(system)) == 17
        await system.until("2015-09-12T00:00:00+03:00")
        assert await weeks_rated(town) == [("2015-08-23", 0), ("2015-08-30", 62), ("2015-09-06", 18)]
        assert await kept(system) == set()
