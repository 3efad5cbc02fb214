"""Who is in the school: classes, staff, pupils and guardians, and the vault that alone keeps their personal data."""
