"""Databases come to a program by the history of their tables, wholly or not at all; older programs live with what was only added to."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path
from secrets import token_hex

import pytest
from sqlalchemy import inspect, text

from eventkit import log, seals
from eventkit.database import Database, SchemaUnfit, sqlite_url
from eventkit.log import NewerSchema
from eventkit.migrations import Migrations

BEGINNING = """
from alembic import op
import sqlalchemy as sa
from eventkit import log, seals
revision, down_revision = "{revision}", {before}
def upgrade() -> None:
"""
FIRST = """
    for metadata in (log.metadata, seals.metadata):
        metadata.create_all(op.get_bind())
    op.create_table("room", sa.Column("room", sa.Text, primary_key=True), sa.Column("floor", sa.Integer), if_not_exists=True)
"""
EXPAND = """
    op.add_column("room", sa.Column("seats", sa.Integer))
"""
CONTRACT = """
    with op.batch_alter_table("room") as batch:
        batch.drop_column("floor")
    op.execute("UPDATE head SET schema_version = 2")
"""
FAILING = """
    op.create_table("half", sa.Column("half", sa.Text, primary_key=True))
    op.execute("INSERT INTO nowhere VALUES (1)")
"""

Program = Callable[..., Database]


@pytest.fixture(params=["sqlite", "postgres"])
def program(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Program]:
    """A program that knows the given revisions, opening always the same database."""
    url = sqlite_url(tmp_path / "roster.db") if request.param == "sqlite" else str(request.getfixturevalue("emptied_postgres"))
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    opened: list[Database] = []

    def knowing(*revisions: str) -> Database:
        package = f"program_{token_hex(4)}"
        folder = tmp_path / package / "migrations"
        folder.mkdir(parents=True)
        (folder.parent / "__init__.py").touch()
        for number, body in enumerate(revisions, start=1):
            before = f'"{number - 1:04}"' if number > 1 else "None"
            (folder / f"{number:04}_then.py").write_text(BEGINNING.format(revision=f"{number:04}", before=before) + body)
        opened.append(database := Database(url, "roster", migrations=Migrations(package)))
        return database

    yield knowing
    for database in opened:
        database.close()


def rooms(database: Database) -> list[tuple[object, ...]]:
    with database.reading() as connection:
        return [tuple(row) for row in connection.execute(text("SELECT * FROM room"))]


def fill(database: Database) -> None:
    with database.writing() as connection:
        connection.execute(text("INSERT INTO room (room, floor) VALUES ('12', 1)"))


def revision(database: Database) -> int:
    assert database.migrations is not None
    with database.reading() as connection:
        return database.migrations.current(connection)


def test_a_database_comes_to_a_newer_program_with_what_it_holds(program: Program) -> None:
    program(FIRST).create()
    fill(program(FIRST))
    newer = program(FIRST, EXPAND, CONTRACT)
    newer.create()
    newer.create()
    assert (revision(newer), rooms(newer)) == (3, [("12", None)])
    newer.check()


def test_a_program_lives_with_a_newer_database_until_something_that_it_uses_is_taken_away(program: Program) -> None:
    program(FIRST, EXPAND).create()
    older = program(FIRST)
    older.create()
    older.check()
    fill(older)
    assert (revision(older), rooms(older)) == (2, [("12", 1, None)])
    program(FIRST, EXPAND, CONTRACT).create()
    with pytest.raises(NewerSchema, match="has schema 2; this program knows 1"):
        older.create()
    with pytest.raises(SchemaUnfit, match=r"^schema.newer: .* know revision 2, and this one knows 1"):
        older.check()
    program(FIRST, EXPAND).check()


def test_who_may_not_migrate_says_what_has_to_be_done(program: Program) -> None:
    with pytest.raises(SchemaUnfit, match=r"^schema.older: .* at revision 0, and this program needs 1.* vekha deploy provision"):
        program(FIRST).check()
    program(FIRST).create()
    with pytest.raises(SchemaUnfit, match="at revision 1, and this program needs 2"):
        program(FIRST, EXPAND).check()


def test_a_revision_that_fails_leaves_the_database_at_the_one_before_all_of_them(program: Program) -> None:
    program(FIRST).create()
    fill(program(FIRST))
    failing = program(FIRST, EXPAND, FAILING)
    with pytest.raises(Exception, match="nowhere"):
        failing.create()
    assert (revision(failing), rooms(failing)) == (1, [("12", 1)])
    with failing.reading() as connection:
        assert not inspect(connection).has_table("half")


def test_tables_without_a_history_are_made_as_the_program_has_them(program: Program) -> None:
    with closing(Database(program(FIRST).url, "roster")) as plain:
        plain.create()
        with plain.reading() as connection:
            found = set(inspect(connection).get_table_names())
    assert found == {*log.metadata.tables, *seals.metadata.tables}
