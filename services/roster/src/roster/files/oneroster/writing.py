"""Writes a school's roster as a OneRoster export, bulk, of version 1.1 or 1.2.

Each class is a homeroom with a course of its own, as the standard wants a course for each class. What OneRoster has no place for (СНИЛС,
the order, the shift, the position) is left out; read again here, what is left out stays as it is. Kinship stands in a column of our own.
"""

import csv
import io
import zipfile
from collections import Counter
from collections.abc import Mapping
from datetime import date

from roster.files.cells import guarded, phone_written, school_year_on
from roster.files.exported import Exported, ExportedGuardian, ExportedPerson

from .columns import KINSHIP

Rows = list[dict[str, str]]

_CHANGES = "sourcedId status dateLastModified"
_USER_ENDS = "middleName identifier email sms phone agentSourcedIds grades password"
_TITLES: Mapping[str, str] = {
    "academicSessions": f"{_CHANGES} title type startDate endDate parentSourcedId schoolYear",
    "classes": f"{_CHANGES} title grades courseSourcedId classCode classType location schoolSourcedId termSourcedIds subjects subjectCodes"
    " periods",
    "courses": f"{_CHANGES} schoolYearSourcedId title courseCode grades orgSourcedId subjects subjectCodes",
    "demographics": f"{_CHANGES} birthDate sex americanIndianOrAlaskaNative asian blackOrAfricanAmerican"
    " nativeHawaiianOrOtherPacificIslander white demographicRaceTwoOrMoreRaces hispanicOrLatinoEthnicity countryOfBirthCode"
    " stateOfBirthAbbreviation cityOfBirth publicSchoolResidenceStatus",
    "enrollments": f"{_CHANGES} classSourcedId schoolSourcedId userSourcedId role primary beginDate endDate",
    "orgs": f"{_CHANGES} name type identifier parentSourcedId",
}
_OF_VERSION: Mapping[str, Mapping[str, str]] = {
    "1.1": {"users": f"{_CHANGES} enabledUser orgSourcedIds role username userIds givenName familyName {_USER_ENDS} {KINSHIP}"},
    "1.2": {
        "users": f"{_CHANGES} enabledUser username userIds givenName familyName {_USER_ENDS} userMasterIdentifier resourceSourcedIds"
        f" preferredGivenName preferredMiddleName preferredFamilyName primaryOrgSourcedId pronouns {KINSHIP}",
        "roles": f"{_CHANGES} userSourcedId roleType role beginDate endDate orgSourcedId userProfileSourcedId",
    },
}
_ABSENT = {
    "1.1": "categories classResources courseResources lineItems resources results",
    "1.2": "categories classResources courseResources lineItems lineItemLearningObjectiveIds lineItemScoreScales resources results"
    " resultLearningObjectiveIds resultScoreScales scoreScales userProfiles userResources",
}
_STAFF = {
    "1.1": {"director": "administrator", "administrator": "administrator", "teacher": "teacher", "other": "aide"},
    "1.2": {"director": "principal", "administrator": "siteAdministrator", "teacher": "teacher", "other": "aide"},
}
_PARENTS = {"mother": "female", "father": "male"}


def write_bundle(roster: Exported, version: str, today: date) -> bytes:
    """A zip archive with its manifest."""
    titles = {**_TITLES, **_OF_VERSION[version]}
    rows = rows_of(roster, version, today)
    present = {kind: [columns.split(), *([row.get(title, "") for title in columns.split()] for row in rows[kind])]
               for kind, columns in titles.items()}  # fmt: skip
    manifest = [["propertyName", "value"], ["manifest.version", "1.0"], ["oneroster.version", version]]
    manifest += [[f"file.{kind}", "bulk" if kind in present else "absent"] for kind in sorted({*present, *_ABSENT[version].split()})]
    manifest += [["source.systemName", "Vekha"], ["source.systemCode", "vekha"]]
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for kind, table in {"manifest": manifest, **present}.items():
            text = io.StringIO(newline="")
            csv.writer(text).writerows([guarded(cell) for cell in row] for row in table)
            # Without a byte-order mark, as the standard's other readers expect it.
            archive.writestr(zipfile.ZipInfo(f"{kind}.csv"), text.getvalue().encode(), zipfile.ZIP_DEFLATED)
    return content.getvalue()


def rows_of(roster: Exported, version: str, today: date) -> Mapping[str, Rows]:
    """The rows of each file, a cell by its column."""
    return _Writing(roster, version, today).rows()


