"""Pictures of a search on its way: as numbered files, and as an animated GIF."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from minicnn.errors import MinicnnError
from minicnn.pictures.arrays import resize
from minicnn.pictures.gif import check_gif, colours_of, save_gif
from minicnn.pictures.writer import save_image

WANTED = 40  # frames of a run, about, unless told otherwise
LONGEST = 480  # pixels of the long side of a GIF


@dataclass
class Frames:
    """The pictures on the way of a run.

    Attributes
    ----------
    folder : str, or None
    gif : str, or None
    every : int, iterations from one to the next; by default so many that there are `WANTED`
    force : bool, replace files
    """

    folder: str | None = None
    gif: str | None = None
    every: int | None = None
    force: bool = False
    kept: list = field(default_factory=list)

    @classmethod
    def of(cls, outputs):
        """Return those that the outputs of a verb ask for."""
        if outputs.frames is None and outputs.gif is None:
            raise MinicnnError("--every is for --frames and --gif; give one of them as well")
        return cls(outputs.frames, outputs.gif, outputs.every, outputs.force)

    def steps(self, iterations: int) -> list:
        """Return the iterations that are shown, of so many; the last one is always."""
        step = self.every or max(1, -(-iterations // WANTED))
        return [*range(step, iterations, step), iterations]

    def path(self, iteration: int) -> Path:
        """Return the file of an iteration."""
        return Path(self.folder) / f"{iteration:04d}.png"

    def paths(self, iterations: int) -> list:
        """Return the numbered files that may be there already; none where no folder is yet."""
        there = self.folder and Path(self.folder).exists()
        return [self.path(i) for i in self.steps(iterations)] if there else []

    def check(self) -> None:
        """Raise `MinicnnError` if the animation or the folder cannot be written."""
        if self.gif:
            check_gif(self.gif, self.force)
        if self.folder and Path(self.folder).exists() and not Path(self.folder).is_dir():
            raise MinicnnError(f"cannot make the folder {self.folder!r}: there is a file")

    def begin(self) -> None:
        """Make the folder."""
        if self.folder is None:
            return
        try:
            Path(self.folder).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise MinicnnError(
                f"cannot make the folder {self.folder!r}: {error.strerror}; give another one"
            ) from None

    def add(self, iteration: int, rgb, size) -> None:
        """Take a picture uint8 (H, W, 3) of an iteration; `size` is that of the last, in pixels."""
        if self.folder:
            whole = rgb if rgb.shape[:2] == tuple(size) else resize(rgb, size)
            save_image(self.path(iteration), whole, force=self.force)
        if self.gif:
            shrink = min(1.0, LONGEST / max(size))
            small = [max(1, round(side * shrink)) for side in size]
            self.kept.append(colours_of(rgb, small))

    def arrays(self) -> dict:
        """Return the pictures of the animation so far as {name: array}, for `restore`."""
        found = {f"pixels{i}": np.asarray(image) for i, image in enumerate(self.kept)}
        colours = {f"colours{i}": image.getpalette() for i, image in enumerate(self.kept)}
        return found | {name: np.array(table, np.uint8) for name, table in colours.items()}

    def restore(self, arrays) -> None:
        """Take back what `arrays` has returned, once `begin` was called."""
        for i in range(len(arrays) // 2):
            self.kept.append(Image.fromarray(arrays[f"pixels{i}"], "P"))
            self.kept[-1].putpalette(arrays[f"colours{i}"].tobytes())

    def finish(self) -> None:
        """Write the animation."""
        if self.gif and self.kept:
            save_gif(self.gif, self.kept, force=self.force)
