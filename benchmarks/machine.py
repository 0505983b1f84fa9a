"""What the figures were measured on."""

import hashlib
import os
import platform
import subprocess
from functools import cache
from pathlib import Path

import minicnn


def facts():
    """Return {name: value} of processor, memory, system, Python, BLAS and the sources of now."""
    return {**_machine(), "commit": _commit(), "source": _source()}


@cache
def _machine():
    return {
        "processor": _processor(),
        "processors": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "memory_gb": _memory_gb(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "blas": _blas(),
    }


def line(machine):
    """Return the facts on one line."""
    blas = ", ".join(machine["blas"])
    return (
        f"{machine['processors']} x {machine['processor']}, {machine['memory_gb']} GB, "
        f"{machine['system']}, Python {machine['python']}, {blas}, minicnn {machine['commit']}"
    )


def _processor():
    try:
        for text in Path("/proc/cpuinfo").read_text().splitlines():
            if text.startswith("model name"):
                return text.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _memory_gb():
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)
    except (ValueError, OSError):
        return None


def _blas():
    import numpy as np  # noqa: F401 - loads the library that is asked for
    from threadpoolctl import threadpool_info

    found = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
    return sorted({f"{p['internal_api']} {p['version']} ({p.get('architecture')})" for p in found})


def _source():
    """Hash of all that is timed and of what times it: figures of other sources are old."""
    here, found = Path(__file__).resolve().parent, hashlib.sha256()
    for folder in (here, Path(minicnn.__file__).parent):
        for path in sorted(folder.rglob("*.py")):
            found.update(path.read_bytes())
    return found.hexdigest()[:16]


def _commit():
    def git(*words):
        here = Path(__file__).parent
        done = subprocess.run(("git", *words), cwd=here, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no", "--", "../minicnn", ".")
        return git("rev-parse", "--short", "HEAD") + (" and changes" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown commit"
