"""On PostgreSQL: three functions of the tables' owner, by which a service makes, exchanges and drops versions of a projection's rows.

A service apart may not make tables, nor own them. What it may is to call these: they know which tables are whose projection's, so nothing
else can be exchanged or dropped by them. Whoever brings the tables up to date writes them anew, as this program has them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import LiteralString

from sqlalchemy import Connection, func, select

FUNCTIONS: tuple[LiteralString, ...] = (
    "make_projection_version(text, integer)",
    "switch_projection_version(text, integer, integer)",
    "drop_projection_version(text, integer)",
)
"""What a service's role may execute."""

# `{tables}` says which tables are whose projection's. Live versions lie in the schema in which the functions are.
_TABLES = """
CREATE OR REPLACE FUNCTION {home}.projection_tables(projection text) RETURNS text[]
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS
$$ SELECT CASE projection {tables} END $$
"""

# A version has its indexes and keys under the names that the live one has, and whoever may use the live one's tables may use its.
_MAKE = """
CREATE OR REPLACE FUNCTION {home}.make_projection_version(projection text, version integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    beside constant text := {literal} || '_' || projection || '_v' || version;
    name text;
    statement text;
BEGIN
    IF {home}.projection_tables(projection) IS NULL THEN
        RAISE invalid_parameter_value USING MESSAGE = 'there is no such projection';
    END IF;
    EXECUTE format('CREATE SCHEMA %I', beside);
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', beside, session_user);
    FOREACH name IN ARRAY {home}.projection_tables(projection) LOOP
        EXECUTE format('CREATE TABLE %I.%I (LIKE %I.%I INCLUDING ALL EXCLUDING INDEXES)', beside, name, {literal}, name);
        FOR statement IN
            SELECT format('ALTER TABLE %I.%I ADD CONSTRAINT %I %s', beside, name, conname, pg_get_constraintdef(oid))
            FROM pg_constraint WHERE conrelid = format('%I.%I', {literal}, name)::regclass AND contype IN ('p', 'u')
            UNION ALL
            SELECT replace(pg_get_indexdef(indexrelid), format(' ON %I.%I ', {literal}, name), format(' ON %I.%I ', beside, name))
            FROM pg_index WHERE indrelid = format('%I.%I', {literal}, name)::regclass
                AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid AND conrelid = indrelid)
            UNION ALL
            SELECT format('GRANT %s ON %I.%I TO %s', privilege_type, beside, name, grantee::regrole)
            FROM pg_class, aclexplode(relacl)
            WHERE pg_class.oid = format('%I.%I', {literal}, name)::regclass AND grantee NOT IN (0, relowner)
        LOOP
            EXECUTE statement;
        END LOOP;
    END LOOP;
END $$
"""

_SWITCH = """
CREATE OR REPLACE FUNCTION {home}.switch_projection_version(projection text, live integer, version integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    old constant text := {literal} || '_' || projection || '_v' || live;
    beside constant text := {literal} || '_' || projection || '_v' || version;
    name text;
BEGIN
    IF {home}.projection_tables(projection) IS NULL THEN
        RAISE invalid_parameter_value USING MESSAGE = 'there is no such projection';
    END IF;
    EXECUTE format('CREATE SCHEMA %I', old);
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', old, session_user);
    FOREACH name IN ARRAY {home}.projection_tables(projection) LOOP
        EXECUTE format('ALTER TABLE %I.%I SET SCHEMA %I', {literal}, name, old);
        EXECUTE format('ALTER TABLE %I.%I SET SCHEMA %I', beside, name, {literal});
    END LOOP;
    EXECUTE format('DROP SCHEMA %I', beside);
END $$
"""

_DROP = """
CREATE OR REPLACE FUNCTION {home}.drop_projection_version(projection text, version integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF {home}.projection_tables(projection) IS NULL THEN
        RAISE invalid_parameter_value USING MESSAGE = 'there is no such projection';
    END IF;
    EXECUTE format('DROP SCHEMA %I CASCADE', {literal} || '_' || projection || '_v' || version);
END $$
"""


def install(connection: Connection, tables: Mapping[str, Sequence[str]]) -> None:
    """Writes the functions for the tables of each projection, by its name. Nobody but their owner may execute them yet."""
    home = connection.execute(select(func.current_schema())).scalar_one()
    cases = [
        f"WHEN {_literal(projection)} THEN ARRAY[{', '.join(map(_literal, names))}]"
        for projection, names in sorted(tables.items())
        if names
    ]
    quoted = connection.dialect.identifier_preparer.quote(home)
    of = {"home": quoted, "literal": _literal(home), "tables": " ".join(cases) or "WHEN '' THEN ARRAY['']"}
    for statement in (_TABLES, _MAKE, _SWITCH, _DROP):
        connection.exec_driver_sql(statement.format(**of).replace("%", "%%"))
    for function in ("projection_tables(text)", *FUNCTIONS):
        connection.exec_driver_sql(f"REVOKE ALL ON FUNCTION {quoted}.{function} FROM PUBLIC")


def make(connection: Connection, projection: str, version: int) -> None:
    """Makes the tables of a version, empty."""
    connection.execute(select(func.make_projection_version(projection, version)))


def switch(connection: Connection, projection: str, live: int, version: int) -> None:
    """Exchanges the tables of the live version and those of another."""
    connection.execute(select(func.switch_projection_version(projection, live, version)))


def drop(connection: Connection, projection: str, version: int) -> None:
    """Drops the tables of a version that is not live."""
    connection.execute(select(func.drop_projection_version(projection, version)))


def schema(connection: Connection, projection: str, version: int) -> str:
    """In which schema the tables of a version lie that is not live, beside those of the connection's own."""
    return f"{connection.execute(select(func.current_schema())).scalar_one()}_{projection}_v{version}"


def _literal(name: str) -> str:
    return "'" + name.replace("'", "''") + "'"
