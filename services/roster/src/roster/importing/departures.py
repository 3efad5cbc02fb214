"""What an export of changes wants deleted. Nobody is sent away by a file: each row is told of, with the call that would do it.

A file may come from another school, from a mistake, or from a program that deletes whoever it moves; a leaving starts the erasure of what
is known of a person. So somebody of the school looks, and says it (docs/decisions/oneroster.md).
"""

from __future__ import annotations

import json

from contracts.consent import SubjectKind
from contracts.roster import ASSIGN_CLASS_TEACHER, CLOSE_CLASS, DISMISS_STAFF, PUPIL_LEFT, UNLINK_GUARDIAN
from roster.book import Pages
from roster.files import Departure


def settling(departure: Departure, pages: Pages) -> str | None:
    """What is said of a row that is to be deleted, with the call that settles it; None where it is done already."""
    match departure.of:
        case "classes":
            return _class(departure, pages)
        case "students":
            return _pupil(departure, pages)
        case "teachers":
            return _teacher(departure, pages)
        case "users":
            found = (_pupil(departure, pages), _member(departure, pages), _guardian(departure, pages))
            return "; ".join(text for text in found if text is not None) or None


def _pupil(departure: Departure, pages: Pages) -> str | None:
    person = pages.by_external_id(SubjectKind.PUPIL, departure.external_id)
    row = pages.people.get(person) if person is not None else None
    if row is None or not row["active"] or departure.class_id not in (None, row["class_id"], row["listed_in"]):
        return None
    return f"the pupil stays; if the pupil has left, say {_call(PUPIL_LEFT.name, pages, pupil=row['person'])}"


def _member(departure: Departure, pages: Pages) -> str | None:
    person = pages.by_external_id(SubjectKind.STAFF, departure.external_id)
    row = pages.people.get(person) if person is not None else None
    if row is None or not row["active"]:
        return None
    return f"the member of staff stays; if the person has left, say {_call(DISMISS_STAFF.name, pages, person=row['person'])}"


def _guardian(departure: Departure, pages: Pages) -> str | None:
    person = pages.by_external_id(SubjectKind.GUARDIAN, departure.external_id)
    pupils = pages.pupils_with(person) if person is not None else []
    calls = [_call(UNLINK_GUARDIAN.name, pages, pupil=pupil, guardian=person) for pupil in pupils]
    return f"the guardian stays; if this is no guardian any more, say {' and '.join(calls)}" if calls else None


def _teacher(departure: Departure, pages: Pages) -> str | None:
    person = pages.by_external_id(SubjectKind.STAFF, departure.external_id)
    row = pages.classes.get(departure.class_id) if departure.class_id is not None else None
    if person is None or row is None or row["school"] != pages.school or row["teacher"] != person:
        return None
    call = _call(ASSIGN_CLASS_TEACHER.name, pages, class_id=row["class_id"], person="…")
    return f"the class teacher stays; if there is another one, say {call}"


def _class(departure: Departure, pages: Pages) -> str | None:
    class_id = pages.export_ids()("class", departure.external_id) or departure.external_id
    if class_id not in pages.class_ids().values():
        return None
    return f"the class stays; if it is no more, say {_call(CLOSE_CLASS.name, pages, class_id=class_id)}"


def _call(name: str, pages: Pages, **body: str | None) -> str:
    return f"vekha call {name} '{json.dumps({'school': pages.school, **body}, ensure_ascii=False)}'"
