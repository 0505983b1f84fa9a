"""Our L-BFGS: the product with H, the line search, restarts to the bit, the device."""

import subprocess
import sys
import types
from copy import deepcopy
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from cuda_on_cpu.kernel_cases import operations_on
from cuda_on_cpu.module import CpuModule, needs_compiler
from minimised import bowl, rosenbrock, small_style
from played_gpu import gpus as gpus

import minicnn
from minicnn.backend import to_device, to_host
from minicnn.kernels import launch
from minicnn.optimizers import (
    METHODS,
    WITHOUT_RATE,
    Memory,
    minimize,
    record,
    setulb,
    vectors,
)
from minicnn.optimizers.lbfgs_products import Box, PairProducts, Place
from minicnn.optimizers.line_search import C1, C2, cubic_minimum, strong_wolfe
from minicnn.optimizers.vectors import (
    HOST_STRIP,
    MANY,
    add_scaled,
    combined,
    distance,
    dot,
    products,
    step_to,
)

# vectors


@pytest.mark.parametrize("n", [1, HOST_STRIP, 2 * HOST_STRIP + 3])
def test_sums_are_float64_and_the_rest_is_in_place(rng, n):
    a, b = (rng.standard_normal(n).astype(np.float32) for _ in range(2))
    assert dot(a, b) == pytest.approx(np.sum(a.astype(float) * b.astype(float)), rel=1e-12)
    assert distance(a, b) == pytest.approx(np.linalg.norm(a.astype(float) - b), rel=1e-12)
    expected = b + np.float32(0.3) * a
    add_scaled(b, 0.3, a)
    np.testing.assert_array_equal(b, expected)
    np.testing.assert_allclose(step_to(a, 2.0, b), a + 2 * b)
    assert step_to(a, 2.0, b).dtype == np.float32


