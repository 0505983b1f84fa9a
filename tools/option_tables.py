"""The tables of options in the chapters of the methods, from the declared settings.

    python tools/option_tables.py            write them anew
    python tools/option_tables.py --check    say which are not those of the settings; exit 1

A table stands between `<!-- options VERB: begin -->` and `<!-- options VERB: end -->`.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from minicnn.cli import command_parser  # noqa: E402
from minicnn.runs.options import table  # noqa: E402

PLACE = re.compile(r"(<!-- options ([a-z-]+): begin -->\n).*?(<!-- options \2: end -->)", re.DOTALL)


def filled(text):
    """Return a chapter with its tables as the settings have them."""
    return PLACE.sub(lambda found: f"{found[1]}{_table(found[2])}\n{found[3]}", text)


def _table(verb):
    """Return the table of the options of a verb."""
    (action,) = command_parser([verb])._subparsers._group_actions
    return table(*action.choices[verb].declared)


def main(check):
    """Write the tables, or with `check` name the chapters whose tables are old; return the code."""
    old = []
    for path in sorted((ROOT / "minicnn").rglob("README.md")):
        text = path.read_text()
        if (new := filled(text)) != text:
            old.append(path.relative_to(ROOT))
            if not check:
                path.write_text(new)
    for path in old:
        print(f"{path}: {'the tables are not those of the settings' if check else 'written'}")
    return 1 if check and old else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] == ["--check"]))
