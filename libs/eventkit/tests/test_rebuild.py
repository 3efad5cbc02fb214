"""A projection is built anew beside the live rows, compared with them at the same positions, and takes their place when told to."""

import asyncio
import hashlib
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pytest
from sqlalchemy import Column, Connection, Date, Index, MetaData, Table, Text, delete, func, insert, inspect, select, text, update

from contracts.event import Event
from contracts.operations import Nothing
from contracts.parking import RETRY_PARKED, SKIP_PARKED, RetryParked, SkipParked, SkipReason
from contracts.rebuilding import (
    DROP_PROJECTION,
    PROJECTIONS,
    REBUILD_PROJECTION,
    SWITCH_PROJECTION,
    Comparison,
    DropProjection,
    RebuildProjection,
    SwitchProjection,
    VersionShown,
)
from contracts.roster import OPEN_SCHOOL, SCHOOL, OpenSchool, SchoolCard, SchoolOpened, SchoolQuery, SchoolReply
from eventkit.answering import Caller
from eventkit.database import Database
from eventkit.decider import Decider, Refused
from eventkit.event import Recorded
from eventkit.harness import System, everything, running
from eventkit.projection import checkpoint_table
from eventkit.reaction import Reaction
from eventkit.service import Service, Settings
from eventkit.store import Transaction
from eventkit.versions import digest

rows = MetaData()
school_table = Table(
    "school", rows, Column("school", Text, primary_key=True), Column("municipality", Text, index=True), Column("opened_on", Date)
)
end_table = Table("end", rows, Column("municipality", Text, primary_key=True), Column("last", Text))
"""Its name is a word of SQL."""
Index("end_last", end_table.c.last)

DAY = date(2015, 8, 17)


class Schools:
    name = "schools"
    sources = ("roster",)
    tables = rows
    wants = staticmethod(everything)
    forgotten = 0

    def __init__(self) -> None:
        self.poison: set[str] = set()

    def apply(self, connection: Connection, events: Sequence[Recorded]) -> None:
        for event in events:
            if event.type != SchoolOpened.type:
                continue
            if event.school in self.poison:
                raise ValueError(event.school)
            municipality = event.facts()[1]["municipality"]
            connection.execute(insert(school_table).values(school=event.school, municipality=municipality, opened_on=DAY))
            ours = end_table.c.municipality == municipality
            if connection.execute(update(end_table).where(ours).values(last=event.school)).rowcount == 0:
                connection.execute(insert(end_table).values(municipality=municipality, last=event.school))

    def forget(self) -> None:
        self.forgotten += 1


class Reacting(Reaction):
    name = "reacting"
    sources = ("roster",)
    types = frozenset({SchoolOpened.type})

    async def react(self, event: Recorded) -> None:
        """It has nothing to do."""


def decide(command: OpenSchool, state: bool) -> Sequence[Event]:
    return [] if state else [SchoolOpened(school=command.school, municipality=command.municipality, timezone=command.timezone)]


SCHOOLS = Decider[OpenSchool, bool]("school", initial=False, decide=decide, evolve=lambda state, event: True)


