"""Optimizers: against SciPy and torch, in hard valleys, on a small style objective; every end."""

import numpy as np
import pytest
from minimised import bowl, rosenbrock, small_style

from minicnn.backend import resolve_device, to_device, to_host
from minicnn.errors import MinicnnError
from minicnn.optimizers import METHODS, WITHOUT_RATE, minimize

OPTIONS = {
    "lbfgs": {},
    "lbfgs-device": {},
    "adam": {"learning_rate": 0.1},
    "momentum": {"learning_rate": 0.01},
    "gradient-descent": {"learning_rate": 0.05},
    "adagrad": {"learning_rate": 0.02},
}
every_method = pytest.mark.parametrize("name", METHODS)
both_lbfgs = pytest.mark.parametrize("name", WITHOUT_RATE)


class Counted:
    """Function that remembers where it was asked and can misbehave in its k-th call."""

    def __init__(self, fun, at=None, event=None):
        self.fun, self.at, self.event, self.asked, self.values = fun, at, event, [], []

    def __call__(self, x):
        self.asked.append(x.copy())
        value, gradient = self.fun(x)
        if len(self.asked) == self.at:
            value, gradient = self.event(value, gradient)
        self.values.append(value)
        return value, gradient


# problems with an answer


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("condition", [1, 1e2, 1e3])
@pytest.mark.parametrize("scale", [1e-6, 1, 1e9])
@both_lbfgs
def test_lbfgs_solves_quadratics_of_any_condition_and_scale(name, condition, scale, dtype):
    fun, least = bowl(condition, dtype)
    scaled = lambda x: tuple(scale * part for part in fun(x))  # noqa: E731
    result = minimize(name, scaled, 0 * least, iterations=600)
    assert result.x.dtype == dtype
    assert result.x.shape == least.shape
    np.testing.assert_allclose(result.x, least, rtol=1e-4 if dtype == "float32" else 1e-9)
    assert result.status in ("converged", "stalled")


@pytest.mark.parametrize("n", [2, 10])
@both_lbfgs
def test_lbfgs_walks_the_valley_of_rosenbrock(name, n):
    x0 = np.full(n, -1.2)
    x0[1::2] = 1.0
    result = minimize(name, rosenbrock, x0, iterations=500)
    np.testing.assert_allclose(result.x, 1, atol=1e-6)
    assert result.status in ("converged", "stalled")  # nothing lower can be represented
    assert result.evaluations < 200


@pytest.mark.smoke
@every_method
def test_every_method_descends_on_a_quadratic(name):
    fun, least = bowl(10, "float64")
    result = minimize(name, fun, least + 3.0, iterations=300, **OPTIONS[name])
    assert result.value < 1e-3 * fun(least + 3.0)[0]
    assert result.value == fun(result.x)[0]


@pytest.mark.parametrize("bounds", [None, (-2.0, 0.5)])
@pytest.mark.parametrize(
    "fun", [rosenbrock, bowl(100, "float64", (6,))[0]], ids=["rosenbrock", "bowl"]
)
@both_lbfgs
def test_lbfgs_agrees_with_scipy(name, fun, bounds):
    from scipy.optimize import minimize as scipy_minimize

    x0 = np.linspace(-1.5, 0.4, 6)
    expected = scipy_minimize(
        fun,
        x0,
        jac=True,
        method="L-BFGS-B",
        bounds=bounds and [bounds] * 6,
        options={"ftol": 0, "gtol": 1e-10},
    )
    result = minimize(name, fun, x0, iterations=500, bounds=bounds)
    np.testing.assert_allclose(result.x, expected.x, atol=1e-6)
    assert result.value == pytest.approx(expected.fun, rel=1e-9, abs=1e-12)


@pytest.mark.smoke
def test_lbfgs_accepts_exactly_the_iterates_of_scipy():
    # scaling by powers of two rounds nothing: SciPy on z = x / unit sees the same digits
    from scipy.optimize import minimize as scipy_minimize

    x0 = np.array([-1.2, 1.0, -0.7])
    accepted = []
    minimize(
        "lbfgs", rosenbrock, x0, iterations=15, callback=lambda i, x, v, info: accepted.append(x)
    )
    value, gradient = rosenbrock(x0)
    unit = 2.0 ** round(np.log2(value / np.linalg.norm(gradient)))
    factor = 2.0 ** round(np.log2(1 / (unit * np.linalg.norm(gradient))))
    expected = []
    scipy_minimize(
        lambda z: (factor * rosenbrock(z * unit)[0], factor * unit * rosenbrock(z * unit)[1]),
        x0 / unit,
        jac=True,
        method="L-BFGS-B",
        callback=lambda z: expected.append(z * unit),
        options={"maxiter": 15, "ftol": 0, "gtol": 0},
    )
    np.testing.assert_array_equal(accepted, expected)


