"""Working-day arithmetic: which days a school works, and the date that lies so many working days away.

`calendar.py` counts, over a table that it is given; `russia.py` makes such a table for Russia's public holidays and decrees.
"""

from workdays.calendar import Calendar, CalendarMalformed, CountFrom, Week
from workdays.russia import russian_calendar

__all__ = ["Calendar", "CalendarMalformed", "CountFrom", "Week", "russian_calendar"]
