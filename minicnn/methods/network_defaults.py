"""What style transfer does unless told otherwise: one row per network, one per optimizer.

The weights multiply means (see `style.run`), so they hold at any picture size, but not from one
network to another: that depends on how large its activations are.
"""

from typing import NamedTuple


class Style(NamedTuple):
    """Layers {name: weight}, weights of the terms, and how to pool."""

    content_layers: dict
    style_layers: dict
    content_weight: float
    style_weight: float
    tv_weight: float
    gram: str = "mean"  # normalisation of the style term, a row of `objectives.STYLE`
    pool: str = "average"
    content_loss: str = "mean"  # that of the content term, a row of `objectives.CONTENT`
    tv: str = "mean"  # form of the total variation, a row of `objectives.priors.TV`
    padding: str = (
        "zero"  # beyond the edge of the picture, a row of `network.replicate_edges.PADDINGS`
    )


# both layers of a block: with one of them alone, a hatching that the other sees stays in flat areas
MINI = ("relu1_1", "relu1_2", "relu2_1", "relu2_2", "relu3_1", "relu3_2", "relu4_1")
FIVE_BLOCKS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
COMPONENTS = ("pc1_1", "pc2_1", "pc3_1", "pc4_1")

ALEXNET = Style(
    content_layers={"relu3": 1.0},
    style_layers=dict.fromkeys(("relu1", "relu2", "relu3", "relu4"), 1.0),
    content_weight=1.0,
    style_weight=100.0,
    tv_weight=1.0,
    pool="max",
    padding="replicate",  # the first layer of most pads nothing, see `network.replicate_edges`
)

STYLE = {
    "minivgg": Style(
        content_layers={"relu4_1": 1.0},
        style_layers=dict.fromkeys(MINI, 1.0),
        content_weight=1.0,
        style_weight=20.0,
        tv_weight=2.0,
        gram="gatys",
    ),
    # with a total variation of 1e3, that term ends at a hundred-thousandth of the loss
    "vgg16": Style({"relu4_2": 1.0}, dict.fromkeys(FIVE_BLOCKS, 1.0), 20.0, 1e3, 1e6),
    "vgg19": Style({"relu4_2": 1.0}, dict.fromkeys(FIVE_BLOCKS, 1.0), 10.0, 1e3, 5e6),
    # its components are so scaled that style losses agree with VGG-19's, and content losses are a
    # fifth: of 512 activations 96 are left
    "slimvgg": Style(
        content_layers={"pc4_2": 1.0},
        # without pc2_2 flat places get a mesh of dots
        style_layers=dict.fromkeys(("pc1_1", "pc2_1", "pc2_2", "pc3_1", "pc4_1"), 1.0),
        content_weight=40.0,
        style_weight=900.0,
        tv_weight=5e6,  # as VGG-19's; far below, flat places get a dotted grain
        padding="replicate",
    ),
    "squeezenet": Style(
        content_layers={"fire4/concat": 1.0},
        style_layers=dict.fromkeys(("relu_conv1", "fire2/concat", "fire3/concat"), 1.0),
        content_weight=1.0,
        style_weight=100.0,
        tv_weight=5e5,  # its activations are in the thousands: below 1e5 this term does nothing
        pool="max",
        padding="replicate",  # its first layer pads nothing, see `network.replicate_edges`
    ),
    "alexnet": ALEXNET,
    # their activations are about 1
    "minialexnet": ALEXNET._replace(style_weight=1e4, tv_weight=30.0),
    "minizfnet": ALEXNET._replace(style_weight=1e4, tv_weight=30.0),
}

POOLED = ("relu1_1", "pool1", "pool2", "pool3", "pool4")
# network -> the layers of a texture; minivgg's pool4 is a mean over the picture
TEXTURE = {
    "minivgg": ("relu1_1", "pool1", "pool2", "pool3", "relu4_1"),
    "slimvgg": COMPONENTS,
    "vgg16": POOLED,
    "vgg19": POOLED,
    "squeezenet": ("relu_conv1", "pool1", "fire3/concat", "pool4", "fire6/concat"),
    "squeezenet1_1": ("relu_conv1", "pool1", "pool3", "pool5", "fire6/concat"),
    "alexnet": ("relu1", "pool1", "pool2", "relu3", "relu4"),
}

# network -> weight of the total variation in a texture: SqueezeNet's first layer has stride 2 and
# does not see the finest pattern, which then stays as it was in the noise to start from; VGG's
# leave a chequered pattern of single pixels, slimvgg dots; with these weights the style loss ends
# as low, to 2 % (after slimvgg that of VGG-19)
TEXTURE_TV = {"squeezenet": 0.2, "squeezenet1_1": 0.2, "slimvgg": 0.05, "vgg16": 1.0, "vgg19": 1.0}

# the same layers under the same names, for what has no row of its own
SAME_AS = {
    "minivgg-bn": "minivgg",
    "caffenet": "alexnet",
    "alexnet-torchvision": "alexnet",
    "zfnet": "alexnet",
    "minialexnet": "alexnet",
    "minizfnet": "alexnet",
    "squeezenet-torchvision": "squeezenet",
    "squeezenet1_1": "squeezenet",
}


def style_preset(network):
    """Return the row of a network, or None where there is none."""
    return STYLE.get(network) or STYLE.get(SAME_AS.get(network))


def padding(network):
    """Return what the first layer sees beyond the edges, a row of `replicate_edges.PADDINGS`."""
    row = style_preset(network)
    return row.padding if row else "zero"


def texture_tv(network):
    """Return the weight of the total variation in a texture."""
    return TEXTURE_TV.get(network) or TEXTURE_TV.get(SAME_AS.get(network), 0.0)


def texture_layers(network):
    """Return {layer: 1.0} of the layers of a texture, empty where the network has no row."""
    names = TEXTURE.get(network) or TEXTURE.get(SAME_AS.get(network), ())
    return dict.fromkeys(names, 1.0)
