"""Where a picture comes from: hashes of its inputs, versions of what computed it.

Nothing here changes from one run to the next on the same machine, so that the same command gives
the same bytes: no times, no dates.
"""

import json
import platform
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import MISSING, asdict, fields
from importlib import import_module
from pathlib import Path

from threadpoolctl import threadpool_info

import minicnn
from minicnn.engine import kept
from minicnn.engine.cpu.threads import thread_count
from minicnn.errors import MinicnnError
from minicnn.optimizers.resumable import read
from minicnn.pictures.writer import read_metadata
from minicnn.runs.settings import allowed, count
from minicnn.storage.atomic import file_hash
from minicnn.weights.checkpoint import weights_hash

# settings that there were once -> the value that changed nothing
GONE = {"carry": False}
# settings that older pictures have beside the one that says the same in full
SAID_BY = {"style_scale": "style_size"}
LIBRARIES = {"numpy": "numpy", "scipy": "scipy", "pillow": "PIL", "h5py": "h5py"}


def versions(device="cpu", threads=None):
    """Return {"minicnn": ..., "python": ..., "numpy": ..., ..., "blas": ..., "threads": ...}."""
    found = kept.once(lambda: "versions", _software, len)
    return found | {"device": device, "threads": thread_count(threads)}


def _software():
    found = {"minicnn": minicnn.__version__, "python": platform.python_version()}
    found |= {name: import_module(module).__version__ for name, module in LIBRARIES.items()}
    return found | {"blas": blas(), "processor": processor()}


def processor():
    """Return the name of the processor, as far as the system tells it."""
    with suppress(OSError), open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
        for line in file:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def blas():
    """Return the BLAS of NumPy and SciPy in words: kind, version, kernels.

    Not how many threads they may use, which is less while a picture is searched for.
    """
    from minicnn.optimizers import setulb  # noqa: F401 - loads the BLAS that SciPy brings along

    keys = ("internal_api", "version", "architecture")
    found = {
        " ".join(str(lib[key]) for key in keys if lib.get(key))
        for lib in threadpool_info()
        if lib["user_api"] == "blas"
    }
    return ", ".join(sorted(found)) or "none known"


def find_input(path, sha256, beside):
    """Return the `Path` of an input of an earlier run: as named, or beside the picture it made.

    Raises `MinicnnError` if there is no such file, or only one with another SHA-256.
    """
    candidates = [Path(path), Path(beside).parent / path, Path(beside).parent / Path(path).name]
    files = [candidate for candidate in candidates if candidate.is_file()]
    for file in files:
        if file_hash(file) == sha256:
            return file
    if files:
        raise MinicnnError(
            f"{str(files[0])!r} is not the file that {str(beside)!r} was made from (another "
            "SHA-256); put the old one back"
        )
    raise MinicnnError(
        f"no file {path!r}, from which {str(beside)!r} was made, here or beside it; put it back"
    )


def metadata(job, weights, result, settings=None):
    """Return what the picture of a job carries: all that makes it again, and its losses.

    Parameters
    ----------
    job : has `verb`, `settings`, `inputs`, `net`, `device`
    weights : str, SHA-256 of the network's parameters
    result : dict of plain values
    settings : optional, instead of those of the job
    """
    return {
        "verb": job.verb,
        "settings": asdict(settings or job.settings),
        "inputs": job.inputs,
        "weights": {"network": job.net.attrs["name"], "sha256": weights},
        "versions": versions(job.device, job.settings.threads),
        "result": result,
    }


def differing(then, now):
    """Return what differs of two runs, as `metadata` tells of them: [text], empty if nothing.

    Versions, and where the pictures lie, do not count; `then` may come from a file of anybody.
    """
    now = json.loads(json.dumps(now))
    try:
        if then["verb"] != now["verb"]:
            return [f"the verb, {then['verb']}"]
        names = then["settings"].keys() | now["settings"].keys()
        pairs = {n: (then["settings"].get(n), now["settings"].get(n)) for n in sorted(names)}
        found = [f"{n} = {old!r}, now {new!r}" for n, (old, new) in pairs.items() if old != new]
        hashes = [{role: one["sha256"] for role, one in d["inputs"].items()} for d in (then, now)]
        roles = sorted(hashes[0].keys() | hashes[1].keys())
        found += [f"the picture {r}" for r in roles if hashes[0].get(r) != hashes[1].get(r)]
        return found + ["the weights"] * (then["weights"]["sha256"] != now["weights"]["sha256"])
    except (LookupError, TypeError, AttributeError):
        return ["all that it is of"]


