"""What a task needs and does not find."""


class MissingError(ValueError):
    """A package or a file of a task is not there; the message says what to fetch, and where to."""
