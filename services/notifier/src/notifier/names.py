"""What letters call schools and classes. Roster alone knows it: it is asked when a letter is sent, and nothing of it is kept here.

A school's name and a class's label are nobody's personal data, but events hold ids, so no projection could know a school's name. What
roster does not know any more, a class that was closed since, say, goes by its id.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from contracts.notifier import Template
from contracts.roster import CLASSES, SCHOOL, ClassesQuery, SchoolQuery
from eventkit.calls import Calls
from eventkit.decider import Refused
from notifier.domain.message import Contents


@dataclass(frozen=True)
class Names:
    """Names by id. Schools and classes have ids of their own kind each."""

    schools: Mapping[str, str] = field(default_factory=dict[str, str])
    classes: Mapping[str, str] = field(default_factory=dict[str, str])

    def school(self, school: str) -> str:
        return self.schools.get(school, school)

    def class_(self, class_id: str) -> str:
        return self.classes.get(class_id, class_id)


async def names_for(calls: Calls, school: str, template: Template, contents: Contents) -> Names:
    """The names that a letter needs: of its school and the classes in it, or of the schools in a digest."""
    if template == "daily":
        return Names({school: await school_name(calls, school)}, await _labels(calls, school) if contents.classes else {})
    listed = dict.fromkeys(one for line in contents.overdue for one in line.listed)
    with_municipality = template == "ministry-digest"
    return Names({one: await _listed_name(calls, one, with_municipality=with_municipality) for one in listed})


async def school_name(calls: Calls, school: str) -> str:
    """Raises Refused `school.unknown`."""
    return (await calls.call(SCHOOL, SchoolQuery(school=school))).reply.name


async def _listed_name(calls: Calls, school: str, *, with_municipality: bool) -> str:
    """Every municipality has a school number 1, so where several are listed each school is named with its own."""
    try:
        card = (await calls.call(SCHOOL, SchoolQuery(school=school))).reply
    except Refused as refused:
        if refused.code != "school.unknown":
            raise
        return school
    return f"{card.name} ({card.municipality})" if with_municipality else card.name


async def _labels(calls: Calls, school: str) -> dict[str, str]:
    classes = (await calls.call(CLASSES, ClassesQuery(school=school))).reply.classes
    return {card.class_id: f"{card.grade}{card.letter}" for card in classes}
