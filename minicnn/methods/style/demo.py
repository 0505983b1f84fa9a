"""The demonstration: two pictures drawn by our own code, one painted in the style of the other.

They are part of the package; `tools/draw_demo_pictures.py` draws them.
"""

from importlib import resources
from pathlib import Path

from minicnn.errors import MinicnnError

CONTENT, STYLE = "content.jpg", "style.jpg"
RESULT, SHEET = "result.png", "sheet.png"
SIZE, ITERATIONS, COARSE_ITERATIONS = 512, 60, 100  # about a minute on two cores


def unpack(folder, force=False):
    """Write the two pictures into a folder, which is made if it is not there.

    Returns
    -------
    content, style : Path

    Raises
    ------
    MinicnnError
        If the folder cannot be made, or has files of these names with other bytes and `force`
        is not set.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MinicnnError(f"cannot make the folder {str(folder)!r}: {error.strerror}") from None
    return tuple(_unpack(name, folder, force) for name in (CONTENT, STYLE))


def _unpack(name, folder, force):
    data, path = resources.files("minicnn.demo").joinpath(name).read_bytes(), folder / name
    if path.exists() and not force and not (path.is_file() and path.read_bytes() == data):
        raise MinicnnError(f"{str(path)!r} exists already; use another folder, or force")
    try:
        path.write_bytes(data)
    except OSError as error:
        raise MinicnnError(f"cannot write {str(path)!r}: {error.strerror}") from None
    return path
