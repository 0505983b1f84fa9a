"""The option `--estimate`: what a run will take; and what to say when memory was short."""

from minicnn.errors import MinicnnError
from minicnn.terminal.report import duration

PATIENCE = 20  # seconds for each short run, once memory has been short


def add_option(verb) -> None:
    """Declare the option."""
    verb.add_argument(
        "--estimate",
        action="store_true",
        help="say how much memory and time it would take here, and do nothing else",
    )


def pictures(many, report) -> int:
    """Say what the searches for pictures of a list of settings take; return the exit code."""
    from minicnn.runs.estimate import estimate

    return _tell(estimate.pictures(many), report)


def repeated(verb, settings, report) -> int:
    """Say what a training or a scan takes; return the exit code."""
    from minicnn.runs.estimate import estimate

    return _tell(estimate.repeated(verb, settings), report)


def _tell(found, report):
    from minicnn.runs.estimate.host_memory import spelled

    there = "" if found.available is None else f" of {spelled(found.available)} that are there"
    lines = [
        f"memory: {spelled(found.peak)}{there}",
        *_on_device(found),
        f"time: {duration(found.seconds)}",
        *(f"measured: {what}" for what in found.measured),
    ]
    if found.fits is False:
        lines.append(f"it does not fit: {found.advice}")
    report.result(
        "\n".join(lines),
        peak=round(found.peak),
        seconds=round(found.seconds, 1),
        available=found.available,
        fits=found.fits,
        advice=found.advice,
        device_peak=None if found.there is None else round(found.there[0]),
        device_available=None if found.there is None else found.there[1],
        measured=found.measured,
    )
    return 0


def _on_device(found):
    """Return the line about the memory of the device, if one is used."""
    from minicnn.runs.estimate.host_memory import spelled

    if found.there is None:
        return []
    peak, room = map(spelled, found.there)
    return [f"memory of the GPU: {peak} of {room} that can be had, and the driver's own"]


def lack(error: str) -> str:
    """Say that memory was short, and how much was wanted, from the text of a `MemoryError`."""
    wanted = error.partition(" for an array")[0].replace("Unable to allocate", "wanted")
    return f"out of memory ({wanted or 'no more could be had'})"


def out_of_memory(settings, files, error: str) -> MinicnnError:
    """Return the error that says in a line what was wanted and what would fit."""
    from minicnn.runs.estimate import estimate, host_memory

    text = lack(error)
    try:
        found = estimate.picture(settings, files, patience=PATIENCE)
    except (MinicnnError, MemoryError):
        return MinicnnError(f"{text}; use a smaller size")
    text += f": the run needs about {host_memory.spelled(found.peak)}"
    if found.available is not None:
        text += f" and there are {host_memory.spelled(found.available)}"
    return MinicnnError(f"{text}; {found.advice or 'free some memory, or use a smaller size'}")
