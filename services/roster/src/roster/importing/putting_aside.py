"""A row that is put aside, as it is kept until somebody has compared it: as it was read, in words that are read again."""

from __future__ import annotations

import json

from contracts.consent import SubjectKind
from roster.files import Departure, Place, PupilRow, StaffRow

Aside = PupilRow | StaffRow | Departure

_LABELS = ("class_label", "homeroom")


def as_json(row: Aside) -> str:
    """What `from_json` makes the row of again. It holds personal data."""
    if isinstance(row, Departure):
        of = {"of": row.of, "external_id": row.external_id, "class_id": row.class_id}
        return json.dumps({**of, "place": [row.place.file, row.place.sheet, row.place.row]}, ensure_ascii=False)
    values = row.model_dump(mode="json", exclude_defaults=True)
    # A class is read as people write it.
    labels = {field: str(label) for field in _LABELS if (label := getattr(row, field, None)) is not None}
    return json.dumps({**values, **labels}, ensure_ascii=False)


def from_json(text: str) -> Aside:
    values = json.loads(text)
    if "of" in values:
        return Departure(Place(*values["place"]), values["of"], values["external_id"], values["class_id"])
    return (PupilRow if "born_on" in values else StaffRow).model_validate(values)


def kind_of(row: Aside) -> SubjectKind:
    """What the person of a row is that is none of a departure."""
    return SubjectKind.PUPIL if isinstance(row, PupilRow) else SubjectKind.STAFF
