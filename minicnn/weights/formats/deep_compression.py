"""The compressed SqueezeNet 1.0 of Deep Compression: `compressed_SqueezeNet.net`.

    uint32  number of stored weights, for each of the 26 layers
    and then for each layer
    float32 codebook (256,)         entry 0 is 0
    float32 bias (K,)
    uint8   codes, one for each stored weight
    uint8   gaps, two of four bits in a byte, the low one first

The flat place of stored weight i in (K, C, R, S) is the sum of the first i + 1 gaps, each plus 1,
minus 1. All other weights are 0. The file does not name its layers: these are those of its network,
in order.

Source: Han et al. 2016, arXiv 1510.00149; the layout was read from the file of
songhan/SqueezeNet-Deep-Compression, whose last byte it uses up.
"""

import numpy as np

from minicnn.errors import MinicnnError
from minicnn.storage.limits import Cursor

CODES = 256


def _fire(i, channels, squeeze):
    """Names and shapes of a fire module: squeeze 1x1, expand 1x1 and 3x3."""
    return {
        f"fire{i}/conv1x1_1": (squeeze, channels, 1, 1),
        f"fire{i}/conv1x1_2": (4 * squeeze, squeeze, 1, 1),
        f"fire{i}/conv3x3_2": (4 * squeeze, squeeze, 3, 3),
    }


def _layers():
    table, channels = {"conv1": (96, 3, 7, 7)}, 96
    for i, squeeze in enumerate((16, 16, 32, 32, 48, 48, 64, 64), start=2):
        table |= _fire(i, channels, squeeze)
        channels = 8 * squeeze
    return {**table, "conv_final": (1000, channels, 1, 1)}


LAYERS = _layers()


def read(data: bytes) -> dict:
    """Return {"conv1.weight": (K, C, R, S), "conv1.bias": (K,), ...}.

    Raises
    ------
    MinicnnError
        If the numbers of weights do not fit the network, or bytes are missing or left over.
    """
    cursor, found = Cursor(data), {}
    counts = np.frombuffer(cursor.take(4 * len(LAYERS)), "<u4")
    for (name, shape), count in zip(LAYERS.items(), counts.tolist(), strict=True):
        if count > np.prod(shape):
            raise MinicnnError(f"layer {name}: {count} weights are too many for {shape}")
        sizes = (4 * CODES, 4 * shape[0], count, (count + 1) // 2)
        codebook, bias, codes, gaps = map(cursor.take, sizes)
        found[f"{name}.weight"] = _weights(codebook, codes, gaps, name, shape)
        found[f"{name}.bias"] = np.frombuffer(bias, "<f4").astype(np.float32)
    if cursor.rest:
        raise MinicnnError(f"{len(cursor.rest)} bytes are left over; is it this network?")
    return found


def _weights(codebook, codes, gaps, name, shape):
    pairs = np.frombuffer(gaps, np.uint8)
    steps = np.stack([pairs & 15, pairs >> 4], axis=1).ravel()[: len(codes)]
    places = np.cumsum(steps.astype(np.int64) + 1) - 1
    weights = np.zeros(int(np.prod(shape)), np.float32)
    if len(places) and places[-1] >= len(weights):
        raise MinicnnError(f"layer {name}: a weight lies beyond the end of {shape}")
    weights[places] = np.frombuffer(codebook, "<f4")[np.frombuffer(codes, np.uint8)]
    return weights.reshape(shape)
