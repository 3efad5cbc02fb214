"""For tests: the five logs of some schools, told event by event, as they would be recorded."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, time

from contracts import SERVICES
from contracts.event import NO_SCHOOL, Event
from contracts.plan import AnchorReading, CalendarPinned, CalendarTable, CountFrom, PlanAdopted, Week
from eventkit.event import Draft, Origin, Recorded, decode, rfc3339, stamp
from plan_tracker.domain.deadlines import Reckoning, baseline, years_to_pin
from plan_tracker.domain.facts import Documents, Fact, Key, fold, in_order
from plan_tracker.domain.plan import load_plan
from workdays import russian_calendar

_ORIGIN = Origin(actor="operator", command_id="c-1", correlation_id="c-1")


class Logs:
    """Five logs. `record` appends to the log of the service that owns the event."""

    def __init__(self) -> None:
        self.events: dict[str, list[Recorded]] = {source: [] for source in SERVICES}
        self._pinned: set[str] = set()

    def record(self, school: str, day: date, *events: Event) -> None:
        """Records what happened in a school on a day. What is recorded later may have happened earlier."""
        for event in events:
            service = event.type.split(".")[0]
            log = self.events[service]
            draft = Draft(event, f"test-{school}", len(log) + 1, school, day, _ORIGIN)
            recorded_at = rfc3339(datetime.combine(day, time(12), UTC))
            data = stamp(draft, service=service, position=len(log) + 1, event_id=f"{service}-{len(log) + 1}", recorded_at=recorded_at)
            log.append(decode(data))

    def adopt(
        self,
        school: str,
        start: date,
        *,
        on: date | None = None,
        week: Week = 5,
        anchor: AnchorReading = "after_predecessors",
        plan: str = "mo-2015-school-portal",
        count_from: CountFrom = "next_day",
    ) -> None:
        """Records what adopting a plan records, on its first day or another."""
        loaded, day = load_plan(plan), on or start
        calendar = russian_calendar(years_to_pin(loaded, start, day), week)
        dues = baseline(Reckoning(loaded, start, calendar, anchor, count_from))
        if calendar.digest not in self._pinned:
            self._pinned.add(calendar.digest)
            self.record(NO_SCHOOL, day, CalendarPinned(calendar=CalendarTable(digest=calendar.digest, table=calendar.table())))
        self.record(
            school,
            day,
            PlanAdopted(
                plan=plan,
                revision=loaded.revision,
                start=start,
                week=week,
                anchor=anchor,
                count_from=count_from,
                calendar=calendar.digest,
                baseline={str(n): due for n, due in dues.items()},
            ),
        )

    def all(self) -> list[Recorded]:
        return [event for log in self.events.values() for event in log]


def documents_of(school: str, events: Iterable[Recorded]) -> Documents:
    """The documents of a school and the pinned calendars, folded in memory."""
    found: dict[Key, list[Fact]] = {}
    for event in events:
        if event.school in (school, NO_SCHOOL) and (folded := fold(event)) is not None:
            found.setdefault(folded[0], []).append(folded[1])
    return {key: in_order(facts) for key, facts in found.items()}
