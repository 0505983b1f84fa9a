"""Results as Markdown tables, to be read in a terminal or put into a page."""

import math

from cases import Case

TITLES = {
    "gradient": "Style objective, value and gradient",
    "forward": "Network forward, to the objective's layers",
    "conv-forward": "A layer of VGG-19, forward",
    "conv-backward": "A layer of VGG-19, gradient of its input",
    "train": "A training step",
    "scan": "A scan of pictures, PyTorch's network alone",
    "records": "A scan of pictures, records kept by all",
    "lbfgs": "An iteration of L-BFGS, without the function",
}
SPREAD = 0.1  # quartiles of the ratio further apart than this part of it: marked
LEGEND = """\
Times: milliseconds, medians. A peer's cell is `ratio (ms)`: the median of ours / theirs round by
round, below 1 where we are faster. `~`: the quartiles of the ratio are more than 10 % apart. `!`:
every round was disturbed by other processes. Rounds: kept + dropped as disturbed. Memory: MB of
the process at its peak (over its imports); "better": ours / theirs of the process."""


def tables(records):
    """Return the text of all tables for the records of a run."""
    parts = []
    for kind, title in TITLES.items():
        for threads in sorted({r["case"]["threads"] for r in records if r["case"]["kind"] == kind}):
            rows = [r for r in records if r["case"]["kind"] == kind]
            rows = [r for r in rows if r["case"]["threads"] == threads]
            parts.append(f"**{title}**, {threads} thread{'s' * (threads != 1)}")
            parts.append(_overhead(rows, records) if kind == "lbfgs" else _times(rows))
            if kind == "gradient" and any(_shape(r) for r in rows):
                parts.append(_per_pixel(rows))
            if kind in ("gradient", "train", "scan", "records"):
                parts.append(_memory(rows))
    failures = [
        f"- {record['name']}: {name}: {peer['failed']}"
        for record in records
        for name, peer in record["peers"].items()
        if peer["failed"]
    ]
    if failures:
        parts.append("Without figures:\n\n" + "\n".join(failures))
    return "\n\n".join([LEGEND, *parts])


def _times(records):
    first, others, groups = _columns(records)
    lines = [["", f"{_title(records, first)}", *(_title(records, name) for name in others)]]
    lines[0] += [f"better {group}" for group in groups] + ["rounds"]
    for record in records:
        summary = record["summary"]
        cells = [_label(record["case"]), _ms(summary, first)]
        cells += [_ratio(summary, name) for name in others]
        cells += [_ratio(summary, summary["best"].get(group), short=True) for group in groups]
        lines.append([*cells, f"{summary['kept']} + {summary['dropped']}"])
    return markdown(lines)


def _memory(records):
    first, others, groups = _columns(records)
    names = [first, *others]
    lines = [["MB", *(_title(records, name) for name in names), *(f"better {g}" for g in groups)]]
    for record in records:
        peers = record["peers"]
        cells = [_label(record["case"]), *(_mb(peers.get(name)) for name in names)]
        for group in groups:
            peaks = [p["peak_mb"] for p in peers.values() if p["group"] == group and p["peak_mb"]]
            ours = peers.get(first, {}).get("peak_mb")
            cells.append(f"{ours / min(peaks):.2f}" if peaks and ours else "")
        lines.append(cells)
    return markdown(lines)


def _overhead(records, everything):
    """Milliseconds of an iteration, and their share of an evaluation where that was timed."""
    evaluations = {
        (r["case"]["size"], r["case"]["threads"]): r["summary"]["peers"]["ours"]["ms"]
        for r in everything
        if (r["case"]["kind"], r["case"]["network"]) == ("gradient", "vgg19")
        and not _shape(r)
        and "ours" in r["summary"]["peers"]
    }
    names = list(dict.fromkeys(name for record in records for name in record["peers"]))
    lines = [["ms (of a VGG-19 evaluation)", *(_title(records, n) for n in names), "rounds"]]
    for record in records:
        summary, whole = record["summary"], evaluations.get(_size(record["case"]))
        cells = [f"{record['case']['size']} px"]
        for name in names:
            ms = summary["peers"].get(name, {}).get("ms")
            share = f" ({100 * ms / whole:.0f} %)" if ms and whole else ""
            cells.append(f"{ms:.1f}{share}" if ms else "")
        lines.append([*cells, f"{summary['kept']} + {summary['dropped']}"])
    return markdown(lines)


def _per_pixel(records):
    """Time a pixel of other shapes than squares, over that of the square of the same size."""
    first, others, _ = _columns(records)
    names, square = [first, *others], {}
    lines = [["time a pixel / the square's", *(_title(records, name) for name in names)]]
    for record in sorted(records, key=lambda r: bool(_shape(r))):
        case, found = Case(**record["case"]), record["summary"]["peers"]
        pixels = math.prod(case.sides)
        times = {name: found[name]["ms"] / pixels for name in names if name in found}
        whole = square.setdefault((case.network, case.pool, case.size), times)
        if case.shape:
            ratios = [f"{times[n] / whole[n]:.2f}" if n in times else "-" for n in names]
            lines.append([_label(record["case"]), *ratios])
    return markdown(lines)


def markdown(lines):
    """Return a Markdown table of rows of text, in columns of even width; the first row heads it."""
    widths = [max(3, *(len(row[i]) for row in lines)) for i in range(len(lines[0]))]
    rule = ["-" * width for width in widths]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in [lines[0], rule, *lines[1:]]
    )


def _shape(record):
    return record["case"].get("shape", "")


def _size(case):
    return case["size"], case["threads"]


def _columns(records):
    """Return the first peer, the others, and the groups that have variants."""
    peers = {name: peer for record in records for name, peer in record["peers"].items()}
    first, *others = peers
    groups = [peer["group"] for peer in peers.values()]
    return first, others, [g for g in dict.fromkeys(groups) if groups.count(g) > 1]


def _title(records, name):
    return next(r["peers"][name]["title"] for r in records if name in r["peers"])


def _label(case):
    parts = (case["network"], case["layer"], case["pool"], f"{case['size']} px")
    parts += (case.get("shape"),)
    batch = f"batch {case['batch']}" if case["batch"] > 1 else ""
    return " ".join(part for part in (*parts, batch) if part)


def _ms(summary, name):
    found = summary["peers"].get(name)
    return f"{found['ms']:.1f}" + "!" * summary["disturbed"] if found else "-"


def _ratio(summary, name, short=False):
    found = summary["peers"].get(name)
    if not found:
        return "-"
    mark = "~" if found["high"] - found["low"] > SPREAD * found["ratio"] else ""
    mark = "!" if summary["disturbed"] else mark
    return f"{found['ratio']:.2f}{mark}" + ("" if short else f" ({found['ms']:.1f})")


def _mb(peer):
    if not peer or not peer["peak_mb"]:
        return "-"
    return f"{peer['peak_mb']:.0f} ({peer['peak_mb'] - peer['imports_mb']:.0f})"
