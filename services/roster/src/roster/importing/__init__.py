"""Importing a school's files: a job with an id and progress, which a crash only interrupts (DESIGN 3, DOMAIN 4).

The rooms in the order in which a file passes through them: `uploads` (its parts, sealed), `planning` (what each row asks
for, decided once: the `plan`), `decisions` (the consent columns, recorded first), `entering` (the rows, a command for
each fifty), `run` (all of it together), `jobs` (the calls, and what goes on beside them), `expiry` (nothing of it stays).
And back: `traces` (whom and what an import touched), `undoing` (one of these as it was), `rolling_back` (all of them, a job as well).
"""
