"""The option `--estimate`: what a run will take; and what to say when memory was short."""

import re

from minicnn.errors import MinicnnError
from minicnn.terminal.report import duration

PATIENCE = 40  # seconds for the short runs, once memory has been short


def pictures(verb, many, report) -> int:
    """Say what the searches for pictures of a list of settings take; return the exit code."""
    from minicnn.runs.estimate import estimate

    return tell(estimate.pictures(verb, many), report)


def repeated(work, settings, smaller, report) -> int:
    """Say what a run of equal steps takes, see `estimate.repeated`; return the exit code."""
    from minicnn.runs.estimate import estimate

    return tell(estimate.repeated(work, settings, smaller), report)


def tell(found, report) -> int:
    """Say an `estimate.Estimate`; return the exit code."""
    from minicnn.engine.memory import spelled

    peak, room = found.there or (None, None)
    lines = [
        f"memory: {spelled(found.peak)}"
        + ("" if found.available is None else f" of {spelled(found.available)} that are there")
    ]
    if found.there:
        told = f"{spelled(peak)} of {spelled(room)} that can be had"
        lines.append(f"memory of the GPU: {told}, and the driver's own")
    lines.append(f"time: {duration(found.seconds)}")
    lines += [f"measured: {what}" for what in found.measured]
    if found.fits is False:
        lines.append(f"it does not fit: {found.advice}")
    report.result(
        "\n".join(lines),
        peak=round(found.peak),
        seconds=round(found.seconds, 1),
        available=found.available,
        fits=found.fits,
        advice=found.advice,
        device_peak=peak and round(peak),
        device_available=room,
        measured=found.measured,
    )
    return 0


def lack(error: str) -> str:
    """Say that memory was short, and how much was wanted, from the text of a `MemoryError`."""
    if gpu := re.search(r"(?:allocating|array of) ([\d,]+ bytes)", error):
        return f"out of memory on the GPU (wanted {gpu[1]}; see --gpu-memory and --device cpu)"
    wanted = error.partition(" for an array")[0].replace("Unable to allocate", "wanted")
    return f"out of memory ({wanted or 'no more could be had'})"


def out_of_memory(verb, settings, files, error: str) -> MinicnnError:
    """Return the error that says in a line what was wanted and what would fit."""
    found = _measured(verb, settings, files)
    if found is None:
        return MinicnnError(f"{lack(error)}; use a smaller size")
    return MinicnnError(f"{lack(error)}: {_need(found)}")


def refuse_unfit(verb, settings, files, least) -> None:
    """Raise `MinicnnError` for a search that does not fit: by short runs, or its `least` bytes."""
    from minicnn.engine.memory import refuse_lack

    found = _measured(verb, settings, files)
    if found is None:
        refuse_lack(least, "use a smaller size")
    elif found.fits is False:
        raise MinicnnError(_need(found))


def _measured(verb, settings, files):
    from minicnn.kernels import launch
    from minicnn.runs.estimate import estimate

    launch.release()  # for the short runs, which are another process
    try:
        return estimate.pictures(verb, [settings], files, patience=PATIENCE)
    except (MinicnnError, MemoryError):
        return None


def _need(found):
    from minicnn.engine.memory import spelled

    text = f"the run needs about {spelled(found.peak)}"
    if found.available is not None:
        text += f" and there are {spelled(found.available)}"
    if found.there and found.there[0] > found.there[1]:
        text += f"; on the GPU {spelled(found.there[0])} and {spelled(found.there[1])}"
    return f"{text}; {found.advice or 'free some memory, or use a smaller size'}"
