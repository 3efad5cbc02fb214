"""People's keys lie apart from what they open, and are gone for good once they are destroyed: on either engine."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import create_engine, inspect

from eventkit.database import sqlite_url
from roster.keys import Keys


@dataclass
class Place:
    """Where keys are kept, and whatever else there is to look at."""

    url: str
    keys: Keys
    folder: Path

    @property
    def is_sqlite(self) -> bool:
        return self.url.startswith("sqlite")

    def bytes_on_disk(self) -> bytes:
        return b"".join(path.read_bytes() for path in sorted(self.folder.rglob("*")) if path.is_file())


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    if request.param == "sqlite":
        (tmp_path / "db").mkdir()
        url = str(sqlite_url(tmp_path / "db" / "roster.db"))
    else:
        url = request.getfixturevalue("fresh_postgres")
    keys = Keys(url)
    keys.database.create()
    yield Place(url, keys, tmp_path)
    keys.close()


def test_whoever_has_a_key_keeps_it_and_the_others_get_theirs(place: Place) -> None:
    assert place.keys.keep({"p-1": b"first"}) == {"p-1": b"first"}
    assert place.keys.keep({"p-1": b"second", "p-2": b"other"}) == {"p-1": b"first", "p-2": b"other"}
    assert place.keys.of(["p-2", "p-3", "p-1"]) == {"p-1": b"first", "p-2": b"other"}
    assert place.keys.of([]) == {}


def test_more_people_than_one_statement_names_are_all_found_and_destroyed(place: Place) -> None:
    everybody = {f"p-{number}": f"key {number}".encode() for number in range(1201)}
    assert place.keys.keep(everybody) == everybody
    place.keys.destroy([person for person in everybody if person != "p-7"])
    assert place.keys.of(everybody) == {"p-7": b"key 7"}


def test_a_destroyed_key_is_gone_for_every_connection_and_destroying_it_again_does_nothing(place: Place) -> None:
    place.keys.keep({"p-1": b"the key of one", "p-2": b"the key of another"})
    place.keys.destroy(["p-1"])
    place.keys.destroy(["p-1", "p-3"])
    again = Keys(place.url)
    again.database.create()
    assert again.of(["p-1", "p-2"]) == {"p-2": b"the key of another"}
    again.close()
    if place.is_sqlite:
        assert b"the key of one" not in place.bytes_on_disk()
        assert b"the key of another" in place.bytes_on_disk()


def test_keys_lie_where_a_backup_of_the_rows_leaves_them_out(place: Place) -> None:
    place.keys.keep({"p-1": b"the key of one"})
    if place.is_sqlite:
        assert (place.folder / "keys" / "roster.db").is_file()
        assert list((place.folder / "db").iterdir()) == []
        return
    engine = create_engine(place.url)
    with engine.connect() as connection:
        assert sorted(inspect(connection).get_table_names("keys")) == ["alembic_version", "person_key"]
        assert inspect(connection).get_table_names() == []
    engine.dispose()
