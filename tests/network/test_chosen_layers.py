import pytest
from features_testing import small_network

from minicnn.errors import MinicnnError
from minicnn.network import build, chosen_layers


@pytest.fixture(scope="module")
def net():
    return small_network()


def test_layers_by_pattern(net):
    assert chosen_layers.choose_layers(net) == ["relu1", "both"]
    wanted = ["relu1", "relu2", "both", "relu4"]
    assert chosen_layers.choose_layers(net, ["both", "relu*"]) == wanted
    with pytest.raises(
        MinicnnError, match="no layer 'relu9' in small; its layers are conv1, relu1"
    ):
        chosen_layers.choose_layers(net, ["relu9"])


def test_layers_by_what_stands_around_them(net):
    assert chosen_layers.relus_of_convolutions(net) == ["relu1", "relu2"]
    assert chosen_layers.relu_behind(net, "conv2") == "relu2"
    assert chosen_layers.relu_behind(net, "wide") == "wide"
    assert chosen_layers.relu_behind(build.skeleton("minivgg-bn"), "conv2_1") == "relu2_1"
    assert chosen_layers.pools_below(net, ["relu2"]) == ["pool1"]
    assert chosen_layers.pools_below(net, ["pool1", "fc4"]) == ["pool1", "pool2"]
    assert chosen_layers.weights_below(net, "pool2") == ["side.weight", "wide.weight"]
