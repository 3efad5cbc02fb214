"""The files and columns of OneRoster 1.1 and 1.2 that are read here, and those that may stand beside them and are not.

Names are compared without case: exporting programs differ in it. The two versions differ where a role stands, in users.csv or roles.csv.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Columns:
    """`needed` must be there, `read` are used where they are; `passed_over` belong to the standard and say nothing that is used."""

    needed: frozenset[str]
    read: frozenset[str]
    passed_over: frozenset[str]

    def __init__(self, needed: str, read: str = "", passed_over: str = "") -> None:
        object.__setattr__(self, "needed", frozenset(needed.split()))
        object.__setattr__(self, "read", frozenset(needed.split()) | frozenset(read.split()) | {"status"})
        object.__setattr__(self, "passed_over", frozenset(passed_over.split()) | {"dateLastModified"})


KINSHIP = "metadata.kinship"
"""Our own column of users.csv: the standard leaves such names to whoever exports. It says what a guardian's role and sex do not."""

FILES = {
    "orgs": Columns("sourcedId name type", "identifier", "parentSourcedId"),
    "academicSessions": Columns("sourcedId", "startDate endDate schoolYear parentSourcedId", "title type"),
    "classes": Columns(
        "sourcedId title schoolSourcedId",
        "grades classCode classType termSourcedIds",
        "courseSourcedId location subjects subjectCodes periods",
    ),
    "users": Columns(
        "sourcedId givenName familyName",
        f"enabledUser orgSourcedIds primaryOrgSourcedId role middleName email sms phone agentSourcedIds {KINSHIP}",
        "username userIds userId identifier grades grade password userMasterIdentifier resourceSourcedIds preferredGivenName"
        " preferredMiddleName preferredFamilyName pronouns",
    ),
    "enrollments": Columns("classSourcedId userSourcedId role", "sourcedId schoolSourcedId primary beginDate endDate"),
    # The person stands under either name.
    "demographics": Columns(
        "birthDate",
        "sourcedId userSourcedId sex",
        "americanIndianOrAlaskaNative asian blackOrAfricanAmerican nativeHawaiianOrOtherPacificIslander white demographicRaceTwoOrMoreRaces"
        " hispanicOrLatinoEthnicity countryOfBirthCode stateOfBirthAbbreviation cityOfBirth publicSchoolResidenceStatus",
    ),
    "roles": Columns("userSourcedId role", "sourcedId roleType beginDate endDate orgSourcedId", "userProfileSourcedId"),
}

OLD_NAMES = {"agents": "agentSourcedIds", "grade": "grades", "middlenames": "middleName", "termsourcedid": "termSourcedIds"}
"""What drafts of 1.1 called a column, without case: programs write it still."""

REQUIRED = {
    "1.1": ("orgs", "academicSessions", "classes", "users", "enrollments"),
    "1.2": ("orgs", "academicSessions", "classes", "users", "enrollments", "roles"),
}
"""By version: the files without which no school can be entered."""

_UNREAD = """
    categories classResources courses courseResources lineItems lineItemLearningObjectiveIds lineItemScoreScales resources results
    resultLearningObjectiveIds resultScoreScales scoreScales userProfiles userResources
"""
STANDARD = {name.casefold() for name in (*FILES, *_UNREAD.split())}
"""The names of all files that an export may have, without case."""

READ = {"1.1": (*REQUIRED["1.1"], "demographics"), "1.2": (*REQUIRED["1.2"], "demographics")}
