"""Which column of OneRoster says what a column of the template says; the place of a finding tells the file."""

from collections.abc import Mapping

TITLES: Mapping[tuple[str, str], str] = {
    ("classes", "letter"): "title",
    ("classes", "grade"): "grades",
    ("classes", "school_year"): "termSourcedIds",
    **{
        (kind, field): column
        for kind in ("pupils", "staff")
        for field, column in {
            "external_id": "sourcedId",
            "last_name": "familyName",
            "first_name": "givenName",
            "patronymic": "middleName",
            "email": "email",
            "phone": "phone",
            "role": "role",
        }.items()
    },
    ("pupils", "born_on"): "birthDate",
    ("pupils", "enrolled_on"): "beginDate",
    ("pupils", "guardians"): "agentSourcedIds",
}
"""By kind and field."""
