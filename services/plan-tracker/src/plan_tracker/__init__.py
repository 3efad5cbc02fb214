"""The plan of 21 steps: which is done, for whom it is not, when it is due, and why, derived from events alone."""
