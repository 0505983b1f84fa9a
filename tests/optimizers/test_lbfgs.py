"""Our L-BFGS: the model and its minimum, the line search, restarts to the bit, the device."""

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
from minicnn.optimizers.bounds import Box, cauchy_point
from minicnn.optimizers.lbfgs_model import QuadraticModel, Way, descent
from minicnn.optimizers.lbfgs_products import PairProducts, Place
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


# the model, and the way to its minimum


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
    """Steps that are given, over x·Ax / 2 - b·x, as an L-BFGS remembers them."""

    def __init__(self, A, x, most, bounds=None, b=0.0):
        self.A, self.b, self.memory, self.box = A, b, Memory(), Box(bounds, np)
        self.memory.make_room(x, most)
        self.place = Place(x, A @ x - b, self.box)
        self.products = PairProducts(self.memory, self.box, self.place)

    def evaluate(self, x, finite):
        assert finite(self.A @ x - self.b)
        return 0.0, None

    def step(self, direction):
        way = Way(direction, None, self.box.clip(self.place.x + direction))
        self.place = self.products.evaluated(self, self.place, 1.0, way)
        self.products.learn()

    def model(self):
        """B, of what the walk has learnt, as a matrix."""
        return np.linalg.inv(dense_inverse(self.memory))


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
        assert walk.products.length == pytest.approx(np.linalg.norm(step))
        np.testing.assert_allclose(walk.place.x, before.x + step)
    assert len(walk.memory.order) == min(most, 5)
    found = PairProducts(walk.memory, walk.box, walk.place) if again else walk.products
    way = descent(found, walk.place)
    np.testing.assert_allclose(
        way.direction, -dense_inverse(walk.memory) @ walk.place.gradient, rtol=1e-9
    )
    np.testing.assert_allclose(way.end, walk.place.x + way.direction)
    assert way.slope == pytest.approx(walk.place.gradient @ way.direction)
    assert found.norm == pytest.approx(np.linalg.norm(walk.place.gradient))


def steepest_descent(walk):
    """t where the model has its first minimum along clip(x - t g), by its slope between the t_i."""
    B, box, (x, g) = walk.model(), walk.box, (walk.place.x, walk.place.gradient)
    corners = [0.0, *np.unique(walk.place.meeting[walk.place.meeting > 0])]
    for start, end in zip(corners, [*corners[1:], np.inf], strict=True):
        z, d = box.clip(x - start * g) - x, -g * (walk.place.meeting > start)
        t = start - (g @ d + d @ B @ z) / (d @ B @ d or np.inf)
        if t < end:
            return max(t, start)


def walked(rng, n, low=-0.5, high=0.4):
    """A walk of six random steps within bounds, over a bowl that is steep in some directions."""
    axes = np.linalg.qr(rng.standard_normal((n, n)))[0]
    A = axes * np.geomspace(0.05, rng.choice([0.1, 2, 1000]), n) @ axes.T
    start, bounds = rng.uniform(low, high, n), (np.full(n, low), np.full(n, high))
    walk = Walk(A, start, 4, bounds, b=rng.standard_normal(n))
    for _ in range(6):
        walk.step(rng.standard_normal(n) * rng.choice([0.05, 0.3]))
    return walk


def test_the_cauchy_point_is_the_first_minimum_of_the_model_along_the_gradient(rng, monkeypatch):
    monkeypatch.setattr("minicnn.optimizers.bounds.AT_ONCE", 3)
    passed = set()
    for _ in range(200):
        walk = walked(rng, 12)
        place, model = walk.place, QuadraticModel(walk.memory)
        p = -model.columns(np.arange(12)) @ place.free
        t, met, p, q = cauchy_point(place.meeting, place.gradient, model, p, walk.products.norm**2)
        expected = walk.box.clip(place.x - steepest_descent(walk) * place.gradient)
        cauchy = walk.box.clip(place.x - t * place.gradient)
        np.testing.assert_allclose(cauchy, expected, rtol=1e-6)
        c = model.columns(np.arange(12)) @ (cauchy - place.x)
        np.testing.assert_allclose(t * p - q, c, rtol=1e-6, atol=1e-6 * np.abs(c).max())
        between = np.flatnonzero((place.meeting > 0) & (place.meeting <= t))
        np.testing.assert_array_equal(np.sort(met), between)
        passed.add(met.size)
    assert passed >= set(range(6))


