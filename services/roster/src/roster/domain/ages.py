"""How old somebody is on a day."""

from __future__ import annotations

from datetime import date

COMING_OF_AGE = 18
"""Years. From then on nobody represents a pupil (DOMAIN 3)."""


def age_on(born_on: date, on: date) -> int:
    """How many years old somebody is on a day."""
    return on.year - born_on.year - (birthday(born_on, on.year - born_on.year) > on)


def birthday(born_on: date, years: int) -> date:
    """Who is born on 29 February comes of an age on 1 March of a common year."""
    try:
        return born_on.replace(year=born_on.year + years)
    except ValueError:
        return date(born_on.year + years, 3, 1)
