import numpy as np
import pytest
from look_testing import classifier

from minicnn.errors import MinicnnError
from minicnn.methods.classes import scores
from minicnn.network import build
from minicnn.network.layers import Conv2d, Linear, ReLU


def test_classes_are_found_by_number_name_and_part():
    net = classifier()
    assert scores.scores_layer(net) == "fc3"
    found = [scores.find_class(net, text, 3) for text in ("2", 0, "Shark", "gold", " white ")]
    assert found == [2, 0, 2, 0, 1]
    assert scores.class_name(net, 1) == "great white shark"
    assert scores.class_name(classifier(names=None), 1) == "class 1"
    (first, *_) = scores.ranking(net, np.array([1.0, 3, 2]))
    assert (first["class"], first["score"]) == (1, 3.0)


def test_the_last_layer_of_maps_is_not_the_classes_own():
    nets = {
        "minivgg": "relu4_3",
        "squeezenet": "fire9/concat",
        "alexnet": "pool5",
        "vgg16": "pool5",
    }
    for name, layer in nets.items():
        net = build.skeleton(name)
        at = scores.scores_layer(net)
        assert scores.last_map_layer(net, at, net.input_shape) == layer


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: scores.scores_layer(classifier(("conv1", Conv2d(4, 3)), ("relu1", ReLU()))),
            r"tiny has no classes: it ends in the map relu1 \(4, 10, 10\)",
        ),
        (lambda: scores.find_class(classifier(names=None), "dog", 3), "knows no class names"),
        (lambda: scores.find_class(classifier(), "-1", 3), "no class -1; use 0 to 2"),
        (lambda: scores.find_class(classifier(), "", 3), "no class is called ''"),
        (
            lambda: scores.last_map_layer(classifier(("fc1", Linear(3))), "fc1", (3, 12, 12)),
            "no layer of maps before its scores",
        ),
    ],
)
def test_bad_calls_end_in_one_line(call, message):
    with pytest.raises(MinicnnError, match=message):
        call()
