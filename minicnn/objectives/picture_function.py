"""The type of what minimises a loss over the picture calls."""

from typing import Any, Protocol


class PictureFunction(Protocol):
    """A function of the picture, however it is evaluated."""

    terms: dict[str, float]

    def __call__(self, x: Any) -> tuple[float, Any]:
        """Return (value, gradient) at picture x."""