def tied(rng, walk):
    """The walk at a place from which many pixels meet their bounds together."""
    n = walk.place.x.size
    x, g = rng.choice([-0.25, 0, 0.25], n), rng.choice([-1.0, -0.5, 0.5, 1], n)
    walk.place = Place(x, g, walk.box, 0.0)
    walk.products = PairProducts(walk.memory, walk.box, walk.place)
    return walk


@pytest.mark.parametrize("ties", [False, True])
def test_the_way_within_bounds_is_that_of_lbfgsb(rng, ties):
    clipped = shortened = 0
    for n in [2, 3, 12] * 200:
        walk = tied(rng, walked(rng, n)) if ties else walked(rng, n)
        if not walk.products.norm:  # all stand still
            continue
        x, g, B = walk.place.x, walk.place.gradient, walk.model()
        t = steepest_descent(walk)
        cauchy, moves = walk.box.clip(x - t * g), walk.place.meeting > t
        inner = np.ix_(moves, moves)
        rest = np.zeros_like(x)
        if moves.any():
            rest[moves] = -np.linalg.solve(B[inner], (g + B @ (cauchy - x))[moves])
        end = walk.box.clip(cauchy + rest)
        clipped += (end != cauchy + rest).any()
        if g @ (end - x) > 0:
            shortened += 1
            end = cauchy + min(1, walk.box.longest(cauchy, rest)) * rest
        way = descent(walk.products, walk.place)
        np.testing.assert_allclose(way.end, end, rtol=1e-6, atol=1e-6)
        assert {*way.end[~moves]} <= {-0.5, 0.4}
        assert way.slope == pytest.approx(g @ (end - x), rel=1e-4)
        assert way.slope < 0
    assert clipped > (50 if ties else 100)
    assert shortened or ties


@pytest.mark.parametrize("at", [0.0, 1.0])
def test_a_pixel_at_its_bound_that_nothing_moves_stays(at):
    fun = lambda x: (float(np.sum((x - 0.5)[1:] ** 2)), 2 * (x - 0.5) * [0, 1, 1])  # noqa: E731
    start = np.array([at, 0.9, 0.2])
    for name in ("lbfgs", "lbfgs-device"):
        result = minimize(name, fun, start, iterations=20, bounds=(0, 1))
        np.testing.assert_allclose(result.x, [at, 0.5, 0.5], atol=1e-6)


@pytest.mark.parametrize("bounds", [None, (-0.5, 1.5)], ids=["free", "bounds"])
@pytest.mark.parametrize(
    ("curvature", "size"),
    [
        (1e160, 1e-12),
        (1e155, 1e-5),
        (1e-165, 1e10),
        (1e-100, 1e-50),
        (1e120, 1e30),
        (1e-300, 1e150),
    ],
)
def test_any_curvature_that_numbers_can_hold(curvature, size, bounds):
    d, least = np.array([1.0, 3, 10]) * curvature, np.array([1.0, 2, -1]) * size

    def fun(x):
        return float((d * (x - least) ** 2).sum() / 2), d * (x - least)

    box = bounds and tuple(end * size for end in bounds)
    start = np.array([0.3, 0.1, 0.2]) * size
    found = minimize("lbfgs-device", fun, start, iterations=40, bounds=box)
    expected = np.clip(least, *box) if box else least
    np.testing.assert_allclose(found.x, expected, rtol=1e-3)


def test_where_pixels_meet_their_bounds():
    low, high = np.array([0.0, 0, 0, 0, 0, -np.inf, -np.inf]), np.array([4.0] * 6 + [np.inf])
    x, g = np.array([1.0, 1, 0, 1, 0, 1, 1]), np.array([2.0, -2, 1, 0, -1, 3, -1])
    box = Box((low, high), np)
    np.testing.assert_array_equal(box.meeting(x, g), [0.5, 1.5, 0, np.inf, 4, np.inf, np.inf])
    assert box.longest(x, -g * [1, 1, 0, 1, 1, 1, 1]) == 0.5
    assert box.longest(x, 0 * g) == np.inf
    assert np.isnan(box.meeting(x, 0 * g)[2])


def test_a_model_that_rounding_has_spoilt_gives_no_way(rng):
    walk = Walk(np.eye(3), rng.standard_normal(3), 2)
    walk.step(np.ones(3))
    for broken in (0.0, np.nan, np.inf):
        walk.memory.products[...] = broken
        with np.errstate(all="ignore"):
            assert not descent(walk.products, walk.place).slope < 0


