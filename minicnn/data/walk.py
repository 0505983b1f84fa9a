"""The pictures below a folder: one walk for all that read folders.

Hidden names are skipped. Links are followed, and every folder is entered once, as itself rather
than by a link, so a loop of links ends. What is not taken for a picture is counted.
"""

import os
from collections import Counter

from PIL import Image

from minicnn.pictures.reader import DRAWINGS

# Pillow knows their suffixes and has no decoder of its own
STUBS = ("BUFR", "GRIB", "HDF5", "MPEG")
KINDS_TOLD = 5


def pictures_below(root):
    """Return (names, others) of a folder and all folders in it.

    Returns
    -------
    names : list of str
        Paths relative to `root` with "/" between, in order: of regular files with the suffix of a
        kind of picture that Pillow reads.
    others : Counter
        What else was found, {".txt": 3, "no regular file": 1}.
    """
    suffixes = picture_suffixes()
    names, others, entered = [], Counter(), set()
    folders, links = [""], []
    while folders or links:
        at = (folders or links).pop()
        try:
            found = os.stat(os.path.join(root, at))
            if (found.st_dev, found.st_ino) in entered:
                others["folder linked twice"] += 1
                continue
            entered.add((found.st_dev, found.st_ino))
            with os.scandir(os.path.join(root, at)) as entries:
                shown = [entry for entry in entries if not entry.name.startswith(".")]
        except OSError:
            others["folder that cannot be opened"] += 1
            continue
        for entry in sorted(shown, key=lambda entry: entry.name, reverse=True):
            name, suffix = at + entry.name, os.path.splitext(entry.name)[1].lower()
            try:
                folder, regular = entry.is_dir(), entry.is_file()
            except OSError:  # a link to itself
                folder = regular = False
            if folder:
                (links if entry.is_symlink() else folders).append(f"{name}/")
            elif not regular:
                others["no regular file"] += 1
            elif suffix in suffixes:
                names.append(name)
            else:
                others[suffix or "no suffix"] += 1
    return sorted(names), others


def picture_suffixes():
    """Return the suffixes, as ".png", of what Pillow reads as pictures."""
    Image.init()
    kinds = set(Image.OPEN) - {*DRAWINGS, *STUBS}
    return {suffix for suffix, kind in Image.registered_extensions().items() if kind in kinds}


def left_out(root, others):
    """Return a line about what `pictures_below` has counted in `others`; "" if that is nothing."""
    most = others.most_common(KINDS_TOLD)
    told = [f"{count} x {kind.encode('unicode_escape').decode()}" for kind, count in most]
    if more := others.total() - sum(count for _, count in most):
        told.append(f"{more} x others")
    return f"{root}: left out, as no pictures: {', '.join(told)}" if told else ""