def test_adam_is_that_of_torch():
    torch = pytest.importorskip("torch")
    x0 = np.array([-1.2, 1.0, 0.3, 2.0])
    x = torch.tensor(x0, requires_grad=True)
    optimizer = torch.optim.Adam([x], lr=0.05, betas=(0.8, 0.95), eps=1e-6)
    expected = []
    for _ in range(40):
        x.grad = torch.tensor(rosenbrock(x.detach().numpy())[1])
        optimizer.step()
        expected.append(x.detach().numpy().copy())
    accepted = []
    minimize(
        "adam",
        rosenbrock,
        x0,
        iterations=40,
        callback=lambda i, x, v, info: accepted.append(x),
        learning_rate=0.05,
        beta1=0.8,
        beta2=0.95,
        epsilon=1e-6,
    )
    np.testing.assert_allclose(accepted, expected, rtol=1e-10)


def test_momentum_and_its_restart():
    def rate(t):
        return 0.1 if t <= 2 else 0.05

    fun = lambda x: (0.5 * float(x @ x), x.copy())  # noqa: E731
    for restart in (False, True):
        xs = []
        minimize(
            "momentum",
            fun,
            np.array([1.0]),
            iterations=4,
            callback=lambda i, x, v, info, xs=xs: xs.append(x.item()),
            learning_rate=rate,
            restart=restart,
        )
        x, v, expected = 1.0, 0.0, []
        for t in range(1, 5):
            if restart and t == 3:
                v = 0.0
            v = 0.9 * v - rate(t) * x
            x += v
            expected.append(x)
        assert xs == pytest.approx(expected)


# pictures


@every_method
def test_a_small_style_objective_in_float32(name):
    fun, start = small_style()
    rates = {"adam": 3.0, "momentum": 2e-5, "gradient-descent": 1e-4, "adagrad": 1e-5}
    rate = rates.get(name)
    options = {"learning_rate": rate} if rate else {}
    before = start.copy()
    result = minimize(name, fun, start, iterations=60, **options)
    np.testing.assert_array_equal(start, before)
    assert result.x.dtype == np.float32
    share = 0.1 if name in (*WITHOUT_RATE, "adam") else 0.7
    assert result.value < share * result.trace[0]["value"]
    assert result.status == "budget"
    assert result.terms == pytest.approx({**result.terms, **terms_at(fun, result.x)})
    total = sum(value for key, value in result.terms.items() if "." not in key)
    assert total == pytest.approx(result.value)


def terms_at(fun, x):
    fun(x)
    return fun.terms


@pytest.mark.parametrize("scale", [1 / 60, 1.0], ids=["unit pixels", "0..255 pixels"])
@pytest.mark.parametrize("factor", [1e-8, 1.0, 1e8])
@pytest.mark.parametrize("box", [False, True], ids=["free", "bounds"])
@both_lbfgs
def test_first_iteration_of_lbfgs_wastes_no_evaluations(name, box, factor, scale):
    fun, start = small_style(scale=scale)
    bounds = (-150 * scale, 150 * scale) if box else None
    scaled = lambda x: tuple(factor * part for part in fun(x))  # noqa: E731
    result = minimize(name, scaled, start, iterations=5, bounds=bounds)
    first = result.trace[1]
    assert first["evaluations"] <= 3  # the start and at most two trials
    assert 0.5 < first["step"] / scale < 30  # grey levels
    assert result.evaluations <= 9


def test_plain_scipy_does_waste_them():
    from scipy.optimize import minimize as scipy_minimize

    fun, start = small_style(size=24)

    def vector_fun(z):
        value, gradient = fun(z.astype("float32").reshape(start.shape))
        return value, gradient.ravel().astype(float)

    plain = scipy_minimize(
        vector_fun,
        start.ravel().astype(float),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": 1, "ftol": 0, "gtol": 0},
    )
    ours = minimize("lbfgs", fun, start, iterations=1)
    assert ours.evaluations <= 3 < plain.nfev
    assert ours.value < plain.fun


@both_lbfgs
def test_first_step_is_as_long_as_asked(name):
    fun, start = small_style()
    counted = Counted(fun)
    minimize(name, counted, start, iterations=1, first_step=4.0)
    step = np.sqrt(np.mean((counted.asked[1] - start).astype(float) ** 2))
    assert 4 / 2**0.75 < step < 4 * 2**0.75  # two roundings to powers of two


