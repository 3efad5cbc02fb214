"""Reads and writes OneRoster 1.1 and 1.2 as csv files, a whole export (bulk) in a folder or an archive.

The rooms: `bundle` (which files there are, and their rows), `columns` and `titles` (what stands in which column), `classes` and `people`
(what is what in a Russian school), `reading` (the whole, as rows of the template), `rejected`, `writing`.
"""

from .bundle import open_bundle
from .reading import read_bundle
from .rejected import rejected_bundle
from .writing import write_bundle

__all__ = ["open_bundle", "read_bundle", "rejected_bundle", "write_bundle"]
