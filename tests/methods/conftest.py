import numpy as np
import pytest
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
