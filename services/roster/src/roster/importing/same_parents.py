"""Which parent without an ID has the name and the e-mail of another: told, and never taken for that one.

Siblings share a guardian and an e-mail (DOMAIN 4), and without an ID in both rows the guardian becomes two people. So may a mother and a
grandmother of one name be who share a mailbox, so somebody has to say it: with an ID.
"""

from __future__ import annotations

from collections.abc import Mapping

from contracts.consent import SubjectKind
from roster.book import Pages, may_be_one
from roster.files import GuardianRow, Place, RosterFile
from roster.files.words import folded
from roster.importing.plan import details_in

_Key = tuple[str, str, str]


class SameParents:
    """Compares the guardians of a file with each other, and with those who are entered."""

    def __init__(self, file: RosterFile, pages: Pages) -> None:
        self._pages = pages
        self._stated: dict[_Key, list[tuple[Place, GuardianRow]]] = {}
        for row in file.pupils:
            for guardian in row.guardians:
                if guardian.email is not None:
                    self._stated.setdefault(_key(details_in(guardian)), []).append((row.place, guardian))
        self._entered: dict[_Key, list[str]] | None = None

    def in_file(self, place: Place, guardian: GuardianRow) -> bool:
        """Whether another child's row has such a parent, who is not the same by the number of the consent already."""
        if guardian.email is None:
            return False
        details = details_in(guardian)
        return any(
            other != place
            and may_be_one(details_in(one), details)
            and (one.consent_number is None or one.consent_number != guardian.consent_number)
            for other, one in self._stated[_key(details)]
        )

    def entered(self, guardian: GuardianRow) -> str | None:
        """Who is here as a guardian of this name and with this e-mail."""
        if guardian.email is None:
            return None
        if self._entered is None:
            self._entered = self._by_key()
        details = details_in(guardian)
        known = self._entered.get(_key(details), [])
        return next((person for person in known if may_be_one(self._pages.details(person) or {}, details)), None)

    def _by_key(self) -> dict[_Key, list[str]]:
        people = self._pages.active(SubjectKind.GUARDIAN)
        self._pages.expect_details(people)
        found: dict[_Key, list[str]] = {}
        for person in people:
            details = self._pages.details(person) or {}
            if "email" in details:
                found.setdefault(_key(details), []).append(person)
        return found


def _key(details: Mapping[str, str]) -> _Key:
    return (folded(details.get("last_name", "")), folded(details.get("first_name", "")), folded(details.get("email", "")))
