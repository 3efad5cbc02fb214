"""Importing a school's files: a job with an id and progress, which a crash only interrupts (DESIGN 3, DOMAIN 4).

The rooms in the order in which a file passes through them: `uploads` (its parts, sealed), `plan` (what each row asks
for, decided once), `decisions` (the consent columns, recorded first), `entering` (the rows, a command for each fifty),
`jobs` (all of it together, and what is told of it), `expiry` (nothing of it stays).
"""
