"""What the first-order methods have learnt of a function, to go on from at another picture size."""

from dataclasses import dataclass, field

from minicnn.backend import array_module

# what one of them is multiplied by when the gradient is, as a power; a velocity is in units of x
POWERS = {"mean": 1, "square": 2, "velocity": 0}


@dataclass
class Moments:
    """The running sums of a first-order method; a run that is given them goes on from there.

    Attributes
    ----------
    arrays : dict, name in `POWERS` -> array like x
    steps : int, iterations that went into them
    """

    arrays: dict = field(default_factory=dict)
    steps: int = 0

    def zeros(self, name, like):
        """Return the array `name`: from the run before, or zeros."""
        if name not in self.arrays:
            self.arrays[name] = array_module(like).zeros_like(like)
        return self.arrays[name]

    def resampled(self, resize, pixels: float):
        """Return the moments for a picture of another size.

        Parameters
        ----------
        resize : callable, array -> array, linear
        pixels : float
            How many times as many pixels; fun is a mean over pixels, so the gradient of each is
            smaller by as much.
        """
        other = Moments(steps=self.steps)
        for name, array in self.arrays.items():
            other.arrays[name] = resize(array)
            other.arrays[name] /= array.dtype.type(pixels ** POWERS[name])
        return other