@every_method
def test_the_same_run_gives_the_same_bits(name):
    options = {} if name in WITHOUT_RATE else {"learning_rate": 1e-5}
    results = [minimize(name, *small_style(), iterations=12, **options) for _ in range(2)]
    np.testing.assert_array_equal(results[0].x, results[1].x)
    assert results[0].trace == results[1].trace


# budgets, callbacks, what is kept


@every_method
def test_iterations_callback_and_trace(name):
    fun, least = bowl(1e3, "float64")
    counted, seen = Counted(fun), []

    def callback(iteration, x, value, info):
        assert value == fun(x)[0]
        assert info["evaluations"] == len(counted.asked)
        np.testing.assert_array_equal(x, counted.asked[-1])
        seen.append((iteration, value, info["step"]))

    options = {**OPTIONS[name], **({"learning_rate": 1e-4} if name not in WITHOUT_RATE else {})}
    result = minimize(name, counted, 0 * least, iterations=7, callback=callback, **options)
    assert [row[0] for row in seen] == list(range(1, 8))
    assert [(t["iteration"], t["value"], t["step"]) for t in result.trace[1:]] == seen
    assert result.trace[0]["value"] == counted.values[0]
    assert result.iterations == 7
    assert result.evaluations == len(counted.asked) == result.trace[-1]["evaluations"]
    assert (result.status, result.reason) == ("budget", "all 7 iterations are done")
    assert result.value == min(counted.values)


@every_method
@pytest.mark.parametrize("budget", [1, 2, 9])
def test_evaluations_are_never_more_than_allowed(name, budget):
    counted = Counted(bowl(1e3, "float64")[0])
    result = minimize(
        name,
        counted,
        np.zeros((1, 3, 5, 4)),
        iterations=100,
        max_evaluations=budget,
        **OPTIONS[name],
    )
    assert len(counted.asked) == result.evaluations == budget
    assert result.reason == f"all {budget} evaluations are used"
    assert result.value == min(counted.values)


@every_method
def test_the_callback_can_stop(name):
    fun, least = bowl(10, "float64")
    result = minimize(
        name, fun, 0 * least, iterations=50, callback=lambda i, *rest: i == 3, **OPTIONS[name]
    )
    assert (result.status, result.iterations) == ("stopped", 3)


def test_best_and_last():
    fun = lambda x: (0.5 * float(x @ x), x.copy())  # noqa: E731
    swing = {"iterations": 2, "learning_rate": 1.1, "momentum": 0.9}  # passes the least value
    best, last = (
        minimize("momentum", fun, np.ones(1), keep=keep, **swing) for keep in ("best", "last")
    )
    values = [entry["value"] for entry in best.trace]
    assert best.value == min(values) == fun(best.x)[0]
    assert last.value == values[-1] == fun(last.x)[0]
    assert last.value > best.value


@every_method
def test_bounds_hold_in_every_evaluation(name):
    fun, least = bowl(10, "float32")
    low = np.full((3, 1, 1), 2.25, np.float32)
    counted = Counted(fun)
    result = minimize(name, counted, 0 * least, iterations=40, bounds=(low, 7.1), **OPTIONS[name])
    for x in counted.asked:
        assert x.min() >= 2.25
        assert x.max() <= np.float32(7.1)
    assert result.value < counted.values[0]


# endings


EVENTS = {
    "value is NaN": (lambda v, g: (np.nan, g), "the value is not a number (NaN) in evaluation 4"),
    "value overflows": (lambda v, g: (np.inf, g), "overflow: the value is inf in evaluation 4"),
    "gradient is NaN": (lambda v, g: (v, g * np.nan), "the gradient is not finite in evaluation 4"),
    "gradient overflows": (
        lambda v, g: (v, g + np.inf),
        "the gradient is not finite in evaluation 4",
    ),
}


@every_method
@pytest.mark.parametrize("event", EVENTS)
def test_what_is_not_finite_ends_the_run_and_keeps_the_best(name, event):
    fun, least = bowl(50, "float64")
    counted = Counted(fun, 4, EVENTS[event][0])
    result = minimize(name, counted, 0 * least, iterations=50, **OPTIONS[name])
    assert result.status == "not-finite"
    assert result.reason.startswith(EVENTS[event][1])
    assert result.evaluations == 4
    good = counted.values[:3]
    assert result.value == min(good)
    np.testing.assert_array_equal(result.x, counted.asked[int(np.argmin(good))])


