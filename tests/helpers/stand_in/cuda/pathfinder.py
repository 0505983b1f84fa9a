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

    _KEPT.append(ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int)(keep))
    ctypes.c_void_p.in_dll(library, "keep").value = ctypes.cast(_KEPT[-1], ctypes.c_void_p).value
    return SimpleNamespace(abs_path=path)


_KEPT = []  # functions that the library calls