@dataclass
class Here:
    system: System
    projection: Schools

    @property
    def database(self) -> Database:
        return self.system.instance.services["roster"].database

    async def open(self, *names: str) -> int:
        """Opens schools, one after the other, in municipalities by turns, and waits for the rows; answers the position of the last."""
        at: Mapping[str, int] = {}
        for name in names:
            opening = OpenSchool(school=name, name="Школа", municipality=f"m-{len(name) % 3}")
            at = (await self.system.ask(OPEN_SCHOOL, opening)).at
        await self.system.ask(PROJECTIONS["roster"], Nothing(), after=at)
        return at["roster"]

    async def versions(self) -> dict[int, VersionShown]:
        shown = (await self.system.call(PROJECTIONS["roster"], Nothing())).projections
        return {version.version: version for one in shown if one.name == "schools" for version in one.versions}

    async def rebuild(self) -> VersionShown:
        number = (await self.system.call(REBUILD_PROJECTION["roster"], RebuildProjection(projection="schools"))).version
        return await self.until(number, "same", "differs")

    async def switch(self, number: int, accept: str | None = None) -> VersionShown:
        await self.system.call(SWITCH_PROJECTION["roster"], SwitchProjection(projection="schools", version=number, accept=accept))
        return await self.until(number, "live", "differs")

    async def drop(self, number: int) -> None:
        await self.system.call(DROP_PROJECTION["roster"], DropProjection(projection="schools", version=number))

    async def until(self, number: int, *states: str) -> VersionShown:
        await self.seen(number, lambda version: version.state in states)
        return (await self.versions())[number]

    async def seen(self, number: int, holds: Callable[[VersionShown], bool]) -> None:
        """Waits until something holds of a version."""
        async with asyncio.timeout(60.0):
            while not holds((await self.versions())[number]):  # noqa: ASYNC110 - it looks from outside, as an operator does
                await asyncio.sleep(0.01)

    async def rows(self) -> dict[str, str]:
        """What the live rows say: schools and their municipalities."""

        def read() -> dict[str, str]:
            with self.database.reading() as connection:
                return {row.school: row.municipality for row in connection.execute(select(school_table))}

        return await asyncio.to_thread(read)

    def tables(self) -> set[str]:
        """All tables in which versions of the projection's rows could lie."""
        with self.database.reading() as connection:
            found = inspect(connection)
            names = {f"{schema}.{name}" for schema in found.get_schema_names() for name in found.get_table_names(schema)}
        return {name for name in names if name.split(".")[1].split("__")[0] in ("school", "end")}


def compared(version: VersionShown) -> Comparison:
    assert version.compared is not None
    return version.compared


At = Callable[[], AbstractAsyncContextManager[Here]]


@pytest.fixture(params=["sqlite", "postgres"])
def at(request: pytest.FixtureRequest, tmp_path: Path) -> At:
    """Starts the service in a database of its own; started again it finds what it had left."""
    database_url: Callable[[str], str] | None = None
    if request.param == "postgres":
        url = str(request.getfixturevalue("emptied_postgres"))
        _drop_schemas(url)
        database_url = lambda service: url  # noqa: E731 -- it has no name but this

    @asynccontextmanager
    async def start() -> AsyncGenerator[Here]:
        projection = Schools()

        def build(settings: Settings) -> Service:
            service = Service(settings)
            service.projection(projection, on_switch=projection.forget)
            service.reaction(Reacting())

            @service.command(OPEN_SCHOOL)
            def open_school(request: OpenSchool, transaction: Transaction, caller: Caller) -> SchoolReply:
                transaction.decide(SCHOOLS, request.school, request, school=request.school, happened_on=DAY)
                return SchoolReply(school=request.school)

            @service.query(SCHOOL)
            async def find(request: SchoolQuery, caller: Caller) -> SchoolCard:
                ours = select(school_table).where(school_table.c.school == request.school)
                found = await service.read(lambda connection: connection.execute(ours).first())
                if found is None:
                    raise Refused("school.unknown", f"There is no school {request.school}.")
                counts = dict.fromkeys(("staff", "classes", "pupils", "guardians"), 0)
                return SchoolCard(school=request.school, name="", municipality=found.municipality, timezone="Europe/Moscow", **counts)

            return service

        async with running(tmp_path, {"roster": build}, database_url=database_url) as system:
            yield Here(system, projection)

    return start


def _drop_schemas(url: str) -> None:
    """What an earlier test left beside the public schema."""
    database = Database(url, "roster")
    with database.writing() as connection:
        for name in inspect(connection).get_schema_names():
            if name.startswith("public_schools_v"):
                connection.execute(text(f'DROP SCHEMA "{name}" CASCADE'))
    database.close()


async def test_a_rebuilt_version_that_is_the_same_becomes_live_and_the_old_one_stays_until_it_is_dropped(at: At) -> None:
    async with at() as here:
        last = await here.open(*(f"s{10**n}" for n in range(6)))
        live = here.tables()
        built = await here.rebuild()
        assert (built.version, built.state, built.done, built.total) == (2, "same", last, last)
        assert compared(built).live == compared(built).rebuilt
        assert compared(built).positions == {"roster": last}
        await here.open("after-the-comparison")
        assert (await here.switch(2)).positions == {"roster": last + 1}
        assert {number: version.state for number, version in (await here.versions()).items()} == {2: "live", 1: "old"}
        assert here.projection.forgotten == 1
        await here.open("later")
        answer = await here.system.ask(OPEN_SCHOOL, OpenSchool(school="last", name="Школа", municipality="m-9"))
        card = await here.system.ask(SCHOOL, SchoolQuery(school="last"), after=answer.at)
        assert card.reply.municipality == "m-9"
        assert len(await here.rows()) == 9
        await here.drop(1)
        assert set(await here.versions()) == {2}
        assert here.tables() == live
    async with at() as here:  # what is live was kept
        assert {number: version.state for number, version in (await here.versions()).items()} == {2: "live"}
        assert (await here.rebuild()).version == 3
        assert (await here.switch(3)).state == "live"
        assert (await here.switch(2)).state == "live"  # the way back is the same
        assert len(await here.rows()) == 9