@pytest.mark.parametrize("n", [1, HOST_STRIP, 2 * HOST_STRIP + 3])
@pytest.mark.parametrize("count", [5, MANY // HOST_STRIP, 2 * MANY // HOST_STRIP])
def test_products_of_many_vectors_are_float64(rng, n, count):
    rows = rng.standard_normal((count, n)).astype(np.float32)
    columns = list(rng.standard_normal((2, n)).astype(np.float32))
    found, single = products(rows, columns, [(rows[0], columns[1]), (columns[0], columns[0])])
    expected = np.array(columns, float) @ rows.astype(float).T
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12 * n)
    assert single == pytest.approx([expected[1, 0], dot(columns[0], columns[0])])
    total = combined([1, 2, 0, -1, 0.5, 3], rows[:5], columns[0])
    assert total.dtype == np.float32
    parts = rows[0] + 2 * rows[1] - rows[3] + 0.5 * rows[4] + 3 * columns[0]
    np.testing.assert_allclose(total, parts, rtol=1e-5, atol=1e-5)


def test_a_small_term_beside_a_large_one_is_not_lost():
    large = np.array([1e8, 1.0, -1e8], np.float32)
    assert dot(large, np.ones(3, np.float32)) == 1.0


# the two loops


def dense_inverse(memory):
    """H after the updates of the pairs by BFGS (Nocedal & Wright, equation 6.17), as a matrix."""
    pairs = [memory.pairs[:, slot] for slot in memory.order]
    s, y = pairs[-1]
    H = (s @ y) / (y @ y) * np.eye(s.size)
    for s, y in pairs:
        rho = 1 / (s @ y)
        left = np.eye(s.size) - rho * np.outer(s, y)
        H = left @ H @ left.T + rho * np.outer(s, s)
    return H


class Walk:
    """Steps that are given, over Σ x·Ax / 2, as an L-BFGS remembers them."""

    def __init__(self, A, x, most, bounds=None):
        self.A, self.memory, self.box = A, Memory(), Box(bounds, np)
        self.memory.make_room(x, most)
        self.place = Place(x, A @ x, self.box)
        self.products = PairProducts(self.memory, self.box, self.place)

    def evaluate(self, x, finite):
        assert finite(self.A @ x)
        return 0.0, None

    def step(self, direction):
        self.place = self.products.evaluated(self, self.place, 1.0, direction)
        self.products.learn()


@pytest.mark.parametrize("most", [1, 3, 8])
@pytest.mark.parametrize("again", [False, True], ids=["learnt", "read"])
def test_the_direction_is_that_of_the_inverse_that_bfgs_builds(rng, most, again):
    n = 6
    A = rng.standard_normal((n, n))
    walk = Walk(A @ A.T + np.eye(n), rng.standard_normal(n), most)
    for _ in range(5):
        step, before = rng.standard_normal(n), walk.place
        walk.step(step)
        assert walk.place.slope == pytest.approx(walk.place.gradient @ step)
        assert walk.memory.length == pytest.approx(np.linalg.norm(step))
        np.testing.assert_allclose(walk.place.x, before.x + step)
    assert len(walk.memory.order) == min(most, 5)
    found = PairProducts(walk.memory, walk.box, walk.place) if again else walk.products
    direction, slope = found.descent(walk.place)
    np.testing.assert_allclose(
        direction, -dense_inverse(walk.memory) @ walk.place.gradient, rtol=1e-9
    )
    assert slope == pytest.approx(walk.place.gradient @ direction)
    assert found.norm == pytest.approx(np.linalg.norm(walk.place.gradient))


def test_pixels_that_their_bounds_hold_stand_still_and_the_inverse_sees_the_rest(rng):
    A = np.diag([1.0, 2.0, 3.0, 4.0]) + 0.2
    walk = Walk(A, np.array([1.0, 0.3, -0.8, 0.4]), 3, (np.full(4, 0.25), np.full(4, 2.0)))
    walk.step(np.array([0.1, -0.4, 0.3, 0.0]))
    x, gradient = walk.place.x, walk.place.gradient
    np.testing.assert_allclose(x, [1.1, 0.25, 0.25, 0.4])
    assert (gradient > 0).all()
    free = gradient * [1, 0, 0, 1]
    direction, slope = walk.products.descent(walk.place)
    expected = -dense_inverse(walk.memory) @ free
    np.testing.assert_allclose(direction, expected * [1, 0, 0, 1], rtol=1e-12)
    assert walk.products.norm == pytest.approx(np.linalg.norm(free))
    assert slope == pytest.approx(gradient @ direction)


def test_a_pair_without_curvature_is_not_remembered():
    walk = Walk(np.eye(3), np.zeros(3), 5)
    for curvature, kept in ((1.0, 1), (0.0, 1), (-1.0, 1), (2.0, 2)):
        walk.A, walk.place = curvature * np.eye(3), Place(np.zeros(3), np.zeros(3), walk.box)
        walk.step(np.ones(3))
        assert len(walk.memory.order) == kept
    np.testing.assert_array_equal(walk.memory.pairs[1, walk.memory.order], [[1.0] * 3, [2.0] * 3])


def test_other_room_leaves_the_newest_pairs(rng):
    walk = Walk(np.eye(4), rng.standard_normal(4), 3)
    for _ in range(5):
        walk.step(rng.standard_normal(4))
    memory = walk.memory
    newest = memory.pairs[:, memory.order[-2:]].copy()
    for most in (2, 6):
        memory.make_room(walk.place.x, most)
        np.testing.assert_array_equal(memory.pairs[:, memory.order], newest)
        assert memory.spare not in memory.order


@pytest.mark.parametrize("name", WITHOUT_RATE)
@pytest.mark.parametrize("first", [None, 1e-300])
@pytest.mark.parametrize("slope", [1e-20, 1e200], ids=["flat", "steep"])
def test_a_length_beyond_all_numbers_ends_the_run_not_the_program(name, first, slope):
    fun = lambda x: (1e300, np.full_like(x, slope))  # noqa: E731
    result = minimize(name, fun, np.ones(4), iterations=3, first_step=first)
    assert result.status in ("not-finite", "stalled")


# the line search

CURVES = {
    "parabola": lambda t: ((t - 1) ** 2, 2 * (t - 1)),
    "far": lambda t: ((t - 50) ** 2, 2 * (t - 50)),
    "near": lambda t: ((t - 1e-3) ** 2, 2 * (t - 1e-3)),
    "wave": lambda t: (np.cos(3 * t) + 0.1 * t**2 - t / 2, -3 * np.sin(3 * t) + t / 5 - 0.5),
    "cliff": lambda t: (t**2 - t, 2 * t - 1) if t < 1 else (1e200, 1e200),
    "wall": lambda t: (-t + np.exp(8 * (t - 1)), -1 + 8 * np.exp(8 * (t - 1))),
    # More & Thuente's functions 1 and 2
    "more-thuente 1": lambda t: (-t / (t**2 + 2), (t**2 - 2) / (t**2 + 2) ** 2),
    "more-thuente 2": lambda t: (
        (t + 0.004) ** 5 - 2 * (t + 0.004) ** 4,
        5 * (t + 0.004) ** 4 - 8 * (t + 0.004) ** 3,
    ),
}


@pytest.mark.parametrize("curve", CURVES)
@pytest.mark.parametrize("first", [1e-3, 0.1, 1.0, 10.0])
def test_the_step_meets_both_conditions(curve, first):
    phi, asked = CURVES[curve], []

    def watched(t):
        asked.append(t)
        return phi(t)

    value, slope = phi(0.0)
    step, settled = strong_wolfe(watched, value, slope, first, 40)
    assert settled
    assert step == asked[-1]
    assert phi(step)[0] <= value + C1 * step * slope
    assert abs(phi(step)[1]) <= C2 * abs(slope)
    assert len(asked) <= 16


def wave(rng):
    """Return φ, a sum of sines above a parabola or not, that falls at 0."""
    sizes, phases = rng.standard_normal((2, 3))
    rates, bend = rng.uniform(0.3, 6, 3), rng.choice([0.0, 0.01, 0.1, 1.0])
    sizes *= -np.sign((sizes * rates * np.cos(phases)).sum())

    def phi(t):
        angles = rates * t + phases
        value, slope = sizes @ np.sin(angles), (sizes * rates) @ np.cos(angles)
        return float(value + bend * t * t), float(slope + 2 * bend * t)

    return phi


def test_the_trials_are_those_of_scipys_search(rng):
    dcsrch = pytest.importorskip("scipy.optimize._dcsrch")  # private
    searched = 0
    for _ in range(3000):
        phi, first, theirs, ours = wave(rng), float(10 ** rng.uniform(-3, 1.5)), [], []

        def watched(t, phi=phi, ours=ours):
            ours.append(t)
            return phi(t)

        _, settled = strong_wolfe(watched, *phi(0.0), first)
        search = dcsrch.DCSRCH(
            lambda t, phi=phi, theirs=theirs: theirs.append(t) or phi(t)[0],
            lambda t, phi=phi: phi(t)[1],
            C1, C2, 0.1, 0.0, 1e10,
        )  # fmt: skip
        *_, task = search(first, *phi(0.0), maxiter=21)
        if task[:4] == b"WARN":  # the best of a narrow interval, which ours goes on to shrink
            same = len(theirs) - 1
            assert len(ours) >= same
        else:
            same = len(theirs)
            assert len(ours) == same
            assert settled == (task[:4] == b"CONV")
        assert ours[:same] == pytest.approx(theirs[:same], rel=1e-9)
        searched += same > 2
    assert searched > 500


def test_slopes_too_small_to_be_told_apart_end_a_search():
    trials = iter([(-0.001, 0.001), (1e-310, -5e-324), (-5e-324, 1.0), (0.0, 1.0)])
    assert strong_wolfe(lambda t: next(trials), 0.0, -5e-324, 0.5, 4) == (0.5, False)


def test_a_search_that_finds_nothing_says_so():
    calls = []

    def uphill(t):
        calls.append(t)
        return t, -1.0

    assert strong_wolfe(uphill, 0.0, -1.0, 1.0, 7) == (None, False)
    assert len(calls) == 7


def test_a_search_cut_short_gives_the_lowest_it_saw():
    phi = CURVES["far"]
    step, settled = strong_wolfe(phi, *phi(0.0), 1e-3, 3)
    assert not settled
    assert phi(step)[0] < phi(0.0)[0]


def test_the_cubic_through_two_points_is_exact():
    cubic = lambda t: (t**3 - 2 * t**2 + 1, 3 * t**2 - 4 * t)  # noqa: E731
    for a, b in ((0.5, 2.0), (2.0, 0.5), (1.0, 1.2)):
        found = cubic_minimum((a, *cubic(a)), (b, *cubic(b)))
        assert found == pytest.approx(4 / 3)


# whole runs


@pytest.mark.parametrize("bounds", [None, (-60, 70)], ids=["free", "bounds"])
def test_a_run_that_is_cut_in_two_takes_the_same_steps_to_the_bit(bounds):
    fun, start = small_style()
    whole = minimize("lbfgs-device", fun, start, iterations=18, bounds=bounds, keep="last")
    memory, x, values = Memory(), start, []
    for iterations in (5, 1, 12):
        part = minimize(
            "lbfgs-device",
            fun,
            x,
            iterations=iterations,
            bounds=bounds,
            memory=memory,
            keep="last",
        )
        x = part.x
        values += [entry["value"] for entry in part.trace[1:]]
    np.testing.assert_array_equal(x, whole.x)
    assert values == [entry["value"] for entry in whole.trace[1:]]
    assert len(memory.order) == 10


def both_ways(fun, start, iterations):
    """Return for each of the two L-BFGS the x after every iteration, and the evaluations so far."""
    found = []
    for name in ("lbfgs", "lbfgs-device"):
        way, counts = [], []

        def note(_, x, value, info, way=way, counts=counts):
            way.append(x.copy())
            counts.append(info["evaluations"])

        minimize(name, fun, start, iterations=iterations, callback=note)
        found.append((np.array(way), counts))
    return found


@pytest.mark.parametrize("case", [*range(4), "valley"])
def test_the_steps_are_those_of_scipys_lbfgsb(case):
    fun, start = rosenbrock, 30 * np.random.default_rng(5).standard_normal(20)
    if case != "valley":
        fun, start = small_style(case, dtype="float64")
    (theirs, counts), (ours, own_counts) = both_ways(fun, start, 50)
    assert own_counts == counts
    assert len(ours) == 50
    assert np.abs(ours - theirs).max() < 1e-6 * np.abs(theirs - start).max()


@pytest.mark.parametrize("seed", range(3))
def test_in_float32_too_until_rounding_shows(seed):
    (theirs, counts), (ours, own_counts) = both_ways(*small_style(seed), 10)
    assert own_counts == counts
    assert np.abs(ours - theirs).max() < 1e-4 * np.abs(theirs).max()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("bounds", [None, (-100, 90)], ids=["free", "bounds"])
def test_as_low_as_scipy_in_no_more_evaluations(seed, bounds):
    fun, start = small_style(seed)
    budget = {"iterations": 90, "max_evaluations": 60, "bounds": bounds}
    theirs = minimize("lbfgs", fun, start, **budget)
    ours = minimize("lbfgs-device", fun, start, **budget)
    assert ours.value <= 1.05 * theirs.value


def test_a_value_without_a_digit_to_lose_ends_the_run():
    # the gradient shows the way, the value is too coarse to see it
    fun = lambda x: (np.float32(1e8) + np.float32((x * x).sum()), 2 * x)  # noqa: E731
    result = minimize("lbfgs-device", fun, np.ones(5, np.float32), iterations=99)
    assert result.status == "stalled"
    assert result.evaluations < 60


def test_the_gradient_may_lie_in_any_layout_and_be_overwritten():
    fun, least = bowl(100, "float32")
    buffer = np.empty((1, 5, 4, 3), np.float32).transpose(0, 3, 1, 2)

    def lazy(x):
        value, buffer[...] = fun(x)
        return value, buffer

    ours, plain = (minimize("lbfgs-device", f, 0 * least, iterations=30) for f in (lazy, fun))
    np.testing.assert_array_equal(ours.x, plain.x)


# on the device, which is played here by arrays that do not mix with NumPy's


def on_device(cupy, fun):
    """Return fun as a function of arrays on the device, and where it is counted what is copied."""

    def there(x):
        assert isinstance(x, cupy.ndarray)
        value, gradient = fun(to_host(x))
        cupy.COPIES.pop()  # of this function, not of the optimizer
        return value, to_device(gradient, "cuda")

    return there


@pytest.mark.parametrize("name", sorted(METHODS))
@pytest.mark.parametrize("bounds", [None, (-60, 70)], ids=["free", "bounds"])
def test_an_optimizer_goes_the_same_way_on_a_device(gpus, name, bounds):
    fun, start = small_style()
    options = {"iterations": 15, "bounds": bounds}
    options |= {} if name in WITHOUT_RATE else {"learning_rate": 1.0}
    gpus.COPIES.clear()
    result = minimize(name, on_device(gpus, fun), to_device(start, "cuda"), **options)
    expected = minimize(name, fun, start, **options)
    assert isinstance(result.x, gpus.ndarray)
    copied = {shape for shape in gpus.COPIES if len(shape) > 1}
    assert copied == ({start.shape} if name == "lbfgs" else set()), "a picture went to the host"
    np.testing.assert_allclose(to_host(result.x), expected.x, rtol=1e-3, atol=1e-2)


# all products read at once, as on a device: the kernels are built by g++


@pytest.fixture
def kernels():
    with operations_on(cache(CpuModule)):
        yield


def count_reads(monkeypatch):
    reads = []
    monkeypatch.setattr(vectors, "to_host", lambda x: reads.append(x.shape) or x)
    monkeypatch.setattr(record, "all_finite", lambda x: reads.append(x.shape) or True)
    monkeypatch.setattr(record, "distance", lambda *given: reads.append(0) or 0.0)
    monkeypatch.setattr("minicnn.optimizers.vectors.dot", None)
    return reads


@needs_compiler
def test_products_read_at_once_take_the_steps_of_those_read_one_by_one(kernels, monkeypatch):
    fun, start = small_style(size=8)
    options = {"iterations": 14, "maxcor": 4, "keep": "last"}
    with monkeypatch.context() as patched:
        patched.setattr(launch, "suit", lambda x: False)
        expected = minimize("lbfgs-device", fun, start, **options)
    reads = count_reads(monkeypatch)
    result = minimize("lbfgs-device", fun, start, **options)
    assert len(reads) <= result.evaluations + 2, "one read an evaluation, and x0's check"
    assert result.evaluations == expected.evaluations
    for ours, theirs in zip(result.trace, expected.trace, strict=True):
        assert ours["value"] == pytest.approx(theirs["value"], rel=1e-4)
        assert ours["step"] == pytest.approx(theirs["step"], rel=1e-3)
    np.testing.assert_allclose(result.x, expected.x, rtol=0, atol=0.1)


@needs_compiler
def test_a_run_cut_in_two_reads_the_same_products_to_the_bit(kernels):
    fun, start = small_style(size=6)
    options = {"maxcor": 3, "keep": "last"}
    whole = minimize("lbfgs-device", fun, start, iterations=9, **options)
    states = []
    keep = lambda state: states.append(deepcopy(state))  # noqa: E731
    minimize("lbfgs-device", fun, start, iterations=6, on_state=keep, **options)
    rest = minimize("lbfgs-device", fun, start, iterations=9, state=states[-1], **options)
    np.testing.assert_array_equal(rest.x, whole.x)
    memory = Memory()
    part = minimize("lbfgs-device", fun, start, iterations=5, memory=memory, **options)
    rest = minimize("lbfgs-device", fun, part.x, iterations=4, memory=memory, **options)
    np.testing.assert_array_equal(rest.x, whole.x)


@needs_compiler
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_is_seen_in_the_products(kernels, bad):
    fun, least = bowl(10, "float32")
    calls = []

    def broken(x):
        calls.append(x)
        value, gradient = fun(x)
        gradient.flat[3] = bad if len(calls) == 3 else gradient.flat[3]
        return value, gradient

    result = minimize("lbfgs-device", broken, 0 * least, iterations=30)
    assert result.status == "not-finite"
    assert "gradient is not finite in evaluation 3" in result.reason
    assert np.isfinite(result.x).all()


@needs_compiler
def test_a_gradient_of_0_and_a_wrong_one_end_the_run_on_the_device_too(kernels):
    fun, least = bowl(10, "float32")
    assert minimize("lbfgs-device", fun, least, iterations=9).status == "converged"
    wrong = lambda x: (fun(x)[0], -fun(x)[1])  # noqa: E731
    assert minimize("lbfgs-device", wrong, 0 * least, iterations=9).status == "stalled"


def test_scipys_vectors_cross_through_one_pinned_buffer(gpus):
    import cupyx

    fun, start = small_style()
    options = {"iterations": 15, "bounds": (-60, 70)}
    result = minimize("lbfgs", on_device(gpus, fun), to_device(start, "cuda"), **options)
    np.testing.assert_array_equal(to_host(result.x), minimize("lbfgs", fun, start, **options).x)
    assert cupyx.PINNED == [(start.shape, start.dtype)]


@pytest.mark.smoke
def test_rosenbrock_in_few_evaluations():
    x0 = np.tile([-1.2, 1.0], 5)
    result = minimize("lbfgs-device", rosenbrock, x0, iterations=200)
    np.testing.assert_allclose(result.x, 1, atol=1e-6)
    assert result.evaluations < 150


# SciPy's routine in our loop


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("bounds", [None, (-1.0, 0.5), (-np.inf, 0.3), (-0.7, np.inf)])
def test_reverse_communication_goes_where_scipys_own_loop_goes(monkeypatch, bounds, dtype):
    fun, least = bowl(100, dtype, (60,))

    def wavy(x):  # evaluated several times in some line searches, at the end twice at one place
        value, gradient = fun(x)
        waves = 9 * np.cos(3 * x.astype(float))
        return value + 3 * float(np.sin(3 * x.astype(float)).sum()), gradient + waves.astype(dtype)

    def run():
        steps = []
        start = (0 * least + np.linspace(-2, 2, 60)).astype(dtype)
        result = minimize(
            "lbfgs", wavy, start, iterations=200, bounds=bounds,
            callback=lambda i, x, value, info: steps.append((x, value, info["evaluations"])),
        )  # fmt: skip
        return steps, result

    assert setulb.available()
    ours, ended = run()
    monkeypatch.setattr(setulb, "available", lambda: False)
    theirs, expected = run()
    assert (ended.reason, ended.evaluations) == (expected.reason, expected.evaluations)
    assert [step[1:] for step in ours] == [step[1:] for step in theirs]
    for (x, *_), (y, *_) in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("said", [None, "setulb(m,x,l,u)"])
def test_a_routine_with_other_arguments_is_left_alone(monkeypatch, said):
    stranger = types.SimpleNamespace(__doc__=said) if said else None
    monkeypatch.setattr(setulb, "_lbfgsb", types.SimpleNamespace(setulb=stranger))
    assert not setulb.available()
    fun, least = bowl(10, "float64")
    result = minimize("lbfgs", fun, 0 * least, iterations=100)
    np.testing.assert_allclose(result.x, least, rtol=1e-6)


def test_a_search_loads_no_more_of_scipy_than_it_calls():
    script = (
        "import sys\n"
        "import numpy as np\n"
        "from minicnn.optimizers import minimize\n"
        "minimize('lbfgs', lambda x: (float(x @ x), 2 * x), np.ones(3), iterations=2)\n"
        "print({'scipy.optimize', 'scipy.linalg'} & set(sys.modules))\n"
        "from minicnn.optimizers import setulb\n"
        "from scipy.optimize import _lbfgsb, minimize\n"
        "assert _lbfgsb.setulb is setulb._lbfgsb.setulb\n"
        "print(minimize(lambda x: x @ x, np.ones(3), method='L-BFGS-B').success)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=Path(minicnn.__file__).parent.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["set()", "True"]
