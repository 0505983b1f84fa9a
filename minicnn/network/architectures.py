"""The networks, as tables of layers; `models.build` makes them.

alexnet, caffenet and alexnet-torchvision are three different nets that all go by AlexNet: in the
first the normalisation comes before the pooling, in the second behind it, the third has none.

Sources: Krizhevsky et al. 2012 (alexnet, with the constants of BVLC's Caffe files); Krizhevsky
2014, arXiv 1404.5997 (alexnet-torchvision); Zeiler & Fergus 2014, arXiv 1311.2901 (zfnet);
Simonyan & Zisserman 2014, arXiv 1409.1556, configurations D and E (vgg16, vgg19); Iandola et al.
2016, arXiv 1602.07360, and the authors' version 1.1 (squeezenet, squeezenet1_1). minivgg is made
here, for pictures of 64x64; minivgg-bn is the form that is trained. minialexnet and minizfnet are
the AlexNet and the ZFNet at that size: they differ in the first two convolutions and the order of
normalisation and pooling alone, as the two papers do, so that a comparison shows just that.
"""

from typing import NamedTuple

from minicnn.network.layers import (
    LRN,
    AvgPool2d,
    BatchNorm2d,
    Concat,
    Conv2d,
    Dropout,
    GlobalAvgPool2d,
    Linear,
    MaxPool2d,
    ReLU,
    Softmax,
)

CAFFE = {
    "channel_order": "BGR",
    "mean": [103.939, 116.779, 123.68],
    "std": [1.0, 1.0, 1.0],
    "scale": 1.0,
}
SQUEEZENET = {**CAFFE, "mean": [104.0, 117.0, 123.0]}
TORCHVISION = {
    "channel_order": "RGB",
    "mean": [0.485, 0.456, 0.406],
    "std": [0.229, 0.224, 0.225],
    "scale": 1 / 255,
}
TINY_IMAGENET = {
    "channel_order": "RGB",
    "mean": [122.39, 114.26, 101.40],
    "std": [70.54, 68.60, 71.85],
    "scale": 1.0,
}


# slimvgg: a row for each block, and for each of its layers (filters, components behind them); with
# fewer components at low layers, a search leaves out what the student does not see
SLIM = (
    ((32, 16), (48, 32)),
    ((96, 64), (128, 80)),
    ((224, 96), (192, 80), (192, 64), (192, 64)),
    ((448, 96), (320, 96)),
)


def _block(i, channels, count, *, norm=False):
    """`count` 3x3 convolutions conv{i}_1 ..., each with its ReLU."""
    layers = []
    for j in range(1, count + 1):
        layers.append((f"conv{i}_{j}", Conv2d(channels, 3, padding=1, bias=not norm)))
        layers += [(f"bn{i}_{j}", BatchNorm2d())] if norm else []
        layers.append((f"relu{i}_{j}", ReLU()))
    return layers


def _conv(i, channels, kernel, *, stride=1, padding=0, groups=1):
    conv = Conv2d(channels, kernel, stride=stride, padding=padding, groups=groups)
    return [(f"conv{i}", conv), (f"relu{i}", ReLU())]


def _classifier(classes, *, dropout_first=False):
    """Three fully connected layers; torchvision drops inputs, everyone else outputs."""
    hidden = [[(f"fc{i}", Linear(4096)), (f"relu{i}", ReLU())] for i in (6, 7)]
    drop = [[(f"drop{i}", Dropout(0.5))] for i in (5, 6, 7)]
    last = [("fc8", Linear(classes)), ("prob", Softmax())]
    if dropout_first:
        return [*drop[0], *hidden[0], *drop[1], *hidden[1], *last]
    return [*hidden[0], *drop[1], *hidden[1], *drop[2], *last]


def _vgg(counts):
    def layers(classes):
        table = []
        for i, (channels, count) in enumerate(zip((64, 128, 256, 512, 512), counts, strict=True)):
            table += [*_block(i + 1, channels, count), (f"pool{i + 1}", MaxPool2d(2, 2))]
        return table + _classifier(classes)

    return layers


def _pool(i):
    return (f"pool{i}", MaxPool2d(3, 2, ceil=True))


def _norm(i):
    return (f"norm{i}", LRN())


def _as_alexnet(first, second, behind, rest):
    """Two convolutions, `behind` each normalisation and pooling in either order; the rest."""

    def layers(classes):
        table = [*first, *(make(1) for make in behind), *second, *(make(2) for make in behind)]
        return table + rest(classes)

    return layers


def _alexnet_top(groups):
    def layers(classes):
        return [
            *_conv(3, 384, 3, padding=1),
            *_conv(4, 384, 3, padding=1, groups=groups),
            *_conv(5, 256, 3, padding=1, groups=groups),
            _pool(5),
            *_classifier(classes),
        ]

    return layers


def _alexnet_torchvision(classes):
    return [
        *_conv(1, 64, 11, stride=4, padding=2),
        ("pool1", MaxPool2d(3, 2)),
        *_conv(2, 192, 5, padding=2),
        ("pool2", MaxPool2d(3, 2)),
        *_conv(3, 384, 3, padding=1),
        *_conv(4, 256, 3, padding=1),
        *_conv(5, 256, 3, padding=1),
        ("pool5", MaxPool2d(3, 2)),  # the adaptive pooling to 6x6 behind it does nothing at 224
        *_classifier(classes, dropout_first=True),
    ]