async def test_a_difference_is_shown_row_by_row_and_nothing_is_switched_unless_just_that_is_accepted(at: At) -> None:
    async with at() as here:
        await here.open("a", "bb", "ccc")

        def damage(connection: Connection) -> None:
            connection.execute(update(school_table).where(school_table.c.school == "a").values(municipality="m-7"))
            connection.execute(delete(school_table).where(school_table.c.school == "bb"))
            connection.execute(insert(school_table).values(school="never", municipality="m-1", opened_on=DAY))

        await here.system.instance.services["roster"].write(damage)
        built = await here.rebuild()
        assert built.state == "differs"
        assert compared(built).differing == 3
        shown = [(one.key, one.live, one.rebuilt) for one in compared(built).differences]
        assert shown == [
            ({"school": "a"}, {"municipality": "m-7"}, {"municipality": "m-1"}),
            ({"school": "bb"}, None, {"school": "bb", "municipality": "m-2", "opened_on": '"2015-08-17"'}),
            ({"school": "never"}, {"school": "never", "municipality": "m-1", "opened_on": '"2015-08-17"'}, None),
        ]
        for accept in (None, compared(built).live):
            with pytest.raises(Refused) as refused:
                await here.switch(2, accept)
            assert refused.value.code == "projection.differs"
        assert (await here.rows())["a"] == "m-7"
        assert (await here.switch(2, compared(built).rebuilt)).state == "live"
        assert await here.rows() == {"a": "m-1", "bb": "m-2", "ccc": "m-0"}


async def test_a_live_version_that_is_damaged_after_the_comparison_is_found_before_the_switch(at: At) -> None:
    async with at() as here:
        await here.open("a", "bb")
        assert (await here.rebuild()).state == "same"
        await here.system.instance.services["roster"].write(lambda connection: connection.execute(delete(end_table)))
        found = await here.switch(2)
        assert (found.state, compared(found).differing) == ("differs", 2)
        assert {number: version.state for number, version in (await here.versions()).items()} == {1: "live", 2: "differs"}


async def test_while_a_version_is_built_and_switched_to_commands_and_queries_are_answered(at: At) -> None:
    async with at() as here:
        await here.open(*(f"first-{n}" for n in range(60)))
        opened: list[str] = []
        done = asyncio.Event()

        async def live() -> None:
            while not done.is_set():
                name = f"live-{len(opened)}"
                opening = OpenSchool(school=name, name="Школа", municipality="m-1")
                answer = await here.system.ask(OPEN_SCHOOL, opening)
                await here.system.ask(SCHOOL, SchoolQuery(school=name), after=answer.at)
                opened.append(name)

        living = asyncio.create_task(live())
        for _ in range(3):
            built = await here.rebuild()
            assert built.state == "same"
            before = len(opened)
            assert (await here.switch(built.version)).state == "live"
            await here.seen(built.version, lambda version, enough=before + 3: len(opened) > enough)
        done.set()
        await living
        assert set(await here.rows()) == {*(f"first-{n}" for n in range(60)), *opened}


async def test_what_the_live_version_has_parked_or_skipped_the_rebuilt_one_has_too(at: At) -> None:
    async with at() as here:
        here.projection.poison = {"poison", "skipped"}
        last = await here.open("a", "poison", "skipped", "bb")
        skip = SkipParked(reader="schools", source="roster", position=last - 1, reason=SkipReason.IMPOSSIBLE)
        await here.system.call(SKIP_PARKED["roster"], skip)
        built = await here.rebuild()
        assert (built.state, built.version) == ("same", 2)
        here.projection.poison = set()
        assert (await here.system.call(RETRY_PARKED["roster"], RetryParked())).applied == 1
        assert (await here.switch(2)).state == "live"  # it has taken in meanwhile what the live one had
        assert set(await here.rows()) == {"a", "bb", "poison"}


