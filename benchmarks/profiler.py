"""The processor time of each function of minicnn, and of the NumPy calls in it.

`cProfile` cannot see NumPy's ufuncs, where all the time goes. Here Python's profile hook marks when
a function of minicnn begins and ends, and the larger NumPy functions are wrapped, so that a call is
known with the chain of functions that it came from.
"""

import resource
import sys
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import thread_time_ns

import numpy as np

import minicnn

PACKAGE = str(Path(minicnn.__file__).parent)
NUMPY = """matmul dot einsum tensordot add subtract multiply divide maximum minimum negative square
copyto sum max greater less greater_equal less_equal equal not_equal logical_and logical_or
bitwise_and bitwise_or packbits unpackbits ascontiguousarray concatenate pad where zeros""".split()
# a chain belongs to the first function in it that is here and does not only call others
OPERATIONS = ("ops.", "engine.", "objectives.")
THROUGH = (
    "engine.cpu.evaluator",
    "engine.cpu.threads",
    "engine.cpu.plan",
    "engine.select",
    "objectives.weighted_sum",
)


@dataclass
class Row:
    """What was spent somewhere."""

    ms: float = 0.0
    calls: int = 0
    flop: int = 0


@dataclass
class Found:
    """One watched evaluation; `chains` is {(function, function, ...): Row}, exclusive times."""

    ms: float = 0.0
    watched_ms: float = 0.0  # with what the watching cost
    kernel_ms: float = 0.0
    faults: int = 0
    chains: dict = field(default_factory=dict)


class Profile:
    """Watches the thread that it is used on."""

    def __init__(self):
        self._found, self._at, self._above, self._since = None, None, [], 0
        self._names = {_nothing.__code__: "nothing"}  # None for functions that are not minicnn's
        self._cost = (0.0, 0.0)
        self._cost = self._calibrated()

    def of(self, work):
        """Return the `Found` of one call of `work`."""
        self._found, self._at, self._above = Found(), _Call(), []
        usage = resource.getrusage(resource.RUSAGE_THREAD)
        started = self._since = thread_time_ns()
        sys.setprofile(self._event)
        try:
            work()
        finally:
            sys.setprofile(None)
        self._charge()
        root = self._above[0] if self._above else self._at
        found, self._found = self._found, None
        after = resource.getrusage(resource.RUSAGE_THREAD)
        found.chains = dict(root.chains(self._cost))
        found.ms = sum(row.ms for row in found.chains.values())
        found.watched_ms = (self._since - started) / 1e6
        found.kernel_ms = 1e3 * (after.ru_stime - usage.ru_stime)
        found.faults = after.ru_minflt - usage.ru_minflt
        return found

    @contextmanager
    def watching_numpy(self):
        """Context in which the functions `NUMPY` are wrapped."""
        originals = {name: getattr(np, name) for name in NUMPY}
        for name, function in originals.items():
            setattr(np, name, _Watched(name, function, self))
        try:
            yield
        finally:
            for name, function in originals.items():
                setattr(np, name, function)

    @property
    def watching(self):
        """Whether an evaluation is being watched just now."""
        return self._found is not None

    def enter(self, name):
        """Begin the function `name`."""
        self._charge()
        self._above.append(self._at)
        self._at = self._at.inner[name]
        self._at.row.calls += 1
        self._since = thread_time_ns()  # the lines above are nobody's

    def leave(self, flop=0):
        """End the function entered last."""
        self._charge()
        self._at.row.flop += flop
        self._at = self._above.pop()
        self._since = thread_time_ns()

    def _calibrated(self):
        """Return what watching a call adds to its own time and to that of its caller, in ms."""
        trials = []
        for _ in range(5):
            chains = self.of(lambda: [_nothing() for _ in range(1000)]).chains
            trials.append([row.ms / 1000 for row in chains.values()])
        above, own = (min(column) for column in zip(*trials, strict=True))
        return own, above

    def _event(self, frame, event, _):
        if event in ("call", "return"):
            code = frame.f_code
            if code not in self._names:
                self._names[code] = _name(code)
            name = self._names[code]
            if name and event == "call":
                self.enter(name + _layer(name, frame))
            elif name and self._above:
                self.leave()

    def _charge(self):
        self._at.row.ms += (thread_time_ns() - self._since) / 1e6


