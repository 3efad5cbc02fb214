"""What can be wrong with a file, said without repeating anything that stands in it."""

from dataclasses import dataclass

COMING_YEAR = "class.coming-year"
"""The warning that classes of a coming school year were passed over, and with them pupils who are here."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a row stands; `row` counts from 1 as the spreadsheet program shows it, `sheet` is None in a csv file."""

    file: str
    sheet: str | None
    row: int


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with a row (an error) or worth knowing about a file (a warning; then `row` may be None).

    `column` is the template's title of the column. `hint` says what is expected, never what was found: findings are shown and kept, and
    what was found is personal data.
    """

    file: str
    sheet: str | None
    row: int | None
    column: str | None
    code: str
    hint: str


class FileRefused(Exception):
    """The file as a whole cannot be read; nothing of it is entered.

    Codes: `file.unreadable`, `file.cut-off`, `file.empty`, `file.too-large`, `file.cell-too-long`, `file.formulas`, `file.merged-cells`,
    `file.kind-unknown`, `file.column-missing`, `file.column-repeated`; of archives `file.path-outside`, `file.archive-nested`; of OneRoster
    `file.manifest-missing`, `file.manifest-malformed`, `file.oneroster-version`, `file.oneroster-delta`, `file.oneroster-incomplete`,
    `file.repeated`, `file.school-unknown`, `file.school-unconfirmed`, `file.other-school`; `file.org-unnamed` of what is none.
    """

    def __init__(self, code: str, text: str, hint: str, *, file: str, sheet: str | None = None) -> None:
        super().__init__(f"{code}: {text} {hint}")
        self.code = code
        self.text = text
        self.hint = hint
        self.file = file
        self.sheet = sheet
