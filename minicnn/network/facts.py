"""What a network tells about itself and its last pass, beside walking forward and backward."""

import numpy as np

from minicnn.network import layer_shapes, parameter_gradients, receptive_fields
from minicnn.network.layers import MaxPool2d


class Facts:
    """The base of `Network`: what follows from its layers, parameters and caches."""

    @property
    def dtype(self) -> np.dtype:
        """The dtype that the network computes in: that of its parameters."""
        return next(iter(self.params.values())).dtype if self.params else np.dtype("float32")

    def layer(self, name: str):
        """Return the layer called `name`."""
        return self.nodes_until([name])[-1].layer

    def shapes(self, input_shape: tuple | None = None, taps: list | None = None) -> dict:
        """Return {layer: (C, H, W) of its output} for an input of `input_shape` (C, H, W).

        Of the layers that `forward` computes for `taps`, all by default.

        Raises
        ------
        MinicnnError
            If a layer's window, or the parameters that it has, do not fit.
        """
        return layer_shapes.outputs(self, input_shape, taps)

    def param_shapes(self) -> dict:
        """Return {"conv1_1.weight": shape, ...}: what the layers need, whatever `params` holds."""
        return layer_shapes.parameters(self)

    def receptive_fields(self) -> dict:
        """Return {layer: `Field` (size, stride, offset)}, in pixels of the picture."""
        return receptive_fields.of_layers(self)

    def caches_of(self, kind: type) -> dict:
        """Return {layer: cache} of the layers of a class that the last forward pass has kept."""
        kept = (node for node in self.nodes if node.name in self._caches)
        return {node.name: self._caches[node.name] for node in kept if isinstance(node.layer, kind)}

    def switches(self) -> dict:
        """Return {layer: `ops.maxpool2d.Cache`} of the max poolings in the last forward pass."""
        return self.caches_of(MaxPool2d)

    def gradients(self, dys: dict) -> dict:
        """Return {parameter: gradient} after a forward pass with `training=True`."""
        return parameter_gradients.gradients(self, dys)

    def batch_statistics(self) -> dict:
        """Return {layer: (mean, var)} of the batch normalisations in the last training pass."""
        return parameter_gradients.batch_statistics(self)

    def replica(self):
        """Return a network with the same parameter arrays and caches of its own, for a thread."""
        twin = type(self)([tuple(node) for node in self.nodes], self.params, self.input_shape)
        twin.attrs = self.attrs
        return twin
