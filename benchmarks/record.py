"""The file of results: a line of JSON for each case, written as soon as the case is done."""

import json

SAME = ("processor", "processors", "python", "source")  # of the machine, to go on with a file


class Unusable(Exception):
    """The file is not one of ours; the message says why."""


def read(path):
    """Return the records of a file, the last one of every case; [] if there is no file.

    Raises
    ------
    Unusable
        If a line is not a record. One that was cut off is passed over.
    """
    found = {}
    try:
        lines = path.read_text().split("\n")
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise Unusable(f"cannot read {path}: {error}") from None
    for number, line in enumerate(lines, start=1):
        try:
            if line:
                record = json.loads(line)
                found.pop(record["name"], None)
                found[record["name"]] = record
        except (ValueError, KeyError, TypeError):
            if not line.startswith('{"name": '):
                raise Unusable(f"{path}, line {number}, is no result of a benchmark") from None
    return list(found.values())


def append(path, record):
    """Add a record to the file, on a line of its own even where a line before was cut off."""
    cut = path.exists() and not path.read_bytes().endswith(b"\n") and path.stat().st_size
    with path.open("a") as file:
        file.write("\n" * bool(cut) + json.dumps(record) + "\n")


def done(records, case, abouts, rounds, machine):
    """Return the record that makes it needless to time `case` again, or None.

    It has as many rounds, all these peers in these versions, and is from the same machine and
    source.
    """
    for record in records:
        same = all(record["machine"][key] == machine[key] for key in SAME)
        peers = {name: peer["versions"] for name, peer in record["peers"].items()}
        wanted = {name: about["versions"] for name, about in abouts.items()}
        whole = record["summary"]["kept"] >= rounds and peers == wanted
        if same and whole and record["case"] == case._asdict():
            return record
    return None
