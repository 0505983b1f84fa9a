"""What a network sees of a picture without colours: one brightness at each pixel.

Gram matrices hardly say what colour a picture has as a whole, so that a grey texture would come out
tinted. Here the mean of the three channels goes in, and no gradient towards a colour comes out:

    v = mean over c of (x_c / u_c + m_c)        in grey levels        u_c = scale / std_c
    x'_c = u_c (v - m_c)                                              m_c = mean_c
"""

import numpy as np

from minicnn.backend import array_module
from minicnn.network.layers import Conv2d
from minicnn.network.network import Network
from minicnn.network.nodes import INPUT


def grey_first(net: Network) -> Network:
    """Return `net` behind a layer "grey" that takes the colours away; a grey picture stays as is.

    The parameters are shared, the layers keep their names.
    """
    attrs = net.attrs["preprocess"]
    mean = np.broadcast_to(np.asarray(attrs.get("mean", 0.0), np.float64), 3)
    unit = float(attrs.get("scale", 1.0)) / np.asarray(attrs.get("std", (1.0,) * 3), np.float64)
    like = next(iter(net.params.values()))
    own = {
        "grey.weight": (np.outer(unit, 1 / unit) / 3).reshape(3, 3, 1, 1),
        "grey.bias": unit * (mean.mean() - mean),
    }
    params = {key: array_module(like).asarray(a, like.dtype) for key, a in own.items()}
    layers = [("grey", Conv2d(3, 1), (INPUT,))]
    for name, layer, inputs in net.nodes:
        layers.append((name, layer, tuple("grey" if i == INPUT else i for i in inputs)))
    return Network(layers, {**params, **net.params}, net.input_shape, net.attrs)
