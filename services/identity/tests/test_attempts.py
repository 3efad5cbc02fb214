"""Growing delays between attempts with one login, by the instance's clock."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select

from eventkit.clock import ManualClock
from eventkit.database import Database, sqlite_url
from eventkit.decider import Refused
from eventkit.secrets import Secrets
from identity import attempts

NOW = datetime(2015, 9, 1, 9, tzinfo=UTC)


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    url = sqlite_url(tmp_path / "identity.db") if request.param == "sqlite" else request.getfixturevalue("fresh_postgres")
    database = Database(url, "identity", attempts.metadata)
    database.create()
    yield database
    database.close()


def attempt(database: Database, at: datetime, login: str = "one") -> str | None:
    """What is answered to an attempt that comes too early, None to one that is looked at."""
    try:
        with database.writing() as connection:
            attempts.begin(connection, login, ManualClock(at))
    except Refused as refused:
        return f"{refused.code}: {refused.text}"
    return None


def test_after_five_attempts_each_next_one_waits_longer_in_the_end_six_minutes() -> None:
    assert [attempts.delay_s(count) for count in range(1, 14)] == [0, 0, 0, 0, 5, 10, 20, 40, 80, 160, 320, 360, 360]
    assert attempts.delay_s(1_000_000) == 360


def test_who_guesses_day_and_night_makes_ten_guesses_an_hour(database: Database) -> None:
    guesses, now = 0, NOW
    while now < NOW + timedelta(hours=24):
        guesses += attempt(database, now) is None
        now += timedelta(seconds=60)
    assert 240 <= guesses <= 252


def test_an_attempt_that_comes_too_early_is_not_looked_at_and_does_not_prolong_the_delay(database: Database) -> None:
    for _ in range(5):
        assert attempt(database, NOW) is None
    early = attempt(database, NOW)
    attempt(database, NOW + timedelta(seconds=1))
    assert early == "attempt.too-early: There were several wrong attempts with this login. Try again in 5 s, at 2015-09-01T09:00:05Z."
    assert attempt(database, NOW + timedelta(seconds=5)) is None


def test_one_login_waits_alone_and_the_right_password_ends_it(database: Database) -> None:
    for _ in range(5):
        attempt(database, NOW)
    assert attempt(database, NOW) is not None
    assert attempt(database, NOW, "another") is None
    with database.writing() as connection:
        attempts.forget(connection, "one")
    assert [attempt(database, NOW) for _ in range(5)] == [None] * 5


def test_an_attempt_that_nobody_could_look_at_does_not_count(database: Database) -> None:
    for _ in range(20):
        assert attempt(database, NOW) is None
        with database.writing() as connection:
            attempts.give_back(connection, "one", NOW)


def test_of_many_attempts_at_once_five_are_looked_at(database: Database) -> None:
    with ThreadPoolExecutor(16) as pool:
        answers = [answer.result() for answer in [pool.submit(attempt, database, NOW) for _ in range(32)]]
    assert answers.count(None) == 5


def test_attempts_and_right_passwords_with_one_login_at_once_do_not_meet_an_error(database: Database) -> None:
    def sign_in(number: int) -> None:
        for _ in range(20):
            attempt(database, NOW)
            if number % 2:
                with database.writing() as connection:
                    attempts.forget(connection, "one")

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(sign_in, range(8))) == [None] * 8


def test_what_was_typed_is_forgotten_after_a_day(database: Database) -> None:
    for number in range(30):
        attempt(database, NOW, f"login-{number}")
    attempt(database, NOW + timedelta(days=1, seconds=1), "late")
    with database.reading() as connection:
        assert connection.execute(select(func.count()).select_from(attempts.attempt_table)).scalar() == 1


def test_a_login_counts_as_one_however_it_is_typed_and_stands_nowhere_in_clear(tmp_path: Path) -> None:
    secrets = Secrets.make(tmp_path / "secrets")
    assert attempts.key(secrets, "Иванова@example.org") == attempts.key(secrets, " иванова@example.org ")
    assert attempts.key(secrets, "Иванова@example.org") != attempts.key(secrets, "Петрова@example.org")
    assert "иванова" not in attempts.key(secrets, "Иванова@example.org").lower()
