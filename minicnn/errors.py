"""The one exception that a command turns into a single clear line."""


class MinicnnError(ValueError):
    """Bad input: the message says what was wrong, what is allowed and what to do next."""


class DeviceMemoryError(MinicnnError, MemoryError):
    """A device has no memory for something; what answers a `MemoryError` answers this too."""


def safe(text: str) -> str:
    """Return a text without characters that could steer a terminal: "?" in their place."""
    return "".join(c if c.isprintable() or c in "\n\t" else "?" for c in text)


def one_line(said, length: int = 500) -> str:
    """Return what a file, a server or a library says, short and on one line."""
    return safe(" ".join(str(said).split())[:length])
