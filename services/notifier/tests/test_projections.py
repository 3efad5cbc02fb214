"""What notifier keeps of the plan's announcements is what may still be told, however they arrived."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import create_engine, select
from sqlalchemy.pool import StaticPool

from contracts import plan
from eventkit.clock import local_day
from eventkit.event import Draft, Origin, Recorded, decode, rfc3339, stamp
from notifier.domain.telling import KEPT, LATEST_FOR_THE_MINISTRY
from notifier.projections import Schools, announcement_table, metadata

FIRST = datetime(2015, 8, 17, 9, tzinfo=UTC)

moments = st.lists(st.integers(0, 120).map(lambda days: FIRST + timedelta(days=days)), min_size=1, max_size=30)


def announced(at: Sequence[datetime]) -> list[Recorded]:
    """An announcement at each of these moments."""
    found: list[Recorded] = []
    for position, moment in enumerate(at, 1):
        event = plan.StepCompleted(step=6, revision=1, day=moment.date())
        draft = Draft(event, "told", position, "school-7", moment.date(), Origin("operator", "c", "c"))
        found.append(decode(stamp(draft, service="plan", position=position, event_id=f"e-{position}", recorded_at=rfc3339(moment))))
    return found


def kept(batches: Sequence[Sequence[Recorded]], postgres: str | None = None) -> set[tuple[int, date]]:
    engine = create_engine("sqlite://", poolclass=StaticPool) if postgres is None else create_engine(postgres)
    with engine.begin() as connection:
        metadata.create_all(connection)
        for batch in batches:
            Schools().apply(connection, batch)
        table = announcement_table.c
        rows = {(row.position, row.recorded_on) for row in connection.execute(select(table.position, table.recorded_on))}
    engine.dispose()
    return rows


@given(at=moments, data=st.data())
def test_in_any_batches_the_announcements_of_the_last_four_weeks_are_kept_and_no_others(at: list[datetime], data: st.DataObject) -> None:
    events = announced(at)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(events)), max_size=4)))
    batches = [events[start:end] for start, end in zip([0, *cuts], [*cuts, len(events)], strict=True)]
    days = {position: local_day(moment) for position, moment in enumerate(at, 1)}
    newest = max(days.values())
    assert kept(batches) == {(position, day) for position, day in days.items() if day >= newest - KEPT}


def test_nothing_that_anybody_may_still_be_told_of_is_deleted() -> None:
    assert KEPT > LATEST_FOR_THE_MINISTRY
    days = [FIRST, FIRST + LATEST_FOR_THE_MINISTRY]
    assert len(kept([announced(days)])) == 2


def test_the_same_are_kept_on_postgresql(fresh_postgres: str) -> None:
    batches = [announced([FIRST + timedelta(days=days) for days in (0, 20, 28, 29)])]
    assert kept(batches, fresh_postgres) == kept(batches)
    assert {position for position, _ in kept(batches)} == {2, 3, 4}
