"""The methods as functions: pictures and settings in, arrays out, without the command line.

Those that work on a data set are functions of their own: `training.run`, `scan.scan`.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn.cli.register import rerunnable, verb_of
from minicnn.engine import heap
from minicnn.engine.cpu.threads import one_blas_thread
from minicnn.errors import MinicnnError
from minicnn.runs.by_name import as_value


def run(method: str, callback: Callable[..., Any] | None = None, /, **settings: Any) -> Any:
    """Do what a verb does for a picture; no file is written.

    Parameters
    ----------
    method : one of `cli.register.rerunnable()`, the verbs of pictures
    callback : callable, optional
        style, texture, invert, class-model: callback(iteration, x, value, info), which stops by
        returning True, see `optimizers.minimize`. The others: callback(parts of the work done).
    **settings
        Those of the method's `settings.py`, named as its options, as values or written as on the
        command line; layers may be a list of names, too. A picture is a file, or an array uint8
        (H, W, 3) in RGB.

    Returns
    -------
    runs.search.Outcome or runs.look_run.Look
        `picture` is uint8 (H, W, 3). An Outcome has `losses`, `result` (of `optimizers.minimize`)
        and `findings`; a Look has `arrays`, the raw numbers, `overlay` and `findings`.

    Raises
    ------
    MinicnnError
        If there is no such method or setting, or the run would fail.

    Examples
    --------
    >>> content = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    >>> run("saliency", image=content).picture.shape
    (64, 64, 3)
    """
    if method not in rerunnable():
        raise MinicnnError(f"no method {method!r}; use {', '.join(rerunnable())}")
    verb = verb_of(method)
    declared = verb.settings.by_name()
    if unknown := settings.keys() - declared.keys():
        known = ", ".join(declared)
        raise MinicnnError(f"{method} has no setting {min(unknown)!r}; it has {known}")
    settings = {name: as_value(name, declared[name], given) for name, given in settings.items()}
    arrays: dict[str, Any] = {}

    def named(setting, value):
        if isinstance(value, list):
            return [named(f"{setting} {i}", one) for i, one in enumerate(value, start=1)]
        if not isinstance(value, np.ndarray):
            return value
        arrays[f"<{setting}>"] = value
        return f"<{setting}>"

    try:
        chosen = verb.settings(**{key: named(key, value) for key, value in settings.items()})
    except TypeError as error:  # one without a default is missing
        raise MinicnnError(f"{method}: {str(error).partition(' ')[2]}") from None
    files = {role: arrays[name] for role, name in chosen.inputs().items() if name in arrays}
    with one_blas_thread():
        outcome = verb.open_job(chosen, files).run(callback)
    heap.restore()  # the job and what it had are gone
    return outcome
