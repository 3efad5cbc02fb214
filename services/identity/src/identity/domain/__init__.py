"""What may be said of accounts and of a school's activity, and who may be given a code.

All of it is pure. What a gate needs to know of a person is handed to it as roster and consent have told it.
"""