@pytest.mark.parametrize("bounds", [None, (np.full(6, -9.0), np.full(6, 9.0))])
def test_the_products_are_those_of_the_vectors(rng, bounds):
    walk = Walk(np.diag(np.arange(1.0, 7)), rng.standard_normal(6), 3, bounds)
    for _ in range(7):
        walk.step(rng.standard_normal(6))
    s, y = walk.memory.pairs[:, walk.memory.order]
    known = walk.memory.products[:, walk.memory.order][:, :, :, walk.memory.order]
    np.testing.assert_allclose(known[1, :, 1], y @ y.T, rtol=1e-12)
    np.testing.assert_allclose(np.triu(known[0, :, 1]), np.triu(s @ y.T), atol=1e-12)
    if bounds:
        np.testing.assert_allclose(known[0, :, 0], s @ s.T, rtol=1e-12)
        np.testing.assert_allclose(known[0, :, 1], s @ y.T, atol=1e-12)
        np.testing.assert_array_equal(known[1, :, 0], known[0, :, 1].T)
    else:
        assert np.isnan(known[0, :, 0]).all()


def test_a_memory_without_the_products_that_bounds_need_is_begun_again():
    fun, start = small_style()
    memory = Memory()
    free = minimize("lbfgs-device", fun, start, iterations=6, memory=memory, keep="last")
    start = np.clip(free.x, -60, 70)
    found = minimize("lbfgs-device", fun, start, iterations=9, memory=memory, bounds=(-60, 70))
    assert found.iterations == 9
    assert found.value < 0.9 * fun(start)[0]


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


@pytest.mark.parametrize("longest", [1.5, 4.0])
def test_a_search_goes_no_farther_than_its_longest_step(longest):
    asked, (phi, first) = [], (CURVES["far"], 1.0)
    step, settled = strong_wolfe(
        lambda t: asked.append(t) or phi(t), *phi(0.0), first, longest=lambda: longest
    )
    assert step == asked[-1] == longest
    assert not settled


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


def test_a_run_that_goes_on_has_no_shorter_longest_step():
    rng = np.random.default_rng(1)
    w, A = rng.uniform(0.5, 3, 12), rng.standard_normal((12, 12))
    A = A @ A.T / 12

    def fun(x):
        return float(np.sin(w * x).sum() + x @ A @ x / 20 + 9), w * np.cos(w * x) + A @ x / 10

    how = {"bounds": (-4.0, 4.0), "keep": "last", "maxcor": 4}
    start = rng.uniform(-3, 3, 12)
    whole = minimize("lbfgs-device", fun, start, iterations=9, **how)
    for cut in range(1, 9):
        memory = Memory()
        part = minimize("lbfgs-device", fun, start, iterations=cut, memory=memory, **how)
        rest = minimize("lbfgs-device", fun, part.x, iterations=9 - cut, memory=memory, **how)
        np.testing.assert_array_equal(rest.x, whole.x)


def both_ways(fun, start, iterations, bounds=None):
    """Return for each of the two L-BFGS the x after every iteration, and the evaluations so far."""
    found = []
    for name in ("lbfgs", "lbfgs-device"):
        way, counts = [], []

        def note(_, x, value, info, way=way, counts=counts):
            way.append(x.copy())
            counts.append(info["evaluations"])

        minimize(name, fun, start, iterations=iterations, bounds=bounds, callback=note)
        found.append((np.array(way), counts))
    return found


@pytest.mark.parametrize("case", [*range(4), "valley"])
@pytest.mark.parametrize("bounds", [None, (-100, 90), (-60, 70), (-20, np.inf), (-5, 5)])
def test_the_steps_are_those_of_scipys_lbfgsb(case, bounds):
    fun, start = rosenbrock, 30 * np.random.default_rng(5).standard_normal(20)
    if case != "valley":
        fun, start = small_style(case, dtype="float64")
    (theirs, counts), (ours, own_counts) = both_ways(fun, start, 50, bounds)
    assert own_counts == counts
    assert len(ours) == 50 or bounds
    assert np.abs(ours - theirs).max() < 1e-6 * np.abs(theirs - start).max()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("bounds", [None, (-60, 70)], ids=["free", "bounds"])
def test_in_float32_too_until_rounding_shows(seed, bounds):
    (theirs, counts), (ours, own_counts) = both_ways(*small_style(seed), 10, bounds)
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
    if name == "lbfgs-device" and bounds:  # rows of W (10 pairs), of pixels that meet their bounds
        assert any(rows == 20 for rows, _ in copied)
        copied = {(rows, pixels) for rows, pixels in copied if rows > 21}
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
