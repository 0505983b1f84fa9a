from pathlib import Path

import numpy as np
import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(scope="session", autouse=True)
def empty_cache(tmp_path_factory):
    """Networks that somebody has fetched on this machine change no test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINICNN_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def shared_data():
    """The folder of real pictures and networks beside the checkout; tests that need it skip."""
    if not SHARED.is_dir():
        pytest.skip("no folder shared/data beside the checkout")
    return SHARED