@every_method
def test_not_finite_at_the_very_start(name):
    counted = Counted(bowl(50, "float64")[0], 1, EVENTS["value is NaN"][0])
    x0 = np.ones((1, 3, 5, 4))
    result = minimize(name, counted, x0, iterations=5, **OPTIONS[name])
    assert result.status == "not-finite"
    assert np.isnan(result.value)
    np.testing.assert_array_equal(result.x, x0)


@every_method
def test_overflow_raised_by_the_function(name):
    def overflow(value, gradient):
        raise OverflowError("math range error")

    result = minimize(
        name,
        Counted(bowl(5, "float64")[0], 3, overflow),
        np.zeros((1, 3, 5, 4)),
        iterations=9,
        **OPTIONS[name],
    )
    assert result.reason == "overflow in evaluation 3, after 1 iterations: math range error"


@every_method
@pytest.mark.parametrize("at", [1, 2, 5])
def test_interrupt_in_the_function_keeps_the_best(name, at):
    def interrupt(value, gradient):
        raise KeyboardInterrupt

    counted = Counted(bowl(50, "float64")[0], at, interrupt)
    result = minimize(name, counted, np.zeros((1, 3, 5, 4)), iterations=50, **OPTIONS[name])
    assert result.interrupted
    assert result.status == "interrupted"
    assert result.reason.startswith("interrupted in iteration")
    if at > 1:
        assert result.value == min(counted.values)
        np.testing.assert_array_equal(result.x, counted.asked[int(np.argmin(counted.values))])


@every_method
def test_interrupt_in_the_callback_keeps_the_best(name):
    def callback(iteration, x, value, info):
        if iteration == 3:
            raise KeyboardInterrupt

    counted = Counted(bowl(50, "float64")[0])
    result = minimize(
        name, counted, np.zeros((1, 3, 5, 4)), iterations=50, callback=callback, **OPTIONS[name]
    )
    assert result.interrupted
    assert result.iterations == 3
    assert result.value == min(counted.values)


@every_method
def test_other_errors_pass_through(name):
    def fail(value, gradient):
        raise RuntimeError("disk full")

    with pytest.raises(RuntimeError, match="disk full"):
        minimize(
            name,
            Counted(bowl(5, "float64")[0], 3, fail),
            np.zeros((1, 3, 5, 4)),
            iterations=9,
            **OPTIONS[name],
        )


@every_method
def test_a_start_without_slope_converges_at_once(name):
    fun, least = bowl(10, "float64")
    result = minimize(name, fun, least, iterations=9, **OPTIONS[name])
    assert (result.status, result.evaluations, result.value) == ("converged", 1, 0)


@pytest.mark.parametrize(
    "fun",
    [
        pytest.param(lambda x: (float(x @ x), -2 * x), id="uphill gradient"),
        pytest.param(lambda x: (5.0, np.ones_like(x)), id="constant value"),
    ],
)
@both_lbfgs
def test_lbfgs_stalls_in_words(name, fun):
    result = minimize(name, fun, np.ones(4), iterations=50)
    assert result.status == "stalled"
    assert result.reason.startswith("stalled: ")
    assert result.evaluations < 30


def test_first_order_stalls_in_words():
    result = minimize("adam", lambda x: (5.0, np.ones_like(x)), np.ones(4), iterations=500)
    assert (result.status, result.iterations) == ("stalled", 20)


