"""Pictures of a search on its way: as numbered files, and as an animated GIF."""

from dataclasses import dataclass, field
from pathlib import Path

from minicnn.errors import MinicnnError
from minicnn.pictures.arrays import resize
from minicnn.pictures.gif import check_gif, colours_of, save_gif
from minicnn.pictures.writer import check_output, save_image
from minicnn.terminal import parser

WANTED = 40  # frames of a run, about, unless told otherwise
LONGEST = 480  # pixels of the long side of a GIF


def add_options(verb) -> None:
    """Declare the options."""
    verb.add_argument(
        "--frames",
        metavar="DIR",
        help="also write the picture of every N-th iteration as DIR/0010.png, in its last size",
    )
    verb.add_argument(
        "--gif",
        metavar="OUT.gif",
        help=f"also write these pictures as an animation, at most {LONGEST} pixels wide or high",
    )
    verb.add_argument(
        "--every",
        metavar="N",
        type=parser.count,
        help=f"iterations from frame to frame (default: as many as make {WANTED} frames)",
    )


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
    def of(cls, args):
        """Return those that the arguments ask for, or None."""
        if args.frames is None and args.gif is None:
            if args.every is not None:
                raise MinicnnError("--every is for --frames and --gif; give one of them as well")
            return None
        return cls(args.frames, args.gif, args.every, args.force)

    def steps(self, iterations: int) -> list:
        """Return the iterations that are shown, of so many; the last one is always."""
        step = self.every or max(1, -(-iterations // WANTED))
        return [*range(step, iterations, step), iterations]

    def path(self, iteration: int) -> Path:
        """Return the file of an iteration."""
        return Path(self.folder) / f"{iteration:04d}.png"

    def outputs(self, iterations: int) -> list:
        """Return all files to be written."""
        files = [self.gif] if self.gif else []
        return files + ([self.path(i) for i in self.steps(iterations)] if self.folder else [])

    def check(self, iterations: int) -> None:
        """Raise `MinicnnError` if a file cannot be written."""
        if self.gif:
            check_gif(self.gif, self.force)
        if self.folder is None or not Path(self.folder).exists():
            return
        if not Path(self.folder).is_dir():
            raise MinicnnError(f"cannot make the folder {self.folder!r}: there is a file")
        for iteration in self.steps(iterations):
            check_output(self.path(iteration), self.force)

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

    def finish(self) -> None:
        """Write the animation."""
        if self.gif and self.kept:
            save_gif(self.gif, self.kept, force=self.force)
