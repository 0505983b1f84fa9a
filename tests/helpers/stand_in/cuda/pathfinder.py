"""Where the stand-in for cuBLASLt lies."""

import ctypes
from types import SimpleNamespace

from cuda_on_cpu import module
from cupy import cuda


def load_nvidia_dynamic_lib(name):
    """Return the library, which keeps its products where the stream captures."""
    assert name == "cublasLt"
    path = str(module.cublaslt())
    library = ctypes.CDLL(path)

    def keep(number):
        return cuda.captured(lambda: library.redo(number))

    function = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int)(keep)
    ctypes.c_void_p.in_dll(library, "keep").value = ctypes.cast(function, ctypes.c_void_p).value
    _LOADED.append((library, function))
    return SimpleNamespace(abs_path=path)


def forget():
    """Have the library call nothing of this module any more, which may be let go of."""
    for library, _ in _LOADED:
        ctypes.c_void_p.in_dll(library, "keep").value = None


_LOADED = []  # with the functions that are called, which must live as long