@pytest.mark.parametrize("name", ["gradient-descent", "momentum"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_too_high_a_rate_diverges_in_words(name, dtype):
    fun, least = bowl(10, dtype)
    result = minimize(name, fun, 0 * least, iterations=10_000, learning_rate=0.9)
    assert result.status == "diverged"
    assert "use a lower learning rate" in result.reason
    assert result.iterations < 40
    assert result.value == min(entry["value"] for entry in result.trace)


@pytest.mark.parametrize("limits", [{"iterations": 30}, {"iterations": 99, "max_evaluations": 30}])
@pytest.mark.parametrize(("rate", "after"), [(1e3, 11), (3.0, 29)])
def test_a_climb_from_the_first_step_on_is_divergence(limits, rate, after):
    fun = lambda x: (float((x**2).sum()), 2 * x)  # noqa: E731
    result = minimize("adam", fun, np.ones(4), learning_rate=rate, beta1=0.0, **limits)
    values = [entry["value"] for entry in result.trace]
    assert min(values) == values[0] == result.value
    assert result.status == "diverged"
    assert "use a lower learning rate" in result.reason
    assert after <= result.iterations <= after + 1


def test_a_function_that_changes_may_climb():
    values = iter(range(1, 99))
    fun = lambda x: (float(next(values)), np.ones_like(x))  # noqa: E731
    result = minimize("adam", fun, np.ones(4), iterations=30, keep="last")
    assert result.status == "budget"


@both_lbfgs
def test_a_value_that_hardly_falls_is_an_end(name):
    # two valleys: one is at its floor after a few steps, the other too flat to matter
    def fun(x):
        return 1 + float(x[0] ** 2 + 1e-9 * np.log1p(x[1:] ** 4).sum()), np.concatenate(
            [2 * x[:1], 1e-9 * 4 * x[1:] ** 3 / (1 + x[1:] ** 4)]
        )

    result = minimize(name, fun, np.linspace(1, 50, 60), iterations=500)
    assert result.status in ("converged", "stalled")
    assert result.iterations < 60
    assert result.value < 1 + 1e-6


def test_a_step_beyond_all_numbers():
    fun = lambda x: (-float(x.sum(dtype=float)), -np.ones_like(x))  # noqa: E731
    result = minimize(
        "gradient-descent", fun, np.ones(3, np.float32), iterations=10, learning_rate=lambda t: 1e38
    )
    assert result.status == "not-finite"
    assert result.reason.startswith("overflow: x is not finite after evaluation 4")


# bad input


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "sgd"}, "no optimizer 'sgd'; use lbfgs, lbfgs-device, adam, momentum"),
        ({"iterations": 0}, "iterations = 0; use a whole number of at least 1"),
        ({"iterations": 2.5}, "iterations = 2.5; use a whole number"),
        ({"max_evaluations": 0}, "max_evaluations = 0; use a whole number of at least 1"),
        ({"x0": np.array([1.0, np.nan])}, "x0 has elements that are NaN or infinite"),
        ({"x0": np.array([1.0, -np.inf])}, "x0 has elements that are NaN or infinite"),
        ({"x0": np.array([1, 2])}, "x0 must be a float32 or float64 array"),
        ({"x0": [1.0, 2.0]}, "x0 must be a float32 or float64 array"),
        ({"x0": np.zeros(0)}, "at least one element"),
        ({"keep": "first"}, "cannot keep 'first'; use best or last"),
        ({"bounds": (1, 0)}, "bounds cross"),
        ({"bounds": (0, np.nan)}, "bounds cross"),
        ({"bounds": 3}, "bounds must be (low, high)"),
        ({"bounds": (np.zeros(3), 1)}, "bounds must be (low, high)"),
        ({"maxcor": 0}, "maxcor = 0"),
        ({"first_step": 0}, "first_step = 0"),
        ({"ftol": -1}, "ftol = -1"),
        ({"learning_rate": 1}, "lbfgs has no option 'learning_rate'; it takes maxcor, first_step"),
        ({"name": "adam", "learning_rate": 0}, "learning_rate = 0; use a positive number"),
        ({"name": "adam", "beta1": 1}, "beta1 = 1; use a number from 0 to below 1"),
        ({"name": "adam", "maxcor": 5}, "adam has no option 'maxcor'; it takes learning_rate"),
        ({"name": "momentum"}, "momentum needs learning_rate"),
        ({"name": "gradient-descent"}, "gradient-descent needs learning_rate"),
        ({"fun": lambda x: (1.0, np.ones(3))}, "fun gave a gradient (3,) for a picture (2,)"),
    ],
)
def test_bad_input_is_one_clear_line(change, message):
    call = {"name": "lbfgs", "fun": rosenbrock, "x0": np.zeros(2), "iterations": 5, **change}
    with pytest.raises(MinicnnError) as caught:
        minimize(call.pop("name"), call.pop("fun"), call.pop("x0"), **call)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.gpu
@every_method
def test_device_and_host_agree(name):
    cupy = pytest.importorskip("cupy")
    try:
        device = resolve_device("cuda")
    except MinicnnError as reason:
        pytest.skip(str(reason))

    def fun(x):
        return float((x * x).sum()), 2 * x

    x0 = np.linspace(-1, 2, 24, dtype="float32").reshape(1, 2, 3, 4)
    options = {"iterations": 5, "bounds": (-0.5, 3), **OPTIONS[name]}
    result = minimize(name, fun, to_device(x0, device), **options)
    assert isinstance(result.x, cupy.ndarray)
    expected = minimize(name, fun, x0, **options)
    np.testing.assert_allclose(to_host(result.x), expected.x, rtol=1e-4, atol=1e-6)
