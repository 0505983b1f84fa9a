"""The run-time compiler from PyPI (nvidia-cuda-nvrtc) by ctypes: needs no GPU and no driver."""

import ctypes
import importlib.util
from pathlib import Path

LIBRARIES = ("cu13/lib/libnvrtc.so.*", "cuda_nvrtc/lib/libnvrtc.so.*")  # CUDA 13, CUDA 12
DISASSEMBLERS = ("cu13/bin/nvdisasm", "cuda_nvdisasm/bin/nvdisasm")


class CompileError(Exception):
    pass


def find():
    """Return the library's path, or None."""
    return _first(LIBRARIES)


def disassembler():
    """Return the path of nvdisasm (nvidia-cuda-nvdisasm), or None."""
    return _first(DISASSEMBLERS)


def _first(patterns):
    spec = importlib.util.find_spec("nvidia")
    for root in spec.submodule_search_locations if spec else ():
        for pattern in patterns:
            found = sorted(Path(root).glob(pattern))
            if found:
                return found[-1]
    return None


class Compiler:
    def __init__(self, path):
        self._nvrtc = ctypes.CDLL(str(path))

    def compile(self, source, options):
        """Return (cubin, log); raise `CompileError` with the log."""
        program = ctypes.c_void_p()
        by = ctypes.byref(program)
        self._check("nvrtcCreateProgram", by, source.encode(), b"kernels.cu", 0, None, None)
        try:
            values = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
            status = self._nvrtc.nvrtcCompileProgram(program, len(options), values)
            log = self._output(program, "ProgramLog").rstrip(b"\0").decode()
            if status:
                raise CompileError(log)
            return self._output(program, "CUBIN"), log
        finally:
            self._nvrtc.nvrtcDestroyProgram(by)

    def _output(self, program, what):
        size = ctypes.c_size_t()
        self._check(f"nvrtcGet{what}Size", program, ctypes.byref(size))
        text = ctypes.create_string_buffer(size.value)
        self._check(f"nvrtcGet{what}", program, text)
        return text.raw

    def _check(self, name, *arguments):
        status = getattr(self._nvrtc, name)(*arguments)
        assert status == 0, f"{name}: status {status}"
