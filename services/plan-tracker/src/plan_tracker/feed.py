"""A school's dates as an iCalendar feed (RFC 5545): a day for each step that has a date, and no word about any person.

A calendar program knows an event again by its uid, so that stays the same while the date moves: it is made of school, revision and step.
"""

from datetime import date, datetime, timedelta
from typing import Final

from icalendar import Calendar, Event

from plan_tracker.domain.board import SchoolBoard

CONTENT_TYPE: Final = "text/calendar; charset=utf-8"

_A_DAY = timedelta(days=1)


def feed(board: SchoolBoard, day: date, now: datetime) -> str:
    """The live dates of a school that adopted a plan, as they stand on a day. `now` is when the feed was made."""
    progress, dues = board.progress(), board.live(day)
    assert progress is not None  # noqa: S101 -- a board with live dates has adopted a plan
    progress = progress.on(day)
    adoption = progress.adoption
    calendar = Calendar.new(
        uid=f"{board.school}@vekha",
        prodid="-//Vekha//Plan//RU",
        name=f"{adoption.plan.title_ru} ({board.school})",
        refresh_interval=_A_DAY,
    )
    for step in adoption.plan.steps:
        due = dues[step.n].day
        if due is None:
            continue
        done = progress.completed(step.n, day)
        match progress.state(step.n, day):
            case "done":
                state = f"Выполнен {done:%d.%m.%Y}. / Done on {done}."
            case "waived":
                state = "Выполнять не нужно. / Waived."
            case _:
                state = "Ещё не выполнен. / Not done yet."
        event = Event.new(
            uid=f"{board.school}.{adoption.revision}.{step.n}@vekha",
            stamp=now,
            start=due,
            end=due + _A_DAY,
            summary=f"Шаг {step.n}. {step.title_ru}",
            description=f"Step {step.n}. {step.title_en}\n{state}",
        )
        event["transp"] = "TRANSPARENT"  # a date by which, not a day that is taken
        calendar.add_component(event)
    return calendar.to_ical().decode()
