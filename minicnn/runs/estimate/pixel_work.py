"""How many pixels a job works on: at which sizes, and with tiles how many more than it has."""

import math

from minicnn.engine.tiled import TiledEvaluator


def stages(job):
    """Return [(iterations, (rows, columns))] of the runs of the optimizer that a job is made of."""
    s = job.settings
    if hasattr(job, "stages"):
        return [(n, stage.start.shape[2:]) for n, stage in job.stages()]
    if hasattr(job, "start"):
        return [(job.steps, job.start.shape[2:])]
    return [(s.iterations, (s.height, s.width))] * (job.steps // s.iterations)


def crops(job):
    """Return (tile, (rows, columns)) -> the pixels of each crop; None where there are no tiles."""
    s = job.settings
    if not hasattr(s, "tile"):
        return None
    named = [getattr(s, name, None) for name in ("content_layers", "style_layers", "layers")]
    layers = list(dict.fromkeys(layer for names in named for layer in names or ()))
    net, torus = job.net, getattr(s, "seamless", False)

    def cut(tile, shape):
        evaluator = TiledEvaluator(net, None, tile, torus=torus)
        tiles = evaluator.tiles(layers, (1, 3, *shape))
        return [math.prod(b - a for a, b in tile.crop) for tile in tiles]

    return cut


def worked(job):
    """Return (rows, columns) -> pixels that an evaluation has to do with, halos of tiles too."""
    cut, tile = crops(job), getattr(job.settings, "tile", None)
    return (lambda *shape: sum(cut(tile, shape))) if tile else (lambda *shape: math.prod(shape))


def largest_crop(job):
    """Return (tile, shape) -> pixels of the largest crop, where tiles could be advised."""
    cut = crops(job)
    if cut is None or job.settings.tile:
        return None
    return lambda tile, shape: max(cut(tile, shape))
