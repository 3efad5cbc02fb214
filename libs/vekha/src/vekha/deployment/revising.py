"""Writes the next revision of a service's tables, from what differs between its history and its program: `make revision`.

What it writes is a draft: who changed the tables says in its docstring what holds from then on, and which of the two kinds it is
(docs/decisions/migrations.md).
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from alembic.autogenerate import produce_migrations, render_python_code
from alembic.migration import MigrationContext
from sqlalchemy import Connection, MetaData

from eventkit.database import Database
from eventkit.migrations import Migrations, numbered
from eventkit.secrets import Secrets
from vekha.deployment.readers import built

_FILE = '''"""{what}"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "{revision}"
down_revision = {before}


def upgrade() -> None:
    {body}
'''


def main(service: str, name: str, what: str) -> int:
    """Writes what is to be migrated for a service, a file for each of its databases; answers 1 where nothing is."""
    with tempfile.TemporaryDirectory(prefix="vekha-revising-") as scratch:
        one = built(service, f"sqlite:///{scratch}/db/{service}.db", Secrets.make(Path(scratch) / "secrets"))
        (Path(scratch) / "db").mkdir()
        written = [path for database in one.databases if (path := _revise(database, name, what)) is not None]
        for database in one.databases:
            database.close()
    for path in written:
        print(path)
    return 0 if written else 1


def _revise(database: Database, name: str, what: str) -> Path | None:
    if database.migrations is None:
        raise ValueError(f"the tables of {database.service} have no history")
    with database.writing() as connection:
        database.migrations.upgrade(connection)
        body = _difference(connection, database.tables)
    return None if body is None else _write(database.migrations, body, name, what)


def _difference(connection: Connection, tables: tuple[MetaData, ...]) -> str | None:
    """The body of a revision; None where the tables are what the program has."""
    context = MigrationContext.configure(connection, opts={"render_as_batch": True})
    flat = MetaData()
    for metadata in tables:
        for table in metadata.sorted_tables:
            # Drafts are made on SQLite, where a file has no schemas.
            table.to_metadata(flat, schema=None)  # pyright: ignore[reportArgumentType] -- None means no schema, and the types leave it out
    found = produce_migrations(context, flat).upgrade_ops
    if found is None or found.is_empty():
        return None
    return render_python_code(found, render_as_batch=True)


def _write(migrations: Migrations, body: str, name: str, what: str) -> Path:
    before = migrations.head
    path = migrations.path / f"{numbered(before + 1)}_{name}.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    below = f'"{numbered(before)}"' if before else "None"
    path.write_text(_FILE.format(what=what, revision=numbered(before + 1), before=below, body=body.removeprefix("    ")))
    return path


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
