"""The one exception that a command turns into a single clear line."""


class MinicnnError(ValueError):
    """Bad input: the message says what was wrong, what is allowed and what to do next."""
