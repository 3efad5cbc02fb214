"""What notifier forgets with a person: the messages to the person, and that there are any to write. Addresses it never kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import MetaData

from contracts.erasure import DataCategory, NotifierDataErased
from eventkit.erasure import Forgotten, Holder, Write, delete_rows, erased, tables_of_people

ERASED = erased(NotifierDataErased)


class Recipients(Holder):
    """The rows of every private table that has a `recipient` or a `person`."""

    def __init__(self, *private: MetaData) -> None:
        self._tables = tables_of_people(*private)

    def destroy(self, write: Write, people: Sequence[Forgotten]) -> Mapping[DataCategory, int]:
        return {DataCategory.MESSAGES: sum(delete_rows(write, table, people) for table in self._tables)}
