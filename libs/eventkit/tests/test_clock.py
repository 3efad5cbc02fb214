"""The clock: a manual one moves forward alone, from timer to timer, and whoever asks for the time asks it."""

import asyncio
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.event import Event
from contracts.operations import ADVANCE_CLOCK, CLOCK, SET_CLOCK, AdvanceClock, Nothing, SetClock
from contracts.roster import CoordinatorAppointed
from eventkit.broker import EmbeddedBroker
from eventkit.clock import ManualClock, Patience, RealClock, local_day, start_of_day
from eventkit.database import sqlite_url
from eventkit.decider import Decider, Refused
from eventkit.event import Recorded, rfc3339
from eventkit.harness import director, running
from eventkit.instance import Instance
from eventkit.reaction import Reaction
from eventkit.secrets import Secrets
from eventkit.service import Service, Settings, Timer, happened_on

NINE = datetime(2015, 8, 17, 6, tzinfo=UTC)
moments = st.integers(0, 20 * 366 * 24 * 3600).map(lambda second: datetime(2015, 1, 1, tzinfo=UTC) + timedelta(seconds=second))


# The clock itself


@given(st.lists(moments, max_size=8))
def test_a_manual_clock_stands_where_it_was_moved_and_never_goes_back(moves: list[datetime]) -> None:
    kept: list[datetime] = []
    clock = ManualClock(NINE, kept.append)
    stands, accepted = NINE, list[datetime]()
    for to in moves:
        if to < stands:
            with pytest.raises(Refused) as refused:
                clock.move(to)
            assert refused.value.code == "clock.backwards"
        else:
            clock.move(to)
            stands = to
            accepted.append(to)
        assert clock.now() == stands
    assert kept == accepted  # each time is told, for whoever keeps it on disk; a refused one is not


def test_a_clock_tells_utc_whatever_zone_it_was_set_in() -> None:
    clock = ManualClock(datetime.fromisoformat("2015-08-17T09:00:00+03:00"))
    assert clock.now() == NINE
    assert clock.now().tzinfo is UTC
    assert RealClock().now().tzinfo is UTC


