"""Writes the OneRoster samples: two classes of the sample school, as a program that keeps schools would export them, in both versions.

    python services/roster/samples/oneroster.py [FOLDER]

A second run writes the same bytes. Beside homerooms there are groups for lessons, a year of four terms, and a file that roster does not
read.
"""

import csv
import io
import sys
from collections.abc import Iterable
from pathlib import Path

from generate import SEED
from names import SUBJECTS
from school import YEAR, Adult, Child, School

LETTERS = "АБ"
GRADE = 5
PUPILS = 12
SCHOOL = "org-school"
SEXES = {"м": "male", "ж": "female"}
MOTHERS = ("мать", "бабушка")

Table = list[list[str]]

USERS_1_1 = [
    "sourcedId", "status", "dateLastModified", "enabledUser", "orgSourcedIds", "role", "username", "userIds", "givenName", "familyName",
    "middleName", "identifier", "email", "sms", "phone", "agentSourcedIds", "grades", "password",
]  # fmt: skip
USERS_1_2 = [
    "sourcedId", "status", "dateLastModified", "enabledUser", "username", "userIds", "givenName", "familyName", "middleName", "identifier",
    "email", "sms", "phone", "agentSourcedIds", "grades", "password", "userMasterIdentifier", "resourceSourcedIds", "preferredGivenName",
    "preferredMiddleName", "preferredFamilyName", "primaryOrgSourcedId", "pronouns",
]  # fmt: skip
MANIFEST = [
    "academicSessions", "categories", "classes", "classResources", "courses", "courseResources", "demographics", "enrollments", "lineItems",
    "orgs", "resources", "results", "users",
]  # fmt: skip


def table(titles: Iterable[str], rows: Iterable[dict[str, str]]) -> Table:
    titles = list(titles)
    return [titles, *([row.get(title, "") for title in titles] for row in rows)]


def with_changes(titles: str) -> list[str]:
    """The columns of a file: each has `status` and `dateLastModified`, which are blank in bulk."""
    return ["sourcedId", "status", "dateLastModified", *titles.split()]


