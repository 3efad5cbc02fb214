"""Which org of an export is the school, and whether the export is this school's at all.

An id tells it for sure: the school's own one, or one of an earlier export. Without one, the school's name has to be the org's, or somebody
has to say which org the school is: nobody else's pupils are to be entered because a file was mixed up.
"""

import shlex
from collections.abc import Iterable, Sequence

from roster.files.cells import tidy
from roster.files.findings import FileRefused
from roster.files.words import folded

from .bundle import Record
from .known import Known

_SCHOOL = "school"
_TOLD = 10
_NAME_CHARACTERS = 80


def school_org(records: Sequence[Record], file: str, school: str, known: Known) -> str:
    """The sourcedId of the org that the school is.

    Raises FileRefused `file.school-unknown` where nothing tells which one it is, `file.other-school` where it is another school, and
    `file.school-unconfirmed` where nothing but somebody's word can tell.
    """
    org = _chosen(records, file, school, known)
    names = {org["sourcedId"], org["identifier"]}
    if school in names:
        return org["sourcedId"]
    if names & known.other_schools:
        raise other_school(file)
    if known.confirmed == org["sourcedId"] or known.stands_for("org", org["sourcedId"]) == school:
        return org["sourcedId"]
    if known.has_an_org:
        raise other_school(file, org)
    if known.name is not None and folded(known.name) != folded(org["name"]):
        raise FileRefused(
            "file.school-unconfirmed",
            f"It is the first export of this school, and it names the school {_told(org)}, not «{known.name}».",
            _confirm(org["sourcedId"]),
            file=file,
        )
    return org["sourcedId"]


def _chosen(records: Sequence[Record], file: str, school: str, known: Known) -> Record:
    orgs = list({record["sourcedId"]: record for record in records if record["sourcedId"]}.values())
    if known.confirmed is not None:
        if found := [record for record in orgs if record["sourcedId"] == known.confirmed]:
            return found[0]
        text = f"It holds no org with the sourcedId that was confirmed. It holds {_list(orgs)}."
        raise FileRefused("file.school-unknown", text, "Confirm one of these, or choose another export.", file=file)
    schools = [record for record in orgs if record["type"].casefold() == _SCHOOL]
    if len(schools) > 1:
        schools = [record for record in schools if school in (record["sourcedId"], record["identifier"])] or [
            record for record in schools if known.stands_for("org", record["sourcedId"]) == school
        ]
    if len(schools) == 1:
        return schools[0]
    candidates = [record for record in orgs if record["type"].casefold() == _SCHOOL] or orgs
    if not candidates:
        raise FileRefused("file.school-unknown", "It holds no org.", "Export orgs too, the school among them.", file=file)
    text = f"It does not tell which org is this school. It holds {_list(candidates)}."
    only = candidates[0]["sourcedId"]
    hint = _confirm(only) if len(candidates) == 1 else "Say which one it is: `--org` and its sourcedId."
    raise FileRefused("file.school-unknown", text, hint, file=file)


def other_school(file: str, org: Record | None = None, *, are_changes: bool = False) -> FileRefused:
    """What is said of an export, or of changes, that are another school's, as the org's ids tell."""
    if are_changes:
        text = "These are changes of another school than this one."
        hint = "Choose this school's. If it is a district's file, nothing of this school has changed in it, and there is nothing to import."
        return FileRefused("file.other-school", text, hint, file=file)
    hint = "Choose this school's export. If it is this school's, write this school's ID into the identifier of its org."
    if org is not None:
        hint = f"Choose this school's export. {_confirm(org['sourcedId'])}"
    return FileRefused("file.other-school", "It is an export of another school than this one.", hint, file=file)


def _confirm(org: str) -> str:
    return f"If that is this school, confirm it: `--org {shlex.quote(tidy(org))}`."


def _list(orgs: Iterable[Record]) -> str:
    told = [_told(org) for org in orgs]
    return ", ".join(told[:_TOLD]) + (f" and {len(told) - _TOLD} more" if len(told) > _TOLD else "")


def _told(org: Record) -> str:
    name = tidy(org["name"])[:_NAME_CHARACTERS]
    return f"«{name}» ({tidy(org['type']) or 'no type'}, sourcedId {tidy(org['sourcedId'])[:_NAME_CHARACTERS]})"
