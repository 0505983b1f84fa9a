import numpy as np
import pytest
from look_testing import classifier
from PIL import Image

import minicnn
from minicnn.cli import main


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    """A minivgg with random weights and classes that have names."""
    path = tmp_path_factory.mktemp("weights") / "minivgg.h5"
    net = minicnn.build("minivgg", seed=0)
    net.attrs["classes"] = [f"thing {i}" for i in range(200)]
    minicnn.save(net, path)
    return path


@pytest.fixture
def command(tmp_path, rng, monkeypatch, weights, capfd):
    """Run a verb that looks at a picture; return (code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    Image.fromarray(rng.integers(0, 256, (70, 90, 3), np.uint8)).save("picture.png")

    def run(verb, *options):
        name = () if verb == "class-model" else ("picture.png",)
        code = main([verb, *name, *map(str, options), "--weights", str(weights), "--threads", "1"])
        return (code, *capfd.readouterr())

    return run


@pytest.fixture
def net():
    """A small classifier; this and what follows is for the tests of attribution."""
    return classifier()


@pytest.fixture
def x(rng):
    return rng.standard_normal((2, 3, 12, 12))


@pytest.fixture
def target():
    """Class 2 of the first picture, class 0 of the second."""
    from minicnn.methods.attribution.target import Target

    return Target("fc3", np.array([2, 0]))


@pytest.fixture
def twin(net):
    """The network in PyTorch, up to the scores, its layers by name."""
    torch = pytest.importorskip("torch")
    nn = torch.nn
    layers = {
        "conv1": nn.Conv2d(3, 4, 3, padding=1),
        "relu1": nn.ReLU(),
        "pool1": nn.MaxPool2d(2, 2),
        "conv2": nn.Conv2d(4, 6, 3, padding=1),
        "relu2": nn.ReLU(),
        "flat": nn.Flatten(),
        "fc3": nn.Linear(6 * 6 * 6, 3),
    }
    module = nn.Sequential()
    for name, layer in layers.items():
        module.add_module(name, layer)
    module = module.double()
    module.load_state_dict({key: torch.from_numpy(w) for key, w in net.params.items()})
    return module