def made(path, about):
    """Return how the run ended that has made a picture; None if it is of others, or none is there.

    `about` is the `metadata` of the run that would make it now.
    """
    try:
        found = read_metadata(path)
        return None if differing(found, about) else found["result"]["status"]
    except (MinicnnError, LookupError, TypeError):
        return None


def checkpoint(path, about, report):
    """Return what a checkpoint of such a run holds (`resumable.Stored`), None if there is none.

    Raises
    ------
    MinicnnError
        If it is of another run, or damaged.
    """
    if not Path(path).exists():
        report.note(f"there is no {path} to go on from: the run starts from the beginning")
        return None
    found = read(path)
    if other := differing(found.about, about):
        raise MinicnnError(
            f"{path} is of another run: {', '.join(other)}; give the same, or leave --resume out"
        )
    then, now = found.about["versions"], about["versions"]
    for name in [name for name in now if now[name] != then.get(name)]:
        report.note(f"{name} is {now[name]} here, was {then.get(name)}: other bytes may come out")
    return found


def checked_weights(net, expected=None):
    """Return the SHA-256 of a network's parameters; refuse another one than expected, if any."""
    found = kept.once(
        lambda: ("hash", kept.network_key(net)),
        lambda: (weights_hash(net), net),  # with the arrays that the key stands for
        lambda made: kept.arrays_bytes(made[1].params),
    )[0]
    if expected not in (None, found):
        raise MinicnnError(
            f"the weights of {net.attrs['name']} are others now (SHA-256 {found}, then "
            f"{expected}); put the old file back"
        )
    return found


def _at_each_size(values):
    """Return settings of which older pictures had `iterations` at the full size alone."""
    last, coarse, sizes = map(values.get, ("iterations", "coarse_iterations", "scales"))
    if all(map(count().fits, (last, coarse, sizes))) and sizes < 32:
        steps = [coarse] * (sizes - 1) + [last]
        return {**values, "iterations": steps, "coarse_iterations": None}
    return values


def settings_from(kind, values, what):
    """Return the settings of class `kind` from a dict that came from a file.

    Settings that the file does not have, because its picture is older than they are, get their
    defaults; or what they stood for then (`before`). Those that are `GONE` are left out where they
    changed nothing.

    Parameters
    ----------
    kind : class that derives from `Declared`
    values : anything
    what : str, what the settings are of, for the message

    Returns
    -------
    settings : kind
    filled : {name: value} of the settings that the file does not have

    Raises
    ------
    MinicnnError
        If they are not those of this version, or a value makes no sense.
    """
    unfit = MinicnnError(f"the settings are not those of this version of minicnn's {what}")
    if not isinstance(values, Mapping):
        raise unfit
    values, known = _at_each_size(dict(values)), kind.by_name()
    for name in GONE.keys() & values.keys() - known.keys():
        if (value := values.pop(name)) != GONE[name]:
            raise MinicnnError(
                f"the setting {name} = {value!r} is no longer there; use minicnn {what} with the "
                "other settings of the picture"
            )
    for name in SAID_BY.keys() & values.keys():
        if values.get(SAID_BY[name]) is not None:
            values[name] = None
    filled = {}
    for entry in fields(kind):
        if entry.name in known and entry.name not in values:
            before = known[entry.name].before
            filled[entry.name] = entry.default if before is MISSING else before
    if set(values) - set(known) or MISSING in filled.values():
        raise unfit
    for name, value in values.items():
        try:
            sense = value is None or allowed(value, known[name])
        except (TypeError, ValueError, AttributeError):
            sense = False
        if not sense:
            wanted = known[name].kind.wanted
            raise MinicnnError(f"the setting {name} = {value!r} makes no sense; use {wanted}")
    return kind(**values, **filled), filled
