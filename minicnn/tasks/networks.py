"""The network that a task works with: embedded, from a weight file, or untrained."""

from minicnn import checkpoint, models
from minicnn.backend import to_device
from minicnn.errors import MinicnnError
from minicnn.tasks import presets

OWN = "own"  # pooling as in training, as in the file
RANDOM = "random"  # in the place of a weight file: He weights drawn from the seed


def load_network(name=None, weights=None, pool=None, *, seed=0, device="cpu"):
    """Return a network.

    Parameters
    ----------
    name : str, optional
        That of an embedded or fetched network, or of the one that `weights` must hold.
    weights : path, or "random", optional
    pool : {"max", "average", "own"}, optional
        "own" is what the network was trained with; by default, that of its row in `presets`,
        which is made for style transfer.
    seed : int, for random weights
    device : {"cpu", "cuda", "cuda:1"}

    Raises
    ------
    MinicnnError
        If there is no such network, no weights of it, or something is wrong with the file.
    """
    if name is not None and name not in models.names():
        raise MinicnnError(
            f"no network named {name!r}; the networks are {', '.join(models.names())}"
        )
    if weights in (None, RANDOM):
        actual = name or presets.DEFAULT
    else:
        actual = checkpoint.info(weights)["architecture"]
        if name not in (None, actual):
            raise MinicnnError(f"{str(weights)!r} holds weights of {actual}, not of {name}")
    preset = presets.style_preset(actual)
    pool = None if pool == OWN else pool or (preset.pool if preset else None)
    if weights == RANDOM:
        net = models.build(actual, seed=seed, pool=pool)
        net.params = {key: to_device(value, device) for key, value in net.params.items()}
        return net
    available = checkpoint.available()
    if weights is None and actual not in available:
        raise MinicnnError(
            f"minicnn comes without weights of {actual}; give --weights FILE, or --weights random "
            f"for untrained ones, or try `minicnn weights fetch {actual}` "
            f"(it has: {', '.join(available) or 'none'})"
        )
    return checkpoint.load(weights or actual, pool=pool, device=device)
