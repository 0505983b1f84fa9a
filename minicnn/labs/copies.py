"""From the one source of a lab to its script with blanks and to its solutions.

# BLANK: what to write here            the script keeps this line and has an open blank below it,
...                                    the solutions have what stands between
# END
# > an answer                          in the solutions alone

Both begin with a line that makes a cell of text of the docstring.
"""

import re
from pathlib import Path

from minicnn.errors import MinicnnError

SCRIPTS = Path(__file__).parent / "scripts"
TEXT = "# %% [markdown]\n"
OPEN = 'raise NotImplementedError("an open blank")'
_BLANK = re.compile(r"^( *)# BLANK: (.*?\n)(.*?)^ *# END\n", re.MULTILINE | re.DOTALL)
_ANSWER = re.compile(r"^# >.*\n", re.MULTILINE)


def sources():
    """Return {number: path} of the sources of all labs."""
    return {int(path.stem[3:5]): path for path in sorted(SCRIPTS.glob("lab*.py"))}


def source_of(number):
    """Return the path of the source of a lab.

    Raises
    ------
    MinicnnError
        If there is no such lab.
    """
    found = sources()
    if number not in found:
        raise MinicnnError(f"no lab {number}; the labs are 1 to {len(found)}, see `minicnn lab`")
    return found[number]


def title(path):
    """Return the first line of a lab, without its number."""
    first = path.read_text(encoding="utf-8").split('"""')[1].partition("\n")[0]
    return first.partition(": ")[2].rstrip(".")


def blank(source):
    """Return the script with its blanks open."""

    def opened(found):
        indent, what, filled = found.groups()
        more = "".join(line + "\n" for line in _comments(filled, indent))
        return f"{indent}# {what}{more}{indent}{OPEN}\n"

    return TEXT + _ANSWER.sub("", _BLANK.sub(opened, source))


def solution(source):
    """Return the script with its blanks filled and its questions answered."""
    return TEXT + _BLANK.sub(lambda found: f"{found[1]}# {found[2]}{found[3]}", source)


def _comments(filled, indent):
    """Return the comments that go on with what is asked for: those at the start of a blank."""
    lines = []
    for line in filled.splitlines():
        if not line.startswith(f"{indent}# "):
            break
        lines.append(line)
    return lines
