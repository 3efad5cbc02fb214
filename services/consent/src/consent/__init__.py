"""Consents: what each family decided about its data, by seat and by person, and what it took back."""
