"""Reads and writes OneRoster 1.1 and 1.2 as csv files, bulk and delta, in a folder or an archive.

The rooms: `bundle` (which files there are, and their rows), `columns` and `titles` (what stands in which column), `classes` and `people`
(what is what in a Russian school), `known` and `merging` (changes only, laid over what is entered), `reading` (the whole, as rows of the
template), `rejected`, `writing`.
"""

from .bundle import open_bundle
from .known import NOTHING_KNOWN, ExportId, IdKind, Known
from .reading import read_bundle
from .rejected import rejected_bundle
from .writing import write_bundle

__all__ = ["NOTHING_KNOWN", "ExportId", "IdKind", "Known", "open_bundle", "read_bundle", "rejected_bundle", "write_bundle"]
