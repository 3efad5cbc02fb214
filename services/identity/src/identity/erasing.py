"""What identity forgets with a person: whatever stands beside its log under the person's id. The account is closed for good."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date

from sqlalchemy import MetaData

from contracts.erasure import DataCategory, IdentityDataErased
from eventkit.erasure import Forgotten, Holder, Write, delete_rows, erased, tables_of_people
from eventkit.store import Transaction
from identity.activity import activity_table
from identity.domain.account import ACCOUNTS, Block

ERASED = erased(IdentityDataErased)


class Accounts(Holder):
    """The rows of every private table that has a `person`: one that is added later is among them."""

    def __init__(self, *private: MetaData) -> None:
        self._tables = tables_of_people(*private)

    def close(self, tx: Transaction, person: str, school: str, on: date) -> None:
        tx.decide(ACCOUNTS, person, Block("erased"), school=school, happened_on=on)

    def destroy(self, write: Write, people: Sequence[Forgotten]) -> Mapping[DataCategory, int]:
        found = Counter[DataCategory]()
        for table in self._tables:
            category = DataCategory.ACTIVITY if table is activity_table else DataCategory.CREDENTIALS
            found[category] += delete_rows(write, table, people)
        return found
