"""Run cases under AddressSanitizer: python sanitized.py CASE [OLD NEW], a change to the source."""

import subprocess
import sys
from functools import cache, partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from cuda_on_cpu.kernel_cases import CASES, files_of
from cuda_on_cpu.module import COMPILER, CpuModule

from minicnn.kernels import loader


def runtime():
    """Return the sanitizer's library, to be preloaded, or None."""
    if COMPILER is None:
        return None
    command = [COMPILER, "-print-file-name=libasan.so"]
    path = Path(subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip())
    return str(path.resolve()) if path.is_absolute() and path.exists() else None


def main(names, old="", new=""):
    text = loader.source(loader.FILES if names == "all" else files_of(names))
    assert old in text
    make = cache(partial(CpuModule, source=text.replace(old, new), sanitize=True))
    for name in CASES if names == "all" else [names]:
        CASES[name](make)
        print(name, "done", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