async def test_what_only_one_of_both_has_parked_is_a_difference(at: At) -> None:
    async with at() as here:
        here.projection.poison = {"poison"}
        last = await here.open("a", "poison")
        here.projection.poison = set()
        built = await here.rebuild()
        assert built.state == "differs"
        parked = next(one for one in compared(built).differences if one.table == "parked")
        assert (parked.key, parked.live, parked.rebuilt) == ({"source": "roster", "position": str(last)}, {}, None)


async def test_what_cannot_be_rebuilt_switched_to_or_dropped_is_refused(at: At) -> None:
    async with at() as here:
        await here.open("a")
        attempts: list[tuple[str, Callable[[], Awaitable[object]]]] = [
            ("projection.unknown", lambda: here.system.call(REBUILD_PROJECTION["roster"], RebuildProjection(projection="nothing"))),
            ("projection.reaction", lambda: here.system.call(REBUILD_PROJECTION["roster"], RebuildProjection(projection="reacting"))),
            ("projection.no-version", lambda: here.switch(2)),
            ("projection.live", lambda: here.drop(1)),
        ]
        for code, attempt in attempts:
            with pytest.raises(Refused) as refused:
                await attempt()
            assert refused.value.code == code
        assert (await here.switch(1)).state == "live"
        shown = (await here.system.call(PROJECTIONS["roster"], Nothing())).projections
        assert {one.name: one.kind for one in shown} == {"schools": "projection", "reacting": "reaction"}


async def test_a_version_that_is_being_built_goes_on_after_a_restart_from_where_it_was(at: At, monkeypatch: pytest.MonkeyPatch) -> None:
    async with at() as here:
        await here.open(*(f"s-{n}" for n in range(7)))

    class Cut(Exception):
        pass

    def cut(point: str) -> None:
        if point == "rebuild.after-batch":
            raise Cut

    monkeypatch.setattr("eventkit.rebuild._BATCH", 3)
    async with at() as here:
        with monkeypatch.context() as dying:
            dying.setattr("eventkit.rebuild.reach", cut)
            await here.system.call(REBUILD_PROJECTION["roster"], RebuildProjection(projection="schools"))
            await here.seen(2, lambda version: version.trouble == "Cut")
        reached = (await here.versions())[2]
    assert reached.state == "building"
    assert reached.done in (3, 6)
    async with at() as here:
        assert (await here.until(2, "same", "differs")).state == "same"


async def test_on_postgres_a_switch_waits_for_whoever_reads_an_older_state(at: At, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eventkit.versions._OLD_VIEWS_TIMEOUT_S", 0.3)
    async with at() as here:
        if here.database.is_sqlite:
            pytest.skip("there a view holds the names, too")
        last = await here.open("a", "bb")
        assert (await here.rebuild()).state == "same"
        with here.database.reading() as connection:
            seen = connection.execute(select(checkpoint_table.c.positions).where(checkpoint_table.c.name == "schools")).scalar_one()
            await here.open("ccc")
            await here.system.call(SWITCH_PROJECTION["roster"], SwitchProjection(projection="schools", version=2))
            await here.seen(2, lambda version: version.trouble == "Busy")
            read = connection.execute(select(func.count()).select_from(school_table)).scalar_one()
        assert (json.loads(seen), read) == ({"roster": last}, 2)
        assert (await here.until(2, "live")).positions == {"roster": last + 1}


def test_the_digest_is_that_of_the_rows_in_the_order_of_their_keys_on_every_engine(database: Database) -> None:
    with database.writing() as connection:
        rows.create_all(connection)
        for name in ("б", "a", "B", "Б"):
            connection.execute(insert(school_table).values(school=name, municipality=None, opened_on=DAY))
        connection.execute(delete(end_table))
        found = digest(connection, [(table.name, table) for table in rows.sorted_tables])
        connection.execute(delete(school_table))
    lines = ['"end"', '"school"', *(f'["{name}",null,"2015-08-17"]' for name in ("B", "a", "Б", "б"))]
    assert found == hashlib.sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()
