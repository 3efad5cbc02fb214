"""The training sessions of a school: who is named for each, and who was there (steps 1 and 7)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

from contracts.event import Event
from contracts.plan import TrainingAttended, TrainingForm, TrainingSessionCancelled, TrainingSessionScheduled
from eventkit.decider import Decider, Refused


@dataclass(frozen=True)
class Schedule:
    """`session` is a new id, taken if the session is new."""

    session: str
    day: date
    form: TrainingForm
    people: frozenset[str]


@dataclass(frozen=True)
class Cancel:
    session: str


@dataclass(frozen=True)
class RecordAttendance:
    """Said on the day `today` of people who attended on the session's day."""

    session: str
    people: tuple[str, ...]
    today: date


@dataclass(frozen=True)
class Session:
    day: date
    form: TrainingForm
    people: frozenset[str]
    attended: frozenset[str] = frozenset()
    cancelled: bool = False


Sessions = Mapping[str, Session]
"""All sessions by id."""


def scheduled_as(sessions: Sessions, day: date, form: TrainingForm, people: frozenset[str]) -> str | None:
    """The session on a day for these people, if it stands in the schedule."""
    wanted = (day, form, people)
    return next((name for name, one in sessions.items() if not one.cancelled and (one.day, one.form, one.people) == wanted), None)


def last_day(sessions: Sessions) -> date | None:
    """The day of the last session that is not cancelled: until then the staff is to be trained (step 1)."""
    return max((session.day for session in sessions.values() if not session.cancelled), default=None)


def decide(command: Schedule | Cancel | RecordAttendance, sessions: Sessions) -> Sequence[Event]:
    match command:
        case Schedule(session, day, form, people):
            if scheduled_as(sessions, day, form, people):
                return []
            if not people:
                raise Refused("training.nobody-named", "Nobody is named for this session: name those of the staff who are to attend.")
            return [TrainingSessionScheduled(session=session, day=day, form=form, people=tuple(sorted(people)))]
        case Cancel(session):
            if _session(session, sessions).cancelled:
                return []
            if _session(session, sessions).attended:
                raise Refused("training.held", "Somebody attended this session, so it was held: it cannot be cancelled any more.")
            return [TrainingSessionCancelled(session=session)]
        case RecordAttendance():
            return _record_attendance(command, _session(command.session, sessions))


def _record_attendance(command: RecordAttendance, session: Session) -> Sequence[Event]:
    if session.cancelled:
        raise Refused("training.cancelled", "This session was cancelled: schedule another one for those who are to attend.")
    if command.today < session.day:
        raise Refused("training.not-yet", f"This session is on {session.day}: record who attended on that day or later.")
    if strangers := sorted(set(command.people) - session.people):
        text = f"Not named for this session: {', '.join(strangers)}. Schedule a session for them."
        raise Refused("training.not-named", text)
    return [
        TrainingAttended(session=command.session, form=session.form, person=person)
        for person in dict.fromkeys(command.people)
        if person not in session.attended
    ]


def evolve(sessions: Sessions, event: Event) -> Sessions:
    match event:
        case TrainingSessionScheduled():
            return {**sessions, event.session: Session(event.day, event.form, frozenset(event.people))}
        case TrainingSessionCancelled() if (cancelled := sessions.get(event.session)) is not None:
            return {**sessions, event.session: replace(cancelled, cancelled=True)}
        case TrainingAttended() if (held := sessions.get(event.session)) is not None:
            return {**sessions, event.session: replace(held, attended=held.attended | {event.person})}
        case _:
            return sessions


def _rests_on(later: Event, earlier: Event) -> bool:
    return not isinstance(earlier, TrainingAttended)


def _session(session: str, sessions: Sessions) -> Session:
    found = sessions.get(session)
    if found is None:
        raise Refused("training.unknown", f"This school has no training session {session}.", "Scheduling a session answers with its id.")
    return found


_none: Sessions = {}
training: Decider[Schedule | Cancel | RecordAttendance, Sessions] = Decider("training", _none, decide, evolve, _rests_on)
"""One school's sessions."""