class _Writing:
    def __init__(self, roster: Exported, version: str, today: date) -> None:
        self._roster = roster
        self._version = version
        self._today = today
        self._ids = _sourced_ids(roster)
        self._rows: dict[str, Rows] = {kind: [] for kind in (*_TITLES, *_OF_VERSION[version])}

    def rows(self) -> Mapping[str, Rows]:
        roster, put = self._roster, self._rows
        put["orgs"].append({"sourcedId": roster.school, "name": roster.name, "type": "school", "identifier": roster.school})
        for year in sorted({one.school_year for one in roster.classes} or {school_year_on(self._today)}):
            days = {"startDate": f"{year}-09-01", "endDate": f"{year + 1}-08-31", "schoolYear": str(year + 1)}
            put["academicSessions"].append({"sourcedId": f"year-{year}", "title": f"{year}/{year + 1}", "type": "schoolYear", **days})
        self._classes()
        for member in roster.staff:
            self._user(member, _STAFF[self._version].get(member.role, "aide"), hired_on=member.hired_on)
        grades = {one.class_id: f"{one.label.grade:02}" for one in roster.classes}
        guardians: dict[str, ExportedGuardian] = {}
        for pupil in roster.pupils:
            guardians |= {guardian.person: guardian for guardian in pupil.guardians if guardian.person not in guardians}
            agents = ",".join(self._ids[guardian.person] for guardian in pupil.guardians)
            self._user(pupil, "student", agentSourcedIds=agents, grades=grades[pupil.class_id])
            sex = pupil.details.get("sex", "")
            self._demographics(pupil, birthDate=pupil.details.get("birth_date", ""), sex=sex)
            self._enrol(pupil.class_id, pupil, "student", "false", pupil.enrolled_on)
        for guardian in guardians.values():
            self._user(guardian, _guardian_role(guardian), kinship=guardian.kinship)
            if guardian.kinship in _PARENTS:
                self._demographics(guardian, sex=_PARENTS[guardian.kinship])
        return self._rows

    def _classes(self) -> None:
        staff = {member.person: member for member in self._roster.staff}
        for one in self._roster.classes:
            grade = f"{one.label.grade:02}"
            course = f"course-{one.class_id}"
            belongs = {"schoolSourcedId": self._roster.school, "termSourcedIds": f"year-{one.school_year}", "courseSourcedId": course}
            self._rows["classes"].append(
                {"sourcedId": one.class_id, "title": str(one.label), "grades": grade, "classType": "homeroom", **belongs}
            )
            self._rows["courses"].append(
                {
                    "sourcedId": course,
                    "schoolYearSourcedId": f"year-{one.school_year}",
                    "title": str(one.label),
                    "grades": grade,
                    "orgSourcedId": self._roster.school,
                }
            )
            if one.teacher in staff:
                self._enrol(one.class_id, staff[one.teacher], "teacher", "true", None)

    def _enrol(self, class_id: str, person: ExportedPerson, role: str, primary: str, begins: date | None) -> None:
        user = self._ids[person.person]
        row = {"sourcedId": f"{class_id}.{person.person}", "classSourcedId": class_id, "userSourcedId": user, "role": role}
        day = "" if begins is None else begins.isoformat()
        self._rows["enrollments"].append({**row, "schoolSourcedId": self._roster.school, "primary": primary, "beginDate": day})

    def _demographics(self, person: ExportedPerson, **cells: str) -> None:
        self._rows["demographics"].append({"sourcedId": self._ids[person.person], **cells})

    def _user(self, person: ExportedPerson, role: str, *, hired_on: date | None = None, kinship: str = "", **cells: str) -> None:
        details, user = person.details, self._ids[person.person]
        named = {"givenName": details.get("first_name", ""), "familyName": details.get("last_name", "")}
        row = {"sourcedId": user, "enabledUser": "true", "username": user, "identifier": person.external_id, **named, **cells}
        row[KINSHIP] = kinship
        row |= {
            "middleName": details.get("patronymic", ""),
            "email": details.get("email", ""),
            "phone": phone_written(details.get("phone", "")),
        }
        here = {"orgSourcedIds": self._roster.school, "role": role, "primaryOrgSourcedId": self._roster.school}
        self._rows["users"].append({**row, **here})
        if self._version == "1.2":
            begins = "" if hired_on is None else hired_on.isoformat()
            place = {"userSourcedId": user, "roleType": "primary", "role": role, "orgSourcedId": self._roster.school}
            self._rows["roles"].append({"sourcedId": f"role-{person.person}", "beginDate": begins, **place})


def _guardian_role(guardian: ExportedGuardian) -> str:
    if not guardian.legal_representative:
        return "relative"
    return "guardian" if guardian.kinship == "guardian" else "parent"


def _sourced_ids(roster: Exported) -> Mapping[str, str]:
    """Each person's sourcedId: the external id, where it is one person's alone and can stand in a list; else the person's own id."""
    people: dict[str, ExportedPerson] = {member.person: member for member in roster.staff}
    people |= {pupil.person: pupil for pupil in roster.pupils}
    people |= {guardian.person: guardian for pupil in roster.pupils for guardian in pupil.guardians}
    uses = Counter(person.external_id for person in people.values())
    return {
        person: one.external_id if uses[one.external_id] == 1 and "," not in one.external_id else person for person, one in people.items()
    }
