"""The servers that the suites run on."""

import psycopg


def test_postgres_is_eighteen_and_syncs_its_commits(fresh_postgres: str) -> None:
    with psycopg.connect(fresh_postgres) as connection:
        settings = {name: connection.execute(f"SHOW {name}").fetchone() for name in ("server_version", "fsync", "synchronous_commit")}
    assert settings["server_version"] is not None
    assert settings["server_version"][0].startswith("18")
    assert (settings["fsync"], settings["synchronous_commit"]) == (("on",), ("on",))


def test_each_test_has_a_database_of_its_own(fresh_postgres: str, postgres_url: str) -> None:
    with psycopg.connect(fresh_postgres) as connection:
        connection.execute("CREATE TABLE only_here (id int)")
    assert fresh_postgres != postgres_url
    with psycopg.connect(postgres_url) as connection:
        assert connection.execute("SELECT to_regclass('only_here')").fetchone() == (None,)