def test_what_is_held_is_held_for_longer_each_time_up_to_half_an_hour_until_it_is_done() -> None:
    patience = Patience()
    assert patience.not_before(NINE) == NINE
    minutes = [(patience.hold(NINE) - NINE) // timedelta(minutes=1) for _ in range(7)]
    assert minutes == [1, 2, 4, 8, 16, 30, 30]
    half_past, ten = NINE + timedelta(minutes=30), NINE + timedelta(hours=1)
    assert (patience.not_before(NINE), patience.not_before(ten)) == (half_past, ten)
    patience.begin_anew()
    assert (patience.not_before(NINE), patience.hold(NINE)) == (NINE, NINE + timedelta(minutes=1))


def test_the_day_is_the_schools_own() -> None:
    late = datetime(2015, 8, 17, 21, 30, tzinfo=UTC)
    assert local_day(late) == date(2015, 8, 18)
    assert local_day(late, "Europe/Kaliningrad") == date(2015, 8, 17)
    assert start_of_day(date(2015, 8, 18)) == datetime(2015, 8, 17, 21, tzinfo=UTC)


@given(moments, st.sampled_from(["Europe/Moscow", "Asia/Vladivostok", "Europe/Kaliningrad"]))
def test_a_day_begins_at_its_beginning(moment: datetime, zone: str) -> None:
    day = local_day(moment, zone)
    assert start_of_day(day, zone) <= moment < start_of_day(day + timedelta(days=1), zone)
    assert local_day(start_of_day(day, zone), zone) == day


def test_what_happened_is_true_today_by_default_and_never_tomorrow() -> None:
    late = datetime(2015, 8, 17, 21, 30, tzinfo=UTC)
    assert happened_on(None, late) == happened_on(date(2015, 8, 18), late) == date(2015, 8, 18)
    assert happened_on(date(2015, 8, 1), late) == date(2015, 8, 1)
    with pytest.raises(Refused) as refused:
        happened_on(date(2015, 8, 19), late)
    assert refused.value.code == "date.in-future"


# An instance's timers


class Alarm:
    """Rings at the given times, once each, and notes in a common diary who rang when."""

    def __init__(self, name: str, diary: list[tuple[str, datetime]], service: Service, *times: datetime) -> None:
        self.name, self.diary, self.service, self.times = name, diary, service, sorted(times)

    def next_due(self, now: datetime) -> datetime | None:
        return self.times[0] if self.times else None

    async def handle(self, now: datetime) -> None:
        assert now == self.service.clock.now()
        self.diary.append((self.name, now))
        self.times.pop(0)


def at(hour: int) -> datetime:
    return NINE + timedelta(hours=hour)


async def test_a_clock_that_is_moved_stops_at_every_timer_in_the_order_of_time(tmp_path: Path) -> None:
    diary: list[tuple[str, datetime]] = []

    def roster(settings: Settings) -> Service:
        service = Service(settings)
        service.timer(Alarm("late", diary, service, at(9), at(3)))
        service.timer(Alarm("early", diary, service, at(1), at(3), at(-5)))
        return service

    def consent(settings: Settings) -> Service:
        service = Service(settings)
        service.timer(Alarm("other", diary, service, at(2), at(3), at(8)))
        return service

    async with running(tmp_path, {"roster": roster, "consent": consent}) as system:
        await system.until(rfc3339(at(8)))
        assert system.clock.now() == at(8)
        assert diary == [
            ("early", at(0)),  # was due before the clock began to move
            ("early", at(1)),
            ("other", at(2)),
            ("late", at(3)),
            ("early", at(3)),
            ("other", at(3)),
            ("other", at(8)),
        ]
        await system.until(rfc3339(at(8)))
        await system.until(rfc3339(at(10)))
        assert diary[7:] == [("late", at(9))]


noted = Decider[str, bool](
    "note",
    initial=False,
    decide=lambda person, state: list[Event]() if state else [CoordinatorAppointed(person=person)],
    evolve=lambda state, event: True,
)


async def test_what_follows_from_one_timer_has_happened_when_the_next_is_handled(tmp_path: Path) -> None:
    """Even at the same moment, and even where it takes a reaction of another service."""
    reacted: list[str] = []
    seen: list[list[str]] = []

    class Notes:
        def __init__(self, service: Service) -> None:
            self.service, self.left = service, ["p-1", "p-2", "p-3"]

        def next_due(self, now: datetime) -> datetime | None:
            return at(1) if self.left else None

        async def handle(self, now: datetime) -> None:
            seen.append(list(reacted))
            person = self.left.pop(0)
            caller = self.service.as_itself(f"note-{person}")
            await self.service.carry_out(
                caller, lambda tx: len(tx.decide(noted, person, person, school="school-7", happened_on=date(2015, 8, 17))), part="1"
            )

    class Slowly(Reaction):
        name = "slowly"
        sources = ("roster",)
        types = frozenset({CoordinatorAppointed.type})

        async def react(self, event: Recorded) -> None:
            await asyncio.sleep(0.02)
            reacted.append(event.facts()[1]["person"])

    def roster(settings: Settings) -> Service:
        service = Service(settings)
        service.timer(Notes(service))
        return service

    def consent(settings: Settings) -> Service:
        service = Service(settings)
        reaction: Reaction = Slowly()
        service.reaction(reaction)
        return service

    async with running(tmp_path, {"roster": roster, "consent": consent}) as system:
        await system.until(rfc3339(at(2)))
    assert seen == [[], ["p-1"], ["p-1", "p-2"]]
    assert reacted == ["p-1", "p-2", "p-3"]


async def test_a_timer_that_fails_stops_the_clock_where_it_was_due_and_is_due_again(tmp_path: Path) -> None:
    diary: list[tuple[str, datetime]] = []
    broken = [True]

    class Fragile(Alarm):
        async def handle(self, now: datetime) -> None:
            if broken[0]:
                raise OSError("not now")
            await super().handle(now)

    def roster(settings: Settings) -> Service:
        service = Service(settings)
        service.timer(Fragile("fragile", diary, service, at(3)))
        return service

    async with running(tmp_path, {"roster": roster}) as system:
        with pytest.raises(OSError, match="not now"):
            await system.until(rfc3339(at(5)))
        assert system.clock.now() == at(3)
        broken[0] = False
        await system.until(rfc3339(at(5)))
        assert diary == [("fragile", at(3))]
        assert system.clock.now() == at(5)


async def test_the_clock_is_set_and_advanced_by_calls_and_refused_backwards(tmp_path: Path) -> None:
    async with running(tmp_path, {"roster": Service}) as system:
        assert (await system.call(CLOCK, Nothing(), as_=director("school-7"))).now == "2015-08-17T06:00:00.000000Z"
        assert (await system.call(ADVANCE_CLOCK, AdvanceClock(days=1, hours=2))).now == "2015-08-18T08:00:00.000000Z"
        assert (await system.call(SET_CLOCK, SetClock(to="2015-08-20"))).now == "2015-08-19T21:00:00.000000Z"
        assert (await system.call(SET_CLOCK, SetClock(to="2015-08-20T09:00:00"))).now == "2015-08-20T06:00:00.000000Z"
        for to, code in (("2015-08-19", "clock.backwards"), ("soon", "clock.unreadable"), ("2015-02-30", "clock.unreadable")):
            with pytest.raises(Refused) as refused:
                await system.call(SET_CLOCK, SetClock(to=to))
            assert refused.value.code == code
        with pytest.raises(Refused) as forbidden:
            await system.call(ADVANCE_CLOCK, AdvanceClock(days=1), as_=director("school-7"))
        assert forbidden.value.code == "access.role"
        assert (await system.call(CLOCK, Nothing())).now == "2015-08-20T06:00:00.000000Z"


# The real clock


async def test_a_real_clock_is_not_moved_and_its_timers_run_by_themselves_one_failing_or_not(tmp_path: Path) -> None:
    secrets = Secrets.make(tmp_path / "secrets")
    rung = asyncio.Event()

    class Broken:
        def next_due(self, now: datetime) -> datetime | None:
            raise OSError("the database is away")

        async def handle(self, now: datetime) -> None: ...

    class Ringing:
        def next_due(self, now: datetime) -> datetime | None:
            return None if rung.is_set() else now

        async def handle(self, now: datetime) -> None:
            rung.set()

    def roster(settings: Settings) -> Service:
        service = Service(settings)
        timers: tuple[Timer, ...] = (Broken(), Ringing())
        for timer in timers:
            service.timer(timer)
        return service

    async with EmbeddedBroker(tmp_path / "bus", tmp_path / "run", secrets.broker_password_file) as broker:
        instance = Instance(
            {"roster": roster},
            nats_url=broker.url,
            nats_credential=broker.credential,
            secrets=secrets,
            clock=RealClock(),
            database_url=lambda service: sqlite_url(tmp_path / f"{service}.db"),
        )
        await instance.start()
        try:
            await rung.wait()
            with pytest.raises(Refused) as refused:
                await instance.move_clock(datetime(2100, 1, 1, tzinfo=UTC))
            assert refused.value.code == "clock.real"
        finally:
            await instance.stop()
