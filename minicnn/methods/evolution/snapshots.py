"""Snapshots of a training run: weight files that say after which epoch they were written."""

from dataclasses import dataclass
from itertools import pairwise

from minicnn.errors import MinicnnError
from minicnn.methods.training.settings import BY_HAND
from minicnn.weights import checkpoint, locations


@dataclass(frozen=True)
class Snapshot:
    """A weight file with the number of the epoch after which it was written."""

    path: str
    epoch: int
    architecture: str
    outputs: int
    run: dict


def embedded(name):
    """Return the paths of the snapshots that come with minicnn for a network; none for others."""
    folder = locations.installed()
    paths = sorted((folder / "snapshots").glob(f"{name}-epoch-*.h5")) if folder else []
    return [*paths, folder / f"{name}.h5"] if paths else []


def read_snapshots(paths):
    """Return the `Snapshot`s of weight files, sorted by epoch; each file is read whole once.

    Parameters
    ----------
    paths : list of path, or [name of a network whose snapshots come with minicnn]

    Raises
    ------
    MinicnnError
        If there are fewer than two, one is broken, says no epoch, has the epoch of another, or is
        of another network or training run.
    """
    if len(paths) == 1:
        paths = embedded(paths[0]) or paths
    if len(paths) < 2:
        raise MinicnnError(
            "an evolution takes at least two snapshots of one training run, or the name of a "
            "network whose snapshots come with minicnn: minialexnet, minizfnet"
        )
    found = sorted((_snapshot(path) for path in paths), key=lambda snapshot: snapshot.epoch)
    for one, other in pairwise(found):
        if one.epoch == other.epoch:
            raise MinicnnError(
                f"{one.path} and {other.path} are both of epoch {one.epoch}; give each epoch once"
            )
    first = found[0]
    for other in found[1:]:
        kinds = [f"{s.architecture} with {s.outputs} outputs" for s in (first, other)]
        if kinds[0] != kinds[1]:
            raise MinicnnError(
                f"{first.path} is {kinds[0]}, {other.path} is {kinds[1]}; give snapshots of one run"
            )
        differing = sorted(k for k in first.run if k in other.run and first.run[k] != other.run[k])
        if differing:
            raise MinicnnError(
                f"{first.path} and {other.path} are of different training runs: "
                f"{', '.join(differing)} differ"
            )
    return found


def _snapshot(path):
    info = checkpoint.verify(path)
    training = _dict(info.get("training"))
    history, epoch = training.get("history"), training.get("epoch", info.get("epoch"))
    if epoch is None and isinstance(history, list) and history:
        epoch = _dict(history[-1]).get("epoch")
    if type(epoch) is not int or epoch < 0:
        raise MinicnnError(
            f"{path} does not say after which epoch it was written; give snapshots that "
            "`minicnn train --snapshots` has written"
        )
    settings = _dict(training.get("settings"))
    run = {k: v for k, v in settings.items() if k not in (*BY_HAND, "epochs")}
    return Snapshot(str(path), epoch, info["architecture"], info["outputs"], run)


def _dict(value):
    """Return a value of a file if it is a dict, else an empty one."""
    return value if isinstance(value, dict) else {}
