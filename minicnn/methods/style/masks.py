"""Masks: where in the picture each style is wanted, and what part of a style picture is meant.

A mask is a picture of the size of the one it belongs to: white is inside, black outside, grey in
between. One label picture may stand for the content masks of all styles: as many flat colours as
there are styles, the darkest for the first.
"""

import numpy as np

from minicnn.errors import MinicnnError
from minicnn.objectives.guidance import at_layer
from minicnn.pictures.arrays import resize
from minicnn.pictures.colours import luminance

LEAST = 1.0  # positions of a layer below which a Gram matrix of a region says nothing


def masks_of(reader, pictures, roles, owners):
    """Return masks float32 (H, W), values 0..1, in the size of the files.

    `pictures` is role -> uint8 (H, W, 3) as the `reader` has read it, `roles` are those of the
    masks, `owners` those of the pictures that they belong to: as many, or several of one label
    picture. Raises `MinicnnError` if a mask has not the size of its picture or is black all over,
    or a label picture has another number of colours than there are owners.
    """
    for role, owner in zip(roles, owners, strict=False):
        mask, shape = pictures[role], pictures[owner].shape
        if mask.shape != shape:
            raise MinicnnError(
                f"mask {str(reader.path(role))!r} is {_size(mask.shape)} pixels, its picture "
                f"{str(reader.path(owner))!r} {_size(shape)}; give the mask the size of the picture"
            )
        if not mask.any():
            raise MinicnnError(
                f"mask {str(reader.path(role))!r} is black all over; paint the region white"
            )
    if len(roles) == 1 and len(owners) > 1:
        return _labels(pictures[roles[0]], len(owners), reader.path(roles[0]))
    return [(luminance(pictures[role]) / 255).astype(np.float32) for role in roles]


def _labels(rgb, count, path):
    """Return the mask of each colour of a label picture, from dark to light."""
    colours, place = np.unique(rgb.reshape(-1, 3), axis=0, return_inverse=True)
    if len(colours) != count:
        raise MinicnnError(
            f"one mask for {count} styles is a label picture of {count} flat colours; "
            f"{str(path)!r} has {len(colours)}; save it as PNG without smooth edges, or give one "
            "mask for each style"
        )
    order = np.argsort(luminance(colours))
    place = place.reshape(rgb.shape[:2])
    return [(place == label).astype(np.float32) for label in order]


def resized(mask, size):
    """Return a mask in another size, (rows, columns)."""
    if mask.shape == tuple(size):
        return mask
    bands = np.repeat(mask[:, :, None], 3, axis=2)
    return np.clip(resize(bands, size)[:, :, 0], 0, 1)


def check_areas(net, layers, masks, paths, option):
    """Refuse masks, in the size that the network sees, that leave nothing of a layer."""
    fields = net.receptive_fields()
    for mask, path in zip(masks, paths, strict=True):
        shapes = net.shapes((3, *mask.shape), layers)
        for name in layers:
            area = float(at_layer(mask, fields[name], shapes[name][1:]).sum())
            if area < LEAST:
                raise MinicnnError(
                    f"mask {str(path)!r} covers {area:.2g} positions of layer {name}; use a larger "
                    f"region, a larger {option}, or shallower style layers"
                )


def _size(shape):
    return f"{shape[1]} x {shape[0]}"
