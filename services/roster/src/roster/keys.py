"""The keys of people's details, kept apart from what they open: a backup of the vault tells nothing of whom the key was destroyed since.

A key is wrapped by the instance's master key. It is made last before what it seals is committed, and destroyed last, so that nothing is
ever sealed under a key that is not there; a key that opens nothing does no harm.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from sqlalchemy import Column, LargeBinary, MetaData, Table, Text, delete, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL

from eventkit.among import among
from eventkit.database import Apart
from eventkit.migrations import Migrations

SCHEMA = "keys"

metadata = MetaData(schema=SCHEMA)

key_table = Table("person_key", metadata, Column("person", Text, primary_key=True), Column("key", LargeBinary, nullable=False))

_AT_A_TIME = 500


MIGRATIONS = Migrations("roster", "migrations/keys", SCHEMA)


class Keys:
    """People's wrapped keys, by person."""

    def __init__(self, database_url: str | URL) -> None:
        self.database = Apart(database_url, "roster", SCHEMA, metadata, MIGRATIONS)

    def of(self, people: Collection[str]) -> dict[str, bytes]:
        """The keys of those of the people who have one."""
        wanted = list(people)
        found: dict[str, bytes] = {}
        if not wanted:
            return found
        with self.database.reading() as connection:
            for start in range(0, len(wanted), _AT_A_TIME):
                some = select(key_table).where(among(key_table.c.person, wanted[start : start + _AT_A_TIME]))
                found |= {row.person: bytes(row.key) for row in connection.execute(some)}
        return found

    def keep(self, new: Mapping[str, bytes]) -> dict[str, bytes]:
        """Keeps new keys for good; answers each person's, which is an older one where somebody had one before."""
        with self.database.writing() as connection:
            insert = sqlite.insert if self.database.is_sqlite else postgresql.insert
            rows = [{"person": person, "key": key} for person, key in new.items()]
            counted = connection.execute(insert(key_table).on_conflict_do_nothing(), rows, execution_options={"preserve_rowcount": True})
        return dict(new) if counted.rowcount == len(rows) else self.of(new)

    def destroy(self, people: Collection[str]) -> None:
        """Destroys keys, and leaves nothing of them in the file."""
        wanted = list(people)
        with self.database.writing() as connection:
            for start in range(0, len(wanted), _AT_A_TIME):
                connection.execute(delete(key_table).where(key_table.c.person.in_(wanted[start : start + _AT_A_TIME])))
        self.database.scrub()

    def close(self) -> None:
        self.database.close()
