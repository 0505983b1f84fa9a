"""What a search for a picture looks at instead of the picture: a blurred one, or a rolled one."""

from scipy.ndimage import gaussian_filter

from minicnn.backend import array_module, to_host

SIGMA = 4.0  # standard deviations after which the blur is cut off


class Blurred:
    """A function of x = G z as one of z; its `terms` are those of the function.

    `rngs` are the generators that the function draws from, see `optimizers.minimize`.
    """

    def __init__(self, fun, sigma, rngs=()):
        self.fun, self.sigma, self.rngs = fun, sigma, rngs

    @property
    def terms(self):
        """The weighted value of each term at the last picture."""
        return self.fun.terms

    def __call__(self, z):
        """Return (value, gradient with respect to z)."""
        value, gradient = self.fun(blurred(z, self.sigma))
        return value, blurred(gradient, self.sigma)


def blurred(x, sigma):
    """Blur pictures (N, C, H, W) by a Gaussian, mirrored at the edges: linear, its own adjoint."""
    if not sigma:
        return x
    host = to_host(x)
    out = gaussian_filter(host, (0, 0, sigma, sigma), mode="reflect", truncate=SIGMA)
    return out if host is x else array_module(x).asarray(out)


class Rolled:
    """An evaluator that sees each picture rolled by a random number of pixels, and rolls back."""

    def __init__(self, evaluator, most, rng):
        self.evaluator, self.most, self.rng, self.step = evaluator, most, rng, (0, 0)

    def forward(self, x, taps, **options):
        """Compute activations of the picture rolled; see `Network.forward`."""
        self.step = tuple(int(s) for s in self.rng.integers(-self.most, self.most + 1, 2))
        xp = array_module(x)
        return self.evaluator.forward(xp.roll(x, self.step, axis=(2, 3)), taps, **options)

    def backward(self, dys, *rest, **options):
        """Pass gradients down to the picture, rolled back; see `Network.backward`."""
        dx = self.evaluator.backward(dys, *rest, **options)
        return array_module(dx).roll(dx, tuple(-s for s in self.step), axis=(2, 3))
