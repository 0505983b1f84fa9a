"""Devices: what CuPy says without a GPU, with an old one, with a full one, in one line each."""

import os
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from minicnn import backend
from minicnn.cli import main
from minicnn.errors import MinicnnError
from minicnn.runs.failures import in_words

H200 = {"name": b"NVIDIA H200", "major": 9, "minor": 0}
GTX_1080 = {"name": b"GTX 1080", "major": 6, "minor": 1}
KEPLER = {"name": b"Tesla K40", "major": 3, "minor": 5}


class CUDARuntimeError(RuntimeError):
    pass


class OutOfMemoryError(MemoryError):
    pass


class Array(np.ndarray):
    def get(self):
        return self.view(np.ndarray)


class Device:
    current, compute_capability = 0, "90"

    def __init__(self, index=0):
        self.index = index

    def use(self):
        Device.current = self.index

    def __enter__(self):
        self.before, Device.current = Device.current, self.index
        return self

    def __exit__(self, *error):
        Device.current = self.before


def fake_cupy(cards=(H200,), driver=13000, runtime=13020, raising=None, free=100 << 30):
    """Return a module that says what CuPy says on a machine with such cards."""

    def count():
        if raising:
            raise CUDARuntimeError(raising)
        return len(cards)

    def asarray(x):
        if x.nbytes > free:
            raise OutOfMemoryError
        return x.view(Array)

    cupy = ModuleType("cupy")
    cupy.__version__, cupy.ndarray, cupy.asarray = "14.2.0", Array, asarray
    cupy.cuda = SimpleNamespace(
        Device=Device,
        runtime=SimpleNamespace(
            CUDARuntimeError=CUDARuntimeError,
            driverGetVersion=lambda: driver,
            runtimeGetVersion=lambda: runtime,
            getDeviceCount=count,
            getDeviceProperties=lambda index: cards[index],
            memGetInfo=lambda: (free, 141 << 30),
        ),
        nvrtc=SimpleNamespace(getVersion=lambda: (13, 0)),
        memory=SimpleNamespace(OutOfMemoryError=OutOfMemoryError),
    )
    return cupy


@pytest.fixture
def machine(monkeypatch):
    monkeypatch.setattr(Device, "current", 0)

    def install(cupy):
        monkeypatch.setitem(sys.modules, "cupy", cupy)
        return cupy

    return install


def test_a_usable_device_is_found_and_becomes_the_current_one(machine):
    machine(fake_cupy((H200, H200)))
    assert backend.resolve_device("auto") == "cuda"
    assert backend.resolve_device("cuda:1") == "cuda:1"
    assert Device.current == 1
    x = backend.to_device(np.arange(3.0), "cuda:1")
    assert isinstance(x, Array)
    assert type(backend.to_host(x)) is np.ndarray
    card = backend.devices()[1]
    assert card == {
        "name": "NVIDIA H200",
        "compute_capability": 90,
        "memory": 141 << 30,
        "free": 100 << 30,
    }


# what CuPy is and says -> what we say
PROBLEMS = {
    "no-cupy": (None, "needs CuPy; install the extra cuda12-ctk or cuda13-ctk"),
    "no-driver": (fake_cupy(driver=0), "no CUDA driver; install the driver"),
    "old-driver": (
        fake_cupy(driver=12020),
        "knows CUDA 12.2, CuPy uses 13.2; update the driver, or use the extra cuda12-ctk",
    ),
    "very-old-driver": (fake_cupy(driver=10010), "knows CUDA 10.1.*use --device cpu"),
    "no-device": (
        fake_cupy(raising="cudaErrorNoDevice: no CUDA-capable device is detected"),
        "no CUDA device is visible .see CUDA_VISIBLE_DEVICES.",
    ),
    "no-memory": (
        fake_cupy(raising="cudaErrorMemoryAllocation: out of memory"),
        "cuda has no free memory left, not even to start",
    ),
    "broken": (
        fake_cupy(raising="cudaErrorDevicesUnavailable: all CUDA-capable devices are busy"),
        "cuda cannot be used .*busy.*use --device cpu",
    ),
    "old-card": (
        fake_cupy((GTX_1080,)),
        "cuda .GTX 1080, compute capability 6.1. is too old for CUDA 13, which begins at 7.5; "
        "install the extra cuda12-ctk",
    ),
    "very-old-card": (fake_cupy((KEPLER,)), "Tesla K40.* too old .* use --device cpu"),
}


@pytest.mark.parametrize("problem", PROBLEMS)
def test_a_device_that_cannot_be_used_gets_one_line(machine, capsys, problem):
    cupy, message = PROBLEMS[problem]
    machine(cupy)
    with pytest.raises(MinicnnError, match=message):
        backend.resolve_device("cuda")
    assert backend.resolve_device("auto") == "cpu"
    assert main(["info"]) == 0
    assert "cuda      none: " in capsys.readouterr().out


def test_an_old_card_works_with_an_older_cuda(machine):
    machine(fake_cupy((GTX_1080,), driver=12040, runtime=12080))
    assert backend.resolve_device("cuda") == "cuda"


