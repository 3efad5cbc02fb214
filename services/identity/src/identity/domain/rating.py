"""How active a school was in a week (step 21, DOMAIN 7): 100·(0.5·T + 0.3·P + 0.2·S), rounded down.

T are the teachers who were active on three or more days of the last seven; P the pupils of whom a guardian was active on one of
the last fourteen; S the pupils of grades 5 to 11 who were active on one of the last seven; each as a share of those who could
have been. The order asks for "high indicators" and defines none: the weights and limits below are ours (docs/decisions).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from fractions import Fraction
from typing import NamedTuple

from contracts.event import Event
from contracts.identity import SchoolActivityRated
from contracts.roster import Position
from eventkit.decider import Decider
from identity.domain.gates import Person, has_ground

TEACHERS_WEIGHT, FAMILIES_WEIGHT, PUPILS_WEIGHT = 50, 30, 20
"""Points of a hundred. Where a group does not count, the others share its points in their own proportion."""

TEACHERS_DAYS, TEACHERS_ACTIVE_DAYS = 7, 3
FAMILIES_DAYS = 14
PUPILS_DAYS = 7
"""How many days, the last one of the week included, are looked at, and on how many of them a teacher must have been active."""

RATED_GRADES = range(5, 12)

TERM_DAYS = 14
"""The ten working days of step 19, counted from the day of hand-over: who has not registered by then counts as not active."""

LEAST_TOLD = 5
"""Nothing is told of fewer people, in a score no more than in a share: it would speak of persons."""

DAYS_NEEDED = max(TEACHERS_DAYS, FAMILIES_DAYS, PUPILS_DAYS)


class Group(NamedTuple):
    """How many of these people, or of these pupils' families, were active."""

    active: int
    of: int

    @property
    def share(self) -> Fraction:
        return Fraction(self.active, self.of)

    @property
    def counts(self) -> bool:
        return self.of >= LEAST_TOLD

    @property
    def singles_out(self) -> bool:
        """Whether so few were active, or so few were not, that the group's share alone speaks of persons."""
        return any(0 < part < LEAST_TOLD for part in (self.active, self.of - self.active))

    @property
    def shown(self) -> int | None:
        """The share in percent, rounded down; None where the group does not count."""
        return int(self.share * 100) if self.counts else None


class Groups(NamedTuple):
    teachers: Group
    families: Group
    pupils: Group


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a person's account is: in use, or `received_on` that day and not registered yet. Neither: blocked, or not handed over."""

    in_use: bool = False
    received_on: date | None = None


@dataclass(frozen=True, slots=True)
class Register:
    """A school as it is when a week is rated: people and accounts by person, grades by class, and who was active on which days."""

    people: Mapping[str, Person]
    grades: Mapping[str, int]
    accounts: Mapping[str, Standing] = field(default_factory=dict[str, Standing])
    days: Mapping[str, Collection[date]] = field(default_factory=dict[str, Collection[date]])


def groups(register: Register, week_ends: date) -> Groups:
    """Who could have been active by the end of a week, and who was.

    Whoever has no ground for an account (refused, or not decided yet) is left out, and so is whoever has received a code and still has
    time to register. A pupil needs an account to count; a teacher or a family without one is one that the school has not reached.
    """

    def counts(person: str) -> bool:
        known = register.people.get(person)
        received_on = register.accounts.get(person, Standing()).received_on
        in_term = received_on is not None and week_ends < received_on + timedelta(days=TERM_DAYS)
        return known is not None and has_ground(known) and not in_term

    def active(person: str, days: int) -> int:
        """On how many of the last days of the week."""
        first = week_ends - timedelta(days=days - 1)
        return sum(first <= day <= week_ends for day in register.days.get(person, ()))

    def has_account(person: str) -> bool:
        account = register.accounts.get(person, Standing())
        return account.in_use or account.received_on is not None

    def is_rated(pupil: Person) -> bool:
        return any(register.grades.get(class_id) in RATED_GRADES for class_id in pupil.classes)

    def families() -> Iterator[bool]:
        for pupil in register.people.values():
            if pupil.pupil and (reached := [guardian for guardian in pupil.guardians if counts(guardian)]):
                yield any(active(guardian, FAMILIES_DAYS) for guardian in reached)

    teachers = [one for one, known in register.people.items() if known.position is Position.TEACHER and counts(one)]
    pupils = [one for one, known in register.people.items() if known.pupil and is_rated(known) and has_account(one) and counts(one)]
    return Groups(
        _group(active(one, TEACHERS_DAYS) >= TEACHERS_ACTIVE_DAYS for one in teachers),
        _group(families()),
        _group(active(one, PUPILS_DAYS) > 0 for one in pupils),
    )


def _group(active: Iterator[bool]) -> Group:
    found = list(active)
    return Group(sum(found), len(found))


# ---- One school's ratings ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Rate:
    """Rate the week that ended on this Sunday."""

    week_ends: date
    groups: Groups


def decide(command: Rate, rated: date | None) -> Sequence[Event]:
    """A week is rated once. Only a group of five or more counts; where there is none, nothing is rated.

    Where one group alone counts the score is its share: then nothing is rated, either, if that singles anybody out.
    """
    teachers, families, pupils = command.groups
    weights = ((TEACHERS_WEIGHT, teachers), (FAMILIES_WEIGHT, families), (PUPILS_WEIGHT, pupils))
    counted = [(weight, group) for weight, group in weights if group.counts]
    if not counted or (rated is not None and command.week_ends <= rated):
        return []
    if len(counted) == 1 and counted[0][1].singles_out:
        return []
    score = sum(weight * group.share for weight, group in counted) * 100 / sum(weight for weight, _ in counted)
    return [
        SchoolActivityRated(
            week_ends=command.week_ends, score=int(score), teachers=teachers.shown, families=families.shown, pupils=pupils.shown
        )
    ]


def evolve(rated: date | None, event: Event) -> date | None:
    match event:
        case SchoolActivityRated():
            return event.week_ends
        case _:
            raise TypeError(f"{event.type} is no event of a school's ratings")


RATINGS: Decider[Rate, date | None] = Decider("activity", None, decide, evolve)
"""The weekly ratings of one school; a stream's id is the school's. The state is the last week that was rated."""
