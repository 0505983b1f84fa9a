"""Matrix products by cuBLASLt, called through ctypes: CuPy has no binding of it.

Why not CuPy's `matmul`, which calls cuBLAS: that refuses to be captured in a CUDA graph. cuBLASLt
is given its stream and its workspace, adds the bias and rectifies while it writes, and takes
float16 factors with a float32 result.

cuBLASLt thinks in columns: a row-major (m, n) array is its n x m matrix. So out = a b is computed
as outᵀ = bᵀ aᵀ, with b as its first factor. Names below are those of cublasLt.h.
"""

import ctypes
import math

import numpy as np

from minicnn.errors import MinicnnError
from minicnn.kernels.loader import address

COMPUTE_32F, COMPUTE_32F_FAST_TF32 = 68, 77  # cublasComputeType_t
R_32F, R_16F = 0, 2  # cudaDataType_t
POINTER_MODE, TRANSA, TRANSB, EPILOGUE, BIAS_POINTER = 2, 3, 4, 7, 8  # MatmulDescAttributes_t
POINTER_MODE_HOST, POINTER_MODE_DEVICE = 0, 1
EPILOGUE_DEFAULT, EPILOGUE_RELU_BIAS = 1, 2 | 4
PREF_MAX_WORKSPACE_BYTES, PREF_MIN_ALIGNMENT = 1, (5, 6, 7, 8)  # the latter of A, B, C, D
ALIGNMENT = 16  # bytes, that all three matrices begin at a multiple of, where they do
WORKSPACE = 32 << 20  # bytes; what NVIDIA advises for Hopper, more than enough before it
OK, INVALID_VALUE, NOT_SUPPORTED = 0, 7, 15  # cublasStatus_t
POINTERS = ctypes.c_void_p


class Heuristic(ctypes.Structure):
    """cublasLtMatmulHeuristicResult_t."""

    _fields_ = (
        ("algorithm", ctypes.c_uint64 * 8),
        ("workspace", ctypes.c_size_t),
        ("state", ctypes.c_int),
        ("waves", ctypes.c_float),
        ("reserved", ctypes.c_int * 4),
    )


