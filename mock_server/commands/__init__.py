"""The commands for people who write scenarios. `cli.py` has the table of all commands."""


class Mistake(Exception):
    """Something the caller can mend; its text is all they need."""
