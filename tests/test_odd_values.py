"""A value of another type, which SQLite lets anybody write into any column of a record: a finding, never the end of the command."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from itertools import product
from pathlib import Path
from random import Random

import pytest

from contracts import SERVICES
from tests.conftest import Lived
from vekha.testing import Vekha

pytestmark = pytest.mark.timeout(300)

LOG = ("stream", "version", "type", "event_id", "command_id", "school", "happened_on", "recorded_at", "hash", "bytes")
HEAD = ("service", "log_id", "schema_version", "position", "hash", "recorded_at")
SEAL = ("position", "hash", "recorded_at", "since", "root", "key", "signature")
CHECKPOINT = ("positions", "digests")
COLUMNS = [(table, one) for table, all_ in (("log", LOG), ("head", HEAD), ("seal", SEAL), ("checkpoint", CHECKPOINT)) for one in all_]
ODD = ("CAST(x'ff00fe' AS TEXT)", "x'ff00fe'", "'not this'", "''", "-1", "9223372036854775807", "0.5")
"""As SQL writes them: text that is no UTF-8, bytes, words, nothing, and numbers to which nobody counts."""


@pytest.mark.parametrize("seed", range(3))
def test_a_value_of_another_type_anywhere_is_a_finding(vekha: Vekha, lived: Lived, tmp_path: Path, seed: int) -> None:
    random, copy = Random(seed), lived.copy(tmp_path / "data")
    for (table, column), odd in random.sample(list(product(COLUMNS, ODD)), 12):
        service = random.choice(SERVICES if table != "checkpoint" else ("consent", "identity", "plan"))
        path = copy / "db" / f"{service}.db"
        shutil.copy(lived.data / "db" / f"{service}.db", path)
        with closing(sqlite3.connect(path, isolation_level=None)) as database:
            chosen = f"(SELECT rowid FROM {table} ORDER BY rowid LIMIT 1 OFFSET {random.randrange(2) if table == 'log' else 0})"
            assert database.execute(f"UPDATE {table} SET {column} = {odd} WHERE rowid = {chosen}").rowcount == 1
        what = (service, table, column, odd)
        found = vekha("audit", "verify", "--data", copy, "--json")
        if "error" in found.json:  # a head that says whose log it is, or of which version, ends it with a reason
            assert (table, found.error["code"]) in (("head", "database.mixed-up"), ("head", "database.newer")), (what, found.out)
        else:
            assert (found.code, found.json["ok"]) == (4, False), what
            assert {finding["service"] for finding in found.json["findings"]} == {service}, what
        doctor = vekha("doctor", "--data", copy, "--json")
        assert "error" not in doctor.json, (what, doctor.out, doctor.err)
        for file in (copy / "db").glob(f"{service}.db*"):
            file.unlink()
        for file in (lived.data / "db").glob(f"{service}.db*"):
            shutil.copy(file, copy / "db")