class Products:
    """Matrix products of the `library`, a ctypes.CDLL, with preallocated workspace.

    With `tf32` float32 factors may be rounded to TF32. stream() returns the address of the current
    stream. bias_relu(y, bias) does y = max(y + bias, 0), where cuBLASLt has no algorithm that does
    it on the way.
    """

    def __init__(self, library, buffers, *, tf32, stream, bias_relu):
        self._library, self._stream, self._plans = library, stream, {}
        self._bias_relu = bias_relu
        self._float_compute = COMPUTE_32F_FAST_TF32 if tf32 else COMPUTE_32F
        self._workspace = buffers.new(WORKSPACE, np.uint8)
        self._factors = (buffers.filled([0.0]), buffers.filled([1.0]))  # 0 and 1, on the device
        self._handle = ctypes.c_void_p()
        self._call("Create", ctypes.byref(self._handle))

    def __call__(self, a, b, out, *, transpose=(False, False), alpha=None, add=False, bias=None):
        """Out = alpha op(a) op(b), where op transposes if told so; `add` adds to what is in `out`.

        a and b are contiguous matrices, both float32 or both float16, `out` (m, n) is float32,
        alpha a float32 array (1,) on the device. With a bias (n,), out = max(alpha op(a) op(b) +
        bias, 0).
        """
        k = a.shape[0 if transpose[0] else 1]
        begins = address(a) | address(b) | address(out)  # a part of an array begins anywhere
        aligned = math.gcd(begins, ALIGNMENT)
        # a 0 that the library sees beforehand keeps it from reading `out`, which may hold NaN
        host = alpha is None
        given = (*out.shape, k, a.dtype.name, transpose, aligned, host)
        key = (*given, address(bias))
        if key not in self._plans:
            self._plans[key] = self._plan(*given, bias)
        description, first, second, result, found, fused = self._plans[key]
        if host:
            factors = (ctypes.byref(ctypes.c_float(1)), ctypes.byref(ctypes.c_float(add)))
        else:
            factors = (POINTERS(address(alpha)), POINTERS(address(self._factors[add])))
        self._call(
            "Matmul",
            self._handle,
            description,
            factors[0],
            POINTERS(address(b)),
            first,
            POINTERS(address(a)),
            second,
            factors[1],
            POINTERS(address(out)),
            result,
            POINTERS(address(out)),
            result,
            ctypes.byref(found.algorithm),
            POINTERS(address(self._workspace)),
            ctypes.c_size_t(WORKSPACE),
            POINTERS(self._stream()),
        )
        if bias is not None and not fused:
            self._bias_relu(out, bias)

    def _plan(self, m, n, k, dtype, transpose, aligned, host, bias):
        """Return (description, layouts of b, a and out, algorithm, whether it adds the bias)."""
        compute = COMPUTE_32F if dtype == "float16" else self._float_compute
        description = ctypes.c_void_p()
        self._call("MatmulDescCreate", ctypes.byref(description), compute, R_32F)
        attributes = {
            POINTER_MODE: ctypes.c_int32(POINTER_MODE_HOST if host else POINTER_MODE_DEVICE),
            TRANSA: ctypes.c_int32(transpose[1]),
            TRANSB: ctypes.c_int32(transpose[0]),
            EPILOGUE: ctypes.c_uint32(EPILOGUE_DEFAULT if bias is None else EPILOGUE_RELU_BIAS),
        }
        if bias is not None:
            attributes[BIAS_POINTER] = POINTERS(address(bias))
        for name, value in attributes.items():
            size = ctypes.c_size_t(ctypes.sizeof(value))
            self._call("MatmulDescSetAttribute", description, name, ctypes.byref(value), size)
        kind = R_16F if dtype == "float16" else R_32F
        first = self._layout(kind, *((n, k) if transpose[1] else (k, n)))
        second = self._layout(kind, *((k, m) if transpose[0] else (m, k)))
        layouts = (first, second, self._layout(R_32F, m, n))
        # some versions call an epilogue that they do not have an invalid value
        none = (NOT_SUPPORTED,) if bias is None else (NOT_SUPPORTED, INVALID_VALUE)
        found = self._algorithm(description, aligned, *layouts, none)
        if found is None and bias is not None:
            return (*self._plan(m, n, k, dtype, transpose, aligned, host, None)[:-1], False)
        if found is None:
            raise MinicnnError("cuBLASLt has no algorithm for a product; use --engine explicit")
        return description, *layouts, found, bias is not None

    def _layout(self, kind, rows, columns):
        """Describe a contiguous row-major matrix (rows, columns)."""
        layout = ctypes.c_void_p()
        sizes = (ctypes.c_uint64(columns), ctypes.c_uint64(rows), ctypes.c_int64(columns))
        self._call("MatrixLayoutCreate", ctypes.byref(layout), kind, *sizes)
        return layout

    def _algorithm(self, description, aligned, first, second, result, none):
        """Return what cuBLASLt thinks best, within our workspace; None if it says `none`."""
        preference = ctypes.c_void_p()
        self._call("MatmulPreferenceCreate", ctypes.byref(preference))
        wishes = {PREF_MAX_WORKSPACE_BYTES: ctypes.c_uint64(WORKSPACE)}
        wishes |= dict.fromkeys(PREF_MIN_ALIGNMENT, ctypes.c_uint32(aligned))
        for name, value in wishes.items():
            given = (ctypes.byref(value), ctypes.c_size_t(ctypes.sizeof(value)))
            self._call("MatmulPreferenceSetAttribute", preference, name, *given)
        found, count = Heuristic(), ctypes.c_int()
        layouts = (first, second, result, result)
        outputs = (1, ctypes.byref(found), ctypes.byref(count))
        given = (self._handle, description, *layouts, preference, *outputs)
        self._call("MatmulAlgoGetHeuristic", *given, allowed=(OK, *none))
        return found if count.value else None

    def _call(self, name, *arguments, allowed=(OK,)):
        status = getattr(self._library, f"cublasLt{name}")(*arguments)
        if status not in allowed:
            raise MinicnnError(f"cuBLASLt: {name} ended with status {status}")


def load():
    """Return the library that belongs to CuPy's CUDA, from a wheel or a toolkit."""
    try:
        from cuda.pathfinder import load_nvidia_dynamic_lib

        return ctypes.CDLL(load_nvidia_dynamic_lib("cublasLt").abs_path)
    except Exception as error:  # the module or the library is missing, each in its own words
        reason = " ".join(str(error).split())[:200]
        raise MinicnnError(
            f"no cuBLASLt ({reason}); install the extra cuda12-ctk or cuda13-ctk, or use "
            "--engine explicit"
        ) from None
