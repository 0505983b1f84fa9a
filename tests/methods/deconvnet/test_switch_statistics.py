import numpy as np

from minicnn.methods.deconvnet import switch_statistics
from minicnn.network.layers import MaxPool2d
from minicnn.network.network import Network


def test_pool_shares_count_zero_windows_and_shared_winners():
    x = np.zeros((1, 1, 3, 5))
    x[0, 0, 1, 1] = 1  # the winner of four windows; the other four are 0, each with its own first
    net = Network([("pool", MaxPool2d(2, 1))], {}, (1, 3, 5))
    acts = net.forward(x, ["pool"])
    found = switch_statistics.pool_shares(acts, net.switches())["pool"]
    assert found == {"zero_windows": 0.5, "shared_winners": 0.5}
