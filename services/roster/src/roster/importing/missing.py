"""Who is missing from a file that is declared to be a whole list, and so leaves (DOMAIN 4). From any other file nobody is missing.

A list that is cut off, filtered or another school's would send a whole school away, and a leaving starts the erasure of a person's data. So
beyond one in twenty of a kind somebody confirms the number, and a list of which a row cannot be read or told apart is not whole.
"""

from __future__ import annotations

from contracts.consent import SubjectKind
from contracts.roster import ImportRoster, ReviewReason
from eventkit.decider import Refused
from roster.book import Pages
from roster.files import PupilRow, RosterFile, StaffRow
from roster.files.findings import COMING_YEAR
from roster.importing.plan import Leaving, Plan, details_in
from roster.importing.planning import OTHER_PERSON

_ONE_IN = 20
_TABLES = {"pupils": SubjectKind.PUPIL, "staff": SubjectKind.STAFF}
_WORDS = {SubjectKind.PUPIL: "pupils", SubjectKind.STAFF: "members of staff"}


def with_leaving(plan: Plan, file: RosterFile, pages: Pages, request: ImportRoster) -> Plan:
    """The plan, and who leaves by it.

    Raises Refused `list.not-whole`, `list.too-many-missing` or `list.other-missing`; then nothing of the file is entered.
    """
    kinds = {_TABLES[table.kind]: table.kind for table in file.detected if table.kind in _TABLES}
    tables = {(table.file, table.sheet) for table in file.detected if table.kind in _TABLES}
    # Of a person in an export several files speak, and a wrong row of any may keep the person out.
    if any((error.file, error.sheet) in tables or file.format == "oneroster" for error in file.errors):
        text = "Rows of this list cannot be read, so who is missing from it cannot be told."
        raise Refused("list.not-whole", f"{text} Import it without --full-list, correct what is rejected, and then the whole.")
    # Whose IDs were given to others is in the list as somebody, and perhaps under no ID that is known.
    if any(error.code == OTHER_PERSON for error in plan.rejected):
        text = "Rows of this list have the IDs of others, so who is missing from it cannot be told."
        raise Refused("list.not-whole", f"{text} Import it without --full-list, correct what is rejected, and then the whole.")
    # A school in the middle of its roll-over: they are here, and in no class that was read.
    if any(warning.code == COMING_YEAR for warning in file.warnings):
        text = "Pupils of this list are in classes of a coming school year, which was not read, so who is missing cannot be told."
        raise Refused("list.not-whole", f"{text} Import it without --full-list, and a whole list once that year has begun.")
    if not kinds:
        raise Refused("list.not-whole", "The file lists neither pupils nor staff. Import it without --full-list.")
    leaving: list[Leaving] = []
    too_many: list[str] = []
    for kind in kinds:
        here = pages.active(kind)
        listed = _listed(file.pupils if kind is SubjectKind.PUPIL else file.staff, kind, pages, plan)
        missing = [person for person in here if person not in listed]
        leaving += [Leaving(person=person, kind=kind) for person in missing]
        if len(missing) * _ONE_IN > len(here):
            too_many.append(f"{len(missing)} of {len(here)} {_WORDS[kind]}")
    # Where nobody is missing there is nothing to confirm: the same was said before, and is done.
    if leaving and request.missing not in (None, len(leaving)):
        text = f"{len(leaving)} are missing from the list, not {request.missing}. Look at the preview (--dry-run) again."
        raise Refused("list.other-missing", text)
    if too_many and request.missing is None:
        text = f"{' and '.join(too_many)} are missing from the list, more than one in {_ONE_IN}: is it whole?"
        raise Refused("list.too-many-missing", f"{text} If they have left, confirm that with --missing {len(leaving)}.")
    told = tuple(f"{one.person} is missing from the list, and leaves (row.missing)" for one in leaving)
    return plan.model_copy(update={"leaving": tuple(leaving), "warnings": (*plan.warnings, *told)})


def _listed(rows: tuple[PupilRow, ...] | tuple[StaffRow, ...], kind: SubjectKind, pages: Pages, plan: Plan) -> set[str]:
    """Who stands in the list: by ID, or perhaps, as long as nobody has compared the rows that are put aside."""
    aside = {one.place for one in plan.put_aside if one.reason is ReviewReason.ALIKE}
    found = {person for row in rows if (person := pages.by_external_id(kind, row.external_id)) is not None}
    return found.union(*(pages.alike(details_in(row)) for row in rows if row.place in aside))
