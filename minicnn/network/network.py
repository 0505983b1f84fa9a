"""A network: an ordered list of uniquely named layers, walked forward and backward.

    acts = net.forward(x, taps=["relu1_1", "relu4_2"])      {name: activation}
    dx = net.backward({"relu1_1": d1, "relu4_2": d4})       gradients enter where they belong

A layer takes the output of the one before it unless it names its `inputs`. With y_l the output of
layer l and J a number that depends on some of them, the chain rule over this graph is

    dJ/dy_l = dys[l] + Σ over the layers m that read y_l of  m.backward(dJ/dy_m)

where dys[l] is what the caller feeds in at l: the derivative of J by y_l alone, as if nothing
read it. From the last layer to the first, every dJ/dy_m is complete when it is asked for; the end
is dJ/dx, since the picture x is the output called "input". For a list of layers that is

    g = 0; for each layer l from the last: g = g + dys[l] where there is one; g = l.backward(g)
"""

from minicnn.errors import MinicnnError
from minicnn.network.facts import Facts, check_picture, rule_of
from minicnn.network.layers import Mode
from minicnn.network.nodes import INPUT, as_nodes
from minicnn.ops import conv2d


class Network(Facts):
    """Layers, parameters, and the caches of the last forward pass (masks, switches, shapes).

    `Facts` adds what follows from the layers: `find`, `own_params`, `checked_gradient`, and
    `gradients`, those of the parameters.

    Parameters
    ----------
    layers : list of (name, layer) or (name, layer, inputs)
        In an order in which every input comes before its consumer. `inputs` is a tuple of names;
        the picture itself is "input".
    params : dict
        {"conv1_1.weight": array, ...}
    input_shape : (int, int, int)
        (C, H, W) that the network was made for; other H, W work as far as the layers allow.
    attrs : dict, optional
        What travels with the weights: name, preprocess, classes, ...

    Raises
    ------
    MinicnnError
        If a name occurs twice or an input is unknown.
    """

    def __init__(self, layers: list, params: dict, input_shape: tuple, attrs: dict | None = None):
        self.nodes = as_nodes(layers)
        self.params = params
        self.input_shape = tuple(input_shape)
        self.attrs = dict(attrs or {})
        self._index = {node.name: i for i, node in enumerate(self.nodes)}
        self.forget()

    def forward(
        self,
        x,
        taps,
        *,
        training: bool = False,
        rng=None,
        keep: bool = True,
        drop_zero_windows: bool = False,
        convolution=conv2d,
    ) -> dict:
        """Compute activations.

        Parameters
        ----------
        x : array (N, C, H, W)
            Preprocessed pictures.
        taps : list of str
            The layers whose outputs are wanted; nothing behind the last one is computed.
        training : bool
            Batch statistics and dropout; keep what `gradients` needs.
        rng : numpy.random.Generator, optional
            For dropout.
        keep : bool
            Keep the caches that `backward` needs; False saves memory when scanning.
        drop_zero_windows : bool
            Record no switch in max-pooling windows whose maximum is not positive.
        convolution : has the three functions of `ops.conv2d`
            `backward` and `gradients` go back by the one that the forward pass went by.

        Returns
        -------
        dict
            {name: array (N, C, H, W)}. Until `backward` is done the arrays are the network's own:
            read them, do not write into them. With keep=False they are the caller's.

        Raises
        ------
        MinicnnError
            If there is no layer of some name, or the picture does not fit.
        """
        taps = [taps] if isinstance(taps, str) else list(taps)
        last = self.find(taps)
        check_picture(x)
        mode = Mode(training, rng, convolution, drop_zero_windows)
        last_use = {source: i for i, node in enumerate(self.nodes) for source in node.inputs}
        self.forget()
        self.trained = training
        outputs, acts = {INPUT: x}, {}
        for i, node in enumerate(self.nodes[: last + 1]):
            xs = [outputs[source] for source in node.inputs]
            xs = xs if node.layer.many else xs[0]
            try:
                y, cache = node.layer.forward(xs, self.own_params(node), mode)
            except MinicnnError as error:
                raise MinicnnError(f"layer {node.name}: {error}") from None
            if keep:
                self._caches[node.name], self._outputs[node.name] = cache, (y.shape, y.dtype)
            outputs[node.name] = y
            if node.name in taps:
                acts[node.name] = y
            for source in node.inputs:  # let go of what no later layer reads
                if last_use[source] == i:
                    outputs.pop(source, None)
        return acts

    def backward(
        self,
        dys: dict,
        relu_rule: str = "gradient",
        *,
        lrn_rule: str | None = None,
        overlap: str = "sum",
        rectify_first: bool = False,
    ):
        """Pass gradients down to the picture; the parameters stay as they are, and get none.

        Parameters
        ----------
        dys : dict
            {name: gradient (N, C, H, W)} with respect to outputs of the last `forward`.
        relu_rule : {"gradient", "deconvnet", "guided"}
            Only the first is a gradient; see `ops.relu`.
        lrn_rule : {"gradient", "identity"}, optional
            The deconvnet passes by a normalisation ("identity"), everything else differentiates
            it, unless told otherwise here.
        overlap : {"sum", "max", "overwrite"}
            Only the first is a gradient; see `ops.unpool`.
        rectify_first : bool
            Rectify before unpooling instead of behind it, where `relu_rule` rectifies at all.

        Returns
        -------
        dx : array like the picture, (N, C, H, W), in the dtype of the activations

        Raises
        ------
        MinicnnError
            If a layer or rule is unknown, a gradient has another shape than its activation, or
            no forward pass with `keep=True` has come that far.
        """
        rule = rule_of(relu_rule, lrn_rule, overlap, rectify_first)
        return self.walk_back(
            dys, lambda node, dy, cache: node.layer.backward(dy, cache, self.own_params(node), rule)
        )

    def walk_back(self, dys, step):
        """Apply the chain rule, see above, from the last layer fed in `dys` down to the picture.

        Parameters
        ----------
        dys : dict, layer -> gradient
        step : callable, (node, dy, cache) -> dx
            How dy is passed back through one layer; dx is a list for a layer with several inputs,
            None where nothing below is of interest.

        Returns
        -------
        array like the picture, or None if nothing has come down to it
        """
        last = self.find(list(dys))
        # dJ/dy of the layers above, and of these as much as has come together so far
        pending = {name: self.checked_gradient(name, dy) for name, dy in dys.items()}
        for node in reversed(self.nodes[: last + 1]):
            dy = pending.pop(node.name, None)
            if dy is None:  # J does not depend on this layer
                continue
            dx = step(node, dy, self._caches[node.name])
            if dx is None:
                continue
            parts = dx if node.layer.many else [dx]
            for source, part in zip(node.inputs, parts, strict=True):
                pending[source] = part if source not in pending else pending[source] + part
        return pending.get(INPUT)

    def forget(self) -> None:
        """Let go of what the last forward pass has kept; `backward` needs another one then."""
        self._caches, self._outputs, self.trained = {}, {}, False