def _fire(i, squeeze, expand):
    """A squeezing 1x1 convolution; 1x1 and 3x3 ones side by side; their channels together."""
    squeezed, one, three = f"fire{i}/relu_squeeze1x1", f"fire{i}/expand1x1", f"fire{i}/expand3x3"
    relu_one, relu_three = f"fire{i}/relu_expand1x1", f"fire{i}/relu_expand3x3"
    return [
        (f"fire{i}/squeeze1x1", Conv2d(squeeze, 1)),
        (squeezed, ReLU()),
        (one, Conv2d(expand, 1), (squeezed,)),
        (relu_one, ReLU()),
        (three, Conv2d(expand, 3, padding=1), (squeezed,)),
        (relu_three, ReLU()),
        (f"fire{i}/concat", Concat(), (relu_one, relu_three)),
    ]


def _squeezenet(first, pooled, final_padding):
    """`first` is the first convolution, `pooled` the fire modules with a pooling behind them."""
    widths = {2: 16, 3: 16, 4: 32, 5: 32, 6: 48, 7: 48, 8: 64, 9: 64}

    def layers(classes):
        table = [("conv1", first), ("relu_conv1", ReLU()), _pool(1)]
        for i, squeeze in widths.items():
            table += [*_fire(i, squeeze, 4 * squeeze), *([_pool(i)] if i in pooled else [])]
        return [
            *table,
            ("drop9", Dropout(0.5)),
            ("conv10", Conv2d(classes, 1, padding=final_padding)),
            ("relu_conv10", ReLU()),
            ("pool10", GlobalAvgPool2d()),
            ("prob", Softmax()),
        ]

    return layers


def _slimvgg(classes):
    """VGG-19 up to conv4_2: between two of its layers stand a few linear combinations, pc{i}_{j}.

    They are to be the principal components of what VGG-19 has there, see `methods.distillation`.
    The classifier is left out, `classes` too.
    """
    table = []
    for i, block in enumerate(SLIM, 1):
        for j, (filters, components) in enumerate(block, 1):
            last = j == len(block) and i < len(SLIM)
            table += [
                (f"conv{i}_{j}", Conv2d(filters, 3, padding=1)),
                (f"relu{i}_{j}", ReLU()),
                *([(f"pool{i}", AvgPool2d(2, 2))] if last else []),
                (f"pc{i}_{j}", Conv2d(components, 1)),
            ]
    return table


def _minivgg(norm):
    def layers(classes):
        table = []
        for i, channels, count in ((1, 32, 2), (2, 64, 2), (3, 128, 3), (4, 256, 3)):
            pool = MaxPool2d(2, 2) if i < 4 else GlobalAvgPool2d()
            table += [*_block(i, channels, count, norm=norm), (f"pool{i}", pool)]
        return [*table, ("drop4", Dropout(0.5)), ("fc5", Linear(classes)), ("prob", Softmax())]

    return layers


def _mini_top(classes):
    """What minialexnet and minizfnet share: 4x4 maps in, three convolutions, a small top."""
    return [
        *_conv(3, 80, 3, padding=1),
        *_conv(4, 80, 3, padding=1),
        *_conv(5, 64, 3, padding=1),
        _pool(5),
        *(("fc6", Linear(160)), ("relu6", ReLU()), ("drop6", Dropout(0.5))),
        *(("fc7", Linear(160)), ("relu7", ReLU()), ("drop7", Dropout(0.5))),
        *(("fc8", Linear(classes)), ("prob", Softmax())),
    ]


class Model(NamedTuple):
    """A row of the table: classes -> layers, the side of the picture, and how it is prepared."""

    layers: object
    size: int
    classes: int
    preprocess: dict


ALEXNET = (_conv(1, 96, 11, stride=4), _conv(2, 256, 5, padding=2, groups=2))
ZFNET = (_conv(1, 96, 7, stride=2, padding=1), _conv(2, 256, 5, stride=2))
MINIALEXNET = (_conv(1, 48, 11, stride=4, padding=4), _conv(2, 64, 5, padding=2))
MINIZFNET = (_conv(1, 48, 7, stride=2, padding=3), _conv(2, 64, 5, stride=2, padding=2))

MODELS = {
    "vgg16": Model(_vgg((2, 2, 3, 3, 3)), 224, 1000, CAFFE),
    "vgg19": Model(_vgg((2, 2, 4, 4, 4)), 224, 1000, CAFFE),
    "alexnet": Model(_as_alexnet(*ALEXNET, (_norm, _pool), _alexnet_top(2)), 227, 1000, CAFFE),
    "caffenet": Model(_as_alexnet(*ALEXNET, (_pool, _norm), _alexnet_top(2)), 227, 1000, CAFFE),
    "alexnet-torchvision": Model(_alexnet_torchvision, 224, 1000, TORCHVISION),
    "zfnet": Model(_as_alexnet(*ZFNET, (_pool, _norm), _alexnet_top(1)), 224, 1000, CAFFE),
    # the authors' version 1.0 pads its last 1x1 convolution, torchvision's does not
    "squeezenet": Model(_squeezenet(Conv2d(96, 7, stride=2), (4, 8), 1), 227, 1000, SQUEEZENET),
    "squeezenet-torchvision": Model(
        _squeezenet(Conv2d(96, 7, stride=2), (4, 8), 0), 224, 1000, TORCHVISION
    ),
    "squeezenet1_1": Model(_squeezenet(Conv2d(64, 3, stride=2), (3, 5), 0), 227, 1000, SQUEEZENET),
    "slimvgg": Model(_slimvgg, 224, 1, CAFFE),
    "minivgg": Model(_minivgg(norm=False), 64, 200, TINY_IMAGENET),
    "minivgg-bn": Model(_minivgg(norm=True), 64, 200, TINY_IMAGENET),
    "minialexnet": Model(
        _as_alexnet(*MINIALEXNET, (_norm, _pool), _mini_top), 64, 200, TINY_IMAGENET
    ),
    "minizfnet": Model(_as_alexnet(*MINIZFNET, (_pool, _norm), _mini_top), 64, 200, TINY_IMAGENET),
}
