"""Makes anew, before anything else is done with the database, the likenesses that were made with the patronymic.

A likeness finds the namesakes of a row (book.py). One with the patronymic in it does not find who is written without one, so a database
that holds such is brought up to today's; what is sealed says of whom. Done twice it changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select

from eventkit.service import Service
from roster.book import LIKENESS, Books
from roster.tables import likeness_table
from roster.vault import Damaged, Sealed, vault_table

_AT_A_TIME = 500


def register(service: Service, books: Books) -> None:
    def renew() -> None:
        while True:
            with service.database.writing() as connection:
                if not renew_some(connection, books):
                    return

    service.before_answering(renew)


def renew_some(connection: Connection, books: Books) -> int:
    """Renews the likenesses of some pupils; answers of how many. Who cannot be read any more is like nobody."""
    made_otherwise = likeness_table.c.digest < LIKENESS
    people = connection.execute(select(likeness_table.c.person).where(made_otherwise).distinct().limit(_AT_A_TIME)).scalars().all()
    if not people:
        return 0
    found = connection.execute(select(vault_table).where(vault_table.c.person.in_(people))).all()
    connection.execute(delete(likeness_table).where(made_otherwise, likeness_table.c.person.in_(people)))
    known = select(likeness_table.c.digest, likeness_table.c.person).where(likeness_table.c.person.in_(people))
    there = {(row.digest, row.person) for row in connection.execute(known)}
    new = {(digest, person) for person, digest in _likenesses(books, found)} - there
    if new:
        connection.execute(insert(likeness_table), [{"digest": digest, "person": person} for digest, person in sorted(new)])
    return len(people)


def _likenesses(books: Books, found: Sequence[Row[Any]]) -> Iterator[tuple[str, str]]:
    keys = books.keys.of([row.person for row in found])
    for row in found:
        if row.person not in keys:
            continue
        try:
            details = books.vault.open(row.person, Sealed(keys[row.person], row.sealed))
        except Damaged:
            continue  # whoever reads the person hears of it
        if (likeness := books.digests(row.school).likeness(details)) is not None:
            yield row.person, likeness