def test_a_toolkit_that_is_missing_gets_one_line(machine):
    cupy = machine(fake_cupy())

    def missing():
        raise RuntimeError("CuPy failed to load libnvrtc.so.13")

    cupy.cuda.nvrtc.getVersion = missing
    with pytest.raises(MinicnnError, match=r"no CUDA libraries .*libnvrtc.*cuda13-ctk"):
        backend.resolve_device("cuda")


def test_a_cupy_that_does_not_load_says_why(monkeypatch, machine):
    class Broken:
        def find_spec(self, name, path=None, target=None):
            if name == "cupy":
                raise ImportError("libfoo.so.1: cannot open")

    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    with pytest.raises(MinicnnError, match=r"needs CuPy, which does not load: libfoo\.so\.1"):
        backend.resolve_device("cuda")


def test_auto_takes_the_newest_device_that_can_be_used_and_has_most_room(machine):
    a100 = {"name": b"A100", "major": 8, "minor": 0}
    rooms = [9, 50, 7, 60]
    cupy = machine(fake_cupy((KEPLER, a100, H200, H200)))
    cupy.cuda.runtime.memGetInfo = lambda: (rooms[Device.current] << 30, 141 << 30)
    assert backend.resolve_device("auto") == "cuda:3"
    rooms[2] = 70
    assert backend.resolve_device("auto") == "cuda:2"
    with pytest.raises(MinicnnError, match="Tesla K40"):
        backend.resolve_device("cuda:0")


def test_a_device_is_checked_once_however_many_arrays_cross(machine):
    cupy, asked = machine(fake_cupy()), []
    look = cupy.cuda.runtime.getDeviceProperties
    cupy.cuda.runtime.getDeviceProperties = lambda index: asked.append(index) or look(index)
    for _ in range(3):
        backend.to_device(np.zeros(3), "cuda")
    assert asked == [0]


@pytest.mark.smoke
@pytest.mark.parametrize("name", ["gpu", "cuda:x", "cuda:-1", "cuda:2"])
def test_there_is_no_such_device(machine, name):
    machine(fake_cupy((H200, H200)))
    with pytest.raises(MinicnnError, match=f"no device '{name}'"):
        backend.resolve_device(name)


def test_an_array_that_does_not_fit_gets_one_line(machine):
    machine(fake_cupy(free=1000))
    with pytest.raises(MinicnnError, match="cuda has no memory for an array of 8000 bytes"):
        backend.to_device(np.zeros(1000), "cuda")


def test_info_shows_devices_and_memory(machine, capsys):
    def not_here():
        raise RuntimeError("not here")

    cupy = machine(fake_cupy())
    cupy.zeros = np.zeros
    stream = {"begin_capture": lambda self: None, "end_capture": lambda self: not_here()}
    stream |= {"__enter__": lambda self: self, "__exit__": lambda self, *error: None}
    cupy.cuda.Stream = type("Stream", (), stream)
    assert main(["info"]) == 0
    shown = capsys.readouterr().out
    assert "arrays    numpy, cupy 14.2.0 (CUDA 13.2)\n" in shown
    assert "devices   cpu, cuda:0 (NVIDIA H200, 9.0, 100.0 of 141.0 GB free)\n" in shown
    assert "graphs    no, steps are run one by one (RuntimeError: not here)\n" in shown


@pytest.mark.parametrize(
    ("module", "name", "said"),
    [
        ("cupy.cuda.compiler", "CompileException", "CuPy lacks a part of CUDA (a b); install"),
        ("cuda.pathfinder._dynamic_libs", "DynamicLibNotFoundError", "CuPy lacks a part of CUDA"),
        ("cupy_backends.cuda.api.runtime", "CUDARuntimeError", "the GPU gave up: a b; try again"),
    ],
)
def test_what_cupy_raises_is_told_in_one_line(module, name, said):
    error = type(name, (RuntimeError,), {"__module__": module})("a\nb\n")
    assert said in in_words(error)


def test_memory_that_is_short_on_a_device_names_it():
    error = MemoryError("Out of memory allocating 1,024 bytes (allocated so far: 512 bytes).")
    assert in_words(error).startswith("out of memory on the GPU (wanted 1,024 bytes; see --gpu")
    assert in_words(MemoryError("Unable to allocate 8 B for an array")).startswith(
        "out of memory ("
    )


@pytest.mark.parametrize(
    ("text", "stored"),
    [("8G", str(8 << 30)), ("1.5gb", str(3 << 29)), ("500M", str(500 << 20)), ("50%", "50%")],
)
def test_memory_can_be_bounded(monkeypatch, text, stored):
    monkeypatch.setenv(backend.MEMORY_VARIABLE, "")
    backend.limit_memory(text)
    backend.limit_memory(stored)  # what it makes can be given again
    assert os.environ[backend.MEMORY_VARIABLE] == stored


@pytest.mark.parametrize("text", ["", "much", "-1G", "0", "101%", "1T"])
def test_what_is_no_amount_of_memory_is_refused(text):
    with pytest.raises(MinicnnError, match="no amount of GPU memory"):
        backend.limit_memory(text)