def export(version: str) -> dict[str, Table]:
    school = School(SEED)
    labels = [f"{GRADE}{letter}" for letter in LETTERS]
    children = [child for label in labels for child in [one for one in school.in_time if one.label == label][:PUPILS]]
    staff = [member for member in school.staff if member.homeroom in labels or member.role in ("Директор", "Учитель")][:6]
    adults = list({adult.id: adult for child in children for adult in school.guardians_of(child)}.values())

    users: list[dict[str, str]] = []
    roles: list[dict[str, str]] = []
    demographics: list[dict[str, str]] = []
    enrollments: list[dict[str, str]] = []

    def user(person: Adult | Child, role: str, **more: str) -> None:
        named = {"sourcedId": person.id, "givenName": person.name, "familyName": person.surname, "middleName": person.patronymic or ""}
        reached = {"username": f"u{len(users) + 1}", "email": person.email or "", "identifier": person.id}
        placed = {"orgSourcedIds": SCHOOL, "role": role, "primaryOrgSourcedId": SCHOOL, "enabledUser": "true"}
        users.append({**named, **reached, **placed, **more})
        place = {"userSourcedId": person.id, "roleType": "primary", "role": role, "orgSourcedId": SCHOOL}
        roles.append({"sourcedId": f"role-{len(roles) + 1}", **place})

    def enrol(klass: str, person: str, role: str, primary: str = "") -> None:
        begins = f"{YEAR}-09-01" if role == "student" else f"{YEAR}-08-25"
        ends = f"{YEAR + 1}-05-31"
        place = {"classSourcedId": klass, "schoolSourcedId": SCHOOL, "userSourcedId": person, "role": role, "primary": primary}
        enrollments.append({"sourcedId": f"enrollment-{len(enrollments) + 1}", **place, "beginDate": begins, "endDate": ends})

    for member in staff:
        is_director = member.role == "Директор"
        leading = "principal" if version == "1.2" else "administrator"
        user(member.person, leading if is_director else "teacher", phone=member.person.phone or "")
        if member.homeroom:
            enrol(f"class-{member.homeroom}", member.person.id, "teacher", "true")
            enrol(f"lessons-{member.homeroom}", member.person.id, "teacher", "true")
    for child in children:
        user(child, "student", agentSourcedIds=",".join(adult.id for adult in school.guardians_of(child)), grades=f"{child.grade:02}")
        demographics.append({"sourcedId": child.id, "birthDate": child.born_on.isoformat(), "sex": SEXES[child.sex]})
        enrol(f"class-{child.label}", child.id, "student", "false")
        enrol(f"lessons-{child.label}", child.id, "student", "false")
    for adult in adults:
        role = "parent" if adult.kinship in ("мать", "отец") else "guardian" if adult.kinship in ("опекун", "усыновитель") else "relative"
        user(adult, role, phone=adult.phone or "")
        demographics.append({"sourcedId": adult.id, "sex": "female" if adult.kinship in MOTHERS else "male"})

    classes: list[dict[str, str]] = []
    for label in labels:
        usual = {"grades": f"{GRADE:02}", "schoolSourcedId": SCHOOL, "termSourcedIds": "year"}
        classes.append({**usual, "sourcedId": f"class-{label}", "title": f"{label[:-1]} «{label[-1]}»", "classType": "homeroom"})
        lessons = {"title": f"{SUBJECTS[1][0]} {label}", "classType": "scheduled", "courseSourcedId": "course-1"}
        classes.append({**usual, "sourcedId": f"lessons-{label}", **lessons, "termSourcedIds": "term-1,term-2,term-3,term-4"})
    ends = [f"{YEAR}-10-31", f"{YEAR}-12-31", f"{YEAR + 1}-03-19", f"{YEAR + 1}-05-31"]
    begins = [f"{YEAR}-09-01", f"{YEAR}-11-09", f"{YEAR + 1}-01-11", f"{YEAR + 1}-03-28"]
    year = {"sourcedId": "year", "title": f"{YEAR}/{YEAR + 1}", "type": "schoolYear", "startDate": begins[0], "endDate": ends[-1]}
    terms = [
        {"sourcedId": f"term-{number}", "title": f"{number} четверть", "type": "term", "startDate": first, "endDate": last}
        for number, (first, last) in enumerate(zip(begins, ends, strict=True), 1)
    ]
    sessions = [{**one, "schoolYear": str(YEAR + 1)} for one in (year, *({**term, "parentSourcedId": "year"} for term in terms))]
    orgs = [
        {"sourcedId": "org-district", "name": "Городской округ", "type": "district"},
        {"sourcedId": SCHOOL, "name": "Школа № 7", "type": "school", "identifier": "7", "parentSourcedId": "org-district"},
    ]
    courses = [{"sourcedId": "course-1", "title": SUBJECTS[1][0], "courseCode": "М", "grades": f"{GRADE:02}", "orgSourcedId": SCHOOL}]

    class_columns = "title grades courseSourcedId classCode classType location schoolSourcedId termSourcedIds subjects subjectCodes periods"
    files = {
        "academicSessions": table(with_changes("title type startDate endDate parentSourcedId schoolYear"), sessions),
        "classes": table(with_changes(class_columns), classes),
        "courses": table(with_changes("schoolYearSourcedId title courseCode grades orgSourcedId subjects subjectCodes"), courses),
        "demographics": table(with_changes("birthDate sex"), demographics),
        "enrollments": table(with_changes("classSourcedId schoolSourcedId userSourcedId role primary beginDate endDate"), enrollments),
        "orgs": table(with_changes("name type identifier parentSourcedId"), orgs),
        "users": table(USERS_1_2 if version == "1.2" else USERS_1_1, users),
    }
    if version == "1.2":
        columns = "userSourcedId roleType role beginDate endDate orgSourcedId userProfileSourcedId"
        files["roles"] = table(with_changes(columns), roles)
    names = sorted({*MANIFEST, *files, *(("userProfiles",) if version == "1.2" else ())})
    manifest = [["propertyName", "value"], ["manifest.version", "1.0"], ["oneroster.version", version]]
    manifest += [[f"file.{name}", "bulk" if name in files else "absent"] for name in names]
    return {"manifest": [*manifest, ["source.systemName", "Sample"], ["source.systemCode", "sample"]], **files}


def generate(folder: Path) -> None:
    for version in ("1.1", "1.2"):
        export_folder = folder / f"oneroster-{version}"
        export_folder.mkdir(exist_ok=True)
        for name, rows in export(version).items():
            text = io.StringIO(newline="")
            csv.writer(text).writerows(rows)
            (export_folder / f"{name}.csv").write_bytes(text.getvalue().encode())


if __name__ == "__main__":
    generate(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
