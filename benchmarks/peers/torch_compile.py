"""torch.compile."""

import os
import shutil
from functools import partial

os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")  # no workers left beside the timing

from peers import _torch

PACKAGES = ("torch",)
KINDS = ("gradient", "forward")
WHEN = "full"  # compiling takes half a minute

prepare = partial(_torch.prepare, channels_last=True, compiled=True)


def why_not():
    """PyTorch compiles to C++ on the CPU."""
    compilers = (os.environ.get("CXX", "c++"), "g++", "clang++")
    return None if any(map(shutil.which, compilers)) else "there is no C++ compiler"
