"""What figures are drawn from: pictures and networks; and what a figure is."""

from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from minicnn.data import drawn
from minicnn.data.picture_set import PictureSet
from minicnn.errors import MinicnnError
from minicnn.methods.comparison import comparison
from minicnn.methods.evolution.snapshots import read_snapshots
from minicnn.methods.style import demo
from minicnn.methods.texture.settings import TextureSettings
from minicnn.methods.texture.verb import TEXTURE
from minicnn.network.chosen_layers import relus_of_convolutions
from minicnn.network.layers import Conv2d, MaxPool2d, ReLU
from minicnn.pictures.arrays import fit
from minicnn.pictures.reader import load_image
from minicnn.pictures.writer import save_image
from minicnn.runs.inputs import DEFAULT, RANDOM, load_network
from minicnn.storage.atomic import results_folder, write_whole
from minicnn.weights import checkpoint

TILE = 64  # pixels a side, of the pictures that units are looked for in
TEXTURES = ("waves", "grain")  # drawn ones, as further styles and textures
DRAWN = 20  # pictures a class


class Figure(NamedTuple):
    """A figure of the notes, and how to make one like it by hand."""

    title: str
    picture: np.ndarray
    caption: str
    command: str


class Material:
    """Settings, and what they name, opened when it is asked for; a folder for what is drawn."""

    def __init__(self, settings, folder):
        self.settings, self.folder = settings, Path(folder)

    def check(self, wanted):
        """Raise `MinicnnError` for what the figures wanted cannot be drawn from."""
        content, styles = self.files
        for path in (content, *styles):
            load_image(path)
        if self.settings.data:
            len(self.pictures)
        self.painter()
        for number in {2, 4, 5} & set(wanted):
            (self.first_layer if number == 2 else self.layers_of)(number)
        if 6 in wanted:
            self.snapshots()
        if {7, 8} & set(wanted):
            self.compared()
        if max(wanted) > 9:
            try:
                TEXTURE.open_job(self.texture(*styles[:1]))
            except MinicnnError as error:  # the option has another name here
                raise MinicnnError(str(error).replace("--source-size", "--size")) from None

    def texture(self, *sources, **more):
        """Return the settings of a texture of some pictures."""
        s = self.settings
        how = {"source_size": s.size, "iterations": s.iterations, **self.network, **more}
        return TextureSettings([str(path) for path in sources], **how)

    @cached_property
    def files(self):
        """Paths (content, [styles])."""
        s, own = self.settings, []
        if s.picture is None or s.style is None:
            content, style = demo.unpack(self.folder)
            own = [style]
        if s.style is None:
            classes = drawn.CLASSES["shapes"]
            for name in TEXTURES:
                data = drawn.png("shapes", "train", classes.index(name), 1, s.seed, side=256)
                own.append(self.folder / f"{name}.png")
                rgb = load_image(own[-1], encoded=data).pixels
                save_image(own[-1], rgb[:192], force=True)  # as wide for its height as the others
        return Path(s.picture or content), [Path(path) for path in s.style or own]

    @cached_property
    def content(self):
        """The content, uint8 (H, W, 3)."""
        return load_image(self.files[0]).pixels

    @cached_property
    def style(self):
        """The first style, uint8 (H, W, 3)."""
        return load_image(self.files[1][0]).pixels

    @cached_property
    def pictures(self):
        """The `PictureSet` that units are looked for in."""
        if self.settings.data:
            return PictureSet(self.settings.data)
        place = results_folder(self.folder / "set", ())
        for label, name in enumerate(drawn.CLASSES["shapes"]):
            for number in range(DRAWN):
                data = drawn.png("shapes", "val", label, number, self.settings.seed)
                write_whole(place / f"{name}-{number:02}.png", data)
        for path in (self.files[0], *self.files[1][:1]):
            for number, tile in enumerate(tiles(load_image(path).pixels)):
                save_image(place / f"{path.stem}-{number:02}.png", tile, force=True)
        return PictureSet(place)

    @property
    def told_data(self):
        """Where units are looked for, in words."""
        if self.settings.data:
            return f"{len(self.pictures)} pictures of {Path(self.settings.data).name}"
        return f"{len(self.pictures)} pictures, drawn shapes and textures and tiles of two others"

    @property
    def network(self):
        """The settings of the network that paints, as those of every method."""
        s = self.settings
        names = ("network", "weights", "seed", "threads")
        found = {name: getattr(s, name) for name in names}
        if s.weights in (None, RANDOM):
            found["network"] = s.network or DEFAULT  # not what each method has: one for all
        return found

    def painter(self):
        """Return the network that paints."""
        s = self.settings
        return load_network(s.network, s.weights, None, seed=s.seed)

    @cached_property
    def net(self):
        """The network that is looked into."""
        return checkpoint.load(self.settings.inside)

    @property
    def net_option(self):
        """How a verb is told of it."""
        inside = self.settings.inside
        return f"--weights {inside}" if Path(inside).is_file() else f"--network {inside}"

    def first_layer(self, number):
        """Return the names of its first convolution, ReLU and max pooling, for a figure."""
        kinds = [Conv2d, ReLU, MaxPool2d]
        first = self.net.nodes[:3]
        if [type(node.layer) for node in first] != kinds:
            raise MinicnnError(
                f"figure {number} is of a network that begins with a convolution, a ReLU and a max "
                f"pooling; {self.settings.inside} does not. Leave the figure out by --only"
            )
        return [node.name for node in first]

    def layers_of(self, number):
        """Return the layers of figure 4, the first three of the network, or those of figure 5."""
        every = relus_of_convolutions(self.net)
        layers = every[:3] if number == 4 else every[3:]
        if not layers:
            raise MinicnnError(
                f"figure {number} is of the fourth layer and those above; "
                f"{self.settings.inside} has {', '.join(every)}. Leave the figure out by --only"
            )
        return layers

    def snapshots(self):
        """Return the snapshots of figure 6."""
        try:
            return read_snapshots(self.snapshot_files)
        except MinicnnError as error:
            raise MinicnnError(
                f"{error}. Figure 6 takes files by --snapshots; or leave it out by --only"
            ) from None

    @property
    def snapshot_files(self):
        """Files, or the name of a network whose snapshots are at hand."""
        return self.settings.snapshots or [self.settings.inside]

    def compared(self):
        """Return the two networks of figures 7 and 8."""
        s = self.settings
        return [comparison.open_network(name, s.seed) for name in (s.inside, s.beside)]


def tiles(rgb):
    """Return the square tiles of a picture whose shorter side is brought to 6 of them."""
    short = min(rgb.shape[:2])
    rgb = fit(rgb, round(max(rgb.shape[:2]) * 6 * TILE / short))
    rows, columns = (length // TILE for length in rgb.shape[:2])
    places = np.ndindex(rows, columns)
    return [rgb[i * TILE : (i + 1) * TILE, j * TILE : (j + 1) * TILE] for i, j in places]
