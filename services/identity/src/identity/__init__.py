"""Credentials: issued as codes, handed over in person, activated by their owner, turned into tokens."""
