import pytest

from minicnn.errors import MinicnnError
from minicnn.storage.npz import save_npz


def test_the_name_says_that_it_is_npz(tmp_path):
    with pytest.raises(MinicnnError, match=r"unknown suffix .\.txt.; use one of \.npz"):
        save_npz(tmp_path / "a.txt", {})
    assert not list(tmp_path.iterdir())