class _Call:
    """A function in its place in the tree of calls."""

    def __init__(self):
        self.row, self.inner = Row(), defaultdict(_Call)

    def chains(self, cost, chain=("other",)):
        """Yield ((function, function, ...), Row) of this call and all below, less `cost`."""
        inner = sum(call.row.calls for call in self.inner.values())
        cost_ms = cost[0] * self.row.calls + cost[1] * inner
        yield chain, Row(max(0.0, self.row.ms - cost_ms), self.row.calls, self.row.flop)
        for name, call in self.inner.items():
            yield from call.chains(cost, (*chain, name))


def _nothing():
    pass


def _layer(name, frame):
    """Return "@conv1_1" for the function that does that layer, else ""."""
    module, _, function = name.rpartition(".")
    if function not in ("forward", "backward"):
        return ""
    if module.startswith(("engine.cpu.units.", "engine.cpu.convolution_units.")):
        return "@" + frame.f_locals["self"].name
    if module.startswith("network."):  # the walk of a network, or a unit that uses the layer
        node = frame.f_back.f_locals.get("node")
        return f"@{node.name}" if node else ""
    return ""


def _name(code):
    if not code.co_filename.startswith(PACKAGE):
        return None
    module = code.co_filename[len(PACKAGE) + 1 : -3].replace("/", ".")
    return f"{module}.{getattr(code, 'co_qualname', code.co_name)}"


class _Watched:
    """A NumPy function that reports to a profile."""

    def __init__(self, name, function, profile):
        self._name, self._function, self._profile = "np." + name, function, profile

    def __call__(self, *args, **options):
        if not self._profile.watching:
            return self._function(*args, **options)
        self._profile.enter(self._name)
        result = None
        try:
            result = self._function(*args, **options)
        finally:
            product = self._name == "np.matmul" and result is not None
            self._profile.leave(2 * result.size * np.shape(args[0])[-1] if product else 0)
        return result

    def __getattr__(self, name):
        return getattr(self._function, name)  # np.add.reduce and the like


def best_of(work, repeats):
    """Return the least processor time of several calls, in milliseconds."""
    times = []
    for _ in range(repeats):
        started = thread_time_ns()
        work()
        times.append((thread_time_ns() - started) / 1e6)
    return min(times)


def by_operation(found, through=THROUGH):
    """Return [(operation, Row)], the longest first.

    Parameters
    ----------
    found : Found
    through : tuple of str
        Beginnings of names that call operations and are none.
    """

    def operation(chain):
        for name in chain:
            if name.startswith(OPERATIONS) and not name.startswith(tuple(through)):
                return name.partition("@")[0]
        return "walking the network"

    return _grouped(found, operation, lambda chain: operation(chain) == chain[-1].partition("@")[0])


def by_layer(found):
    """Return [(layer and direction, Row)]: a unit of the fast engine has the name of its last."""

    def layer(chain):
        for name in chain:
            function, _, layer = name.partition("@")
            if layer:
                return f"{layer} {function.rpartition('.')[2]}"
        return "in no layer"

    def first(chain):
        return "@" in chain[-1] and not any("@" in name for name in chain[:-1])

    return _grouped(found, layer, first)


def by_part(found):
    """Return [(function, Row)], with exclusive times, NumPy calls under their callers."""

    def part(chain):
        inner = [name.partition("@")[0] for name in chain if not name.startswith("np.")]
        called = [name for name in chain if name.startswith("np.")]
        return f"{inner[-1]}  {called[-1]}" if called else inner[-1]

    return _grouped(found, part, lambda chain: True)


def _grouped(found, key, counts):
    groups = defaultdict(Row)
    for chain, row in found.chains.items():
        group = groups[key(chain)]
        group.ms += row.ms
        group.flop += row.flop
        group.calls += row.calls if counts(chain) else 0
    return sorted(groups.items(), key=lambda item: -item[1].ms)
