"""Time minicnn against its peers, case by case, and print the tables.

    python benchmarks/all.py [--kinds ...] [--networks ...] [--sizes ...] [--peers ...] [--quick]

Every case is written to a file as soon as it is done. A run that was interrupted goes on from
there when it is started again; README.md says how to read what it prints.
"""

import os
import re
import sys
import time
from pathlib import Path

import machine
import pairs
import peers
import plan
import record
from cases import OBJECTIVES
from options import Parser
from summary import DISTURBED, summarize
from table import tables

from minicnn.engine.cpu.threads import thread_count
from minicnn.errors import MinicnnError

FILE = Path("runs/benchmarks.jsonl")
ROUNDS, QUICK_ROUNDS, QUICK_UNIT = 9, 3, 0.02


def parse(argv=None):
    parser = Parser(
        description=__doc__.partition("\n\n")[0],
        epilog="example: python benchmarks/all.py --quick --networks minivgg --kinds gradient",
    )
    add = parser.add_argument
    add("--kinds", nargs="+", metavar="KIND", help=f"of {', '.join(plan.KINDS)}; all")
    add("--networks", nargs="+", metavar="NAME", help=f"of {', '.join(OBJECTIVES)}; all")
    add("--sizes", nargs="+", type=int, metavar="PX", help="256 512 1024")
    shapes = f"width:height, for {plan.SHAPED}'s gradient beside squares; {' '.join(plan.SHAPES)}"
    add("--shapes", nargs="*", metavar="W:H", help=shapes)
    add("--peers", nargs="+", metavar="NAME", help=f"beside ours, of {', '.join(peers.names())}")
    add("--pool", choices=("max", "average"), help="of all networks; that of each one's style")
    add("--threads", help="for each peer; as many as there are processors")
    add("--rounds", type=int, help=f"undisturbed rounds wanted, {ROUNDS}")
    share = f"processors that others may use in a round, or it is dropped; {DISTURBED}"
    add("--limit", type=float, default=DISTURBED, metavar="SHARE", help=share)
    add("--json", type=Path, default=FILE, metavar="FILE", help=f"results, {FILE}")
    add("--again", action="store_true", help="time also what the file has already")
    add("--plan", action="store_true", help="only say what would be done and how long it takes")
    add("--show", action="store_true", help="only print the tables of the file")
    add("--quick", action="store_true", help="small pictures and few rounds: does it all work?")
    args = parser.parse_args(argv)
    try:
        return _checked(args)
    except (MinicnnError, ValueError) as error:
        parser.error(str(error))


def _checked(args):
    """Return the options with their defaults, refused with a ValueError where they cannot work."""
    for name, known in (("kinds", plan.KINDS), ("networks", OBJECTIVES), ("peers", peers.names())):
        for value in getattr(args, name) or ():
            if value not in known:
                raise ValueError(f"no {name[:-1]} {value!r}; use {', '.join(known)}")
    for size in args.sizes or ():
        if not 32 <= size <= 8192:
            raise ValueError(f"--sizes {size}: use pixels from 32 to 8192")
    for shape in args.shapes or ():
        if not re.fullmatch(r"[1-9]\d?:[1-9]\d?", shape):
            raise ValueError(f"--shapes {shape}: use width:height, as 4:3")
    if args.rounds is not None and not 1 <= args.rounds <= 1000:
        raise ValueError(f"--rounds {args.rounds}: use a number from 1 to 1000")
    if not args.limit > 0:
        raise ValueError(f"--limit {args.limit}: use a number above 0")
    args.threads = thread_count(args.threads)
    args.kinds = args.kinds or list(plan.KINDS)
    args.networks = args.networks or (["minivgg", "squeezenet"] if args.quick else list(OBJECTIVES))
    args.sizes = args.sizes or ([64] if args.quick else [256, 512, 1024])
    args.shapes = plan.SHAPES if args.shapes is None else args.shapes
    args.rounds = args.rounds or (QUICK_ROUNDS if args.quick else ROUNDS)
    args.unit = QUICK_UNIT if args.quick else pairs.UNIT
    try:
        args.json.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"--json {args.json}: no folder for it: {error.strerror}") from None
    there = args.json if args.json.exists() else args.json.parent
    if args.json.is_dir() or not os.access(there, os.W_OK):
        raise ValueError(f"--json {args.json}: use a file that can be written")
    return args


def main(argv=None):
    args = parse(argv)
    try:
        records = record.read(args.json)
    except record.Unusable as error:
        sys.exit(f"all.py: {error}")
    if args.show:
        print(tables(records) if records else f"{args.json} holds no results yet")
        return 0
    known = _introduce(args)
    cases = plan.cases(
        args.kinds,
        args.networks,
        args.sizes,
        args.threads,
        pool=args.pool or "",
        shapes=args.shapes,
        quick=args.quick,
    )
    work = [(case, _able(case, known)) for case in cases]
    missing = [case.name for case, able in work if not able]
    work = [(case, able) for case, able in work if able]
    here = machine.facts()
    old = {c.name: record.done(records, c, able, args.rounds, here) for c, able in work}
    todo = [(c, able) for c, able in work if args.again or not old[c.name]]
    seconds = sum(plan.seconds(c, able, args.rounds, args.unit) for c, able in todo)
    _say(machine.line(here))
    _say(f"cases: {len(todo)}, and {len(work) - len(todo)} from the file; rounds: {args.rounds}")
    _say(f"about {_minutes(seconds)} on a quiet machine, up to three times that on a busy one")
    for name in missing:
        _say(f"{name}: no peer for it")
    if args.plan:
        for case, able in todo:
            time_s = plan.seconds(case, able, args.rounds, args.unit)
            print(f"{case.name:<44}{_minutes(time_s):>12}  {' '.join(able)}")
        return 0
    started, results = time.monotonic(), [r for name, r in old.items() if r and not args.again]
    try:
        for case, able in todo:
            results.append(_time(case, able, args, here))
    except KeyboardInterrupt:
        _say(f"interrupted; {len(results)} cases are in {args.json}, start again to go on")
        return 130
    finally:
        order = {case.name: i for i, case in enumerate(cases)}
        if results:
            print(tables(sorted(results, key=lambda r: order[r["name"]])))
    _say(f"{_minutes(time.monotonic() - started)}; in {args.json}")
    failed = [r["name"] for r in results if any(p["failed"] for p in r["peers"].values())]
    return 1 if failed or not results else 0


def _introduce(args):
    """Return {peer: what it says of itself} of those that take part."""
    known = {}
    for name in peers.names():
        if args.peers and name not in ("ours", *args.peers) and "lbfgs" not in args.kinds:
            continue
        _note(f"asking {name}")
        said = pairs.about(name)
        if said["why_not"]:
            _say(f"{name} cannot take part: {said['why_not']}")
        elif _wanted(name, said, args):
            known[name] = said
    return known


def _wanted(name, said, args):
    if args.peers and name in args.peers:
        return True
    if said["when"] == "asked" or (said["when"] == "full" and args.quick):
        return False
    # what the others are checked against, and the optimizers, which are peers of each other
    return not args.peers or name == "ours" or "lbfgs" in said["kinds"]


def _able(case, known):
    return {name: said for name, said in known.items() if case.kind in said["kinds"]}


def _time(case, able, args, here):
    """Time a case, write it to the file, say how it went, return the record."""
    now = machine.facts()
    if now["source"] != here["source"]:
        _say("the sources are not what they were when the run began: cases cannot be compared")
    outcome = pairs.run(
        case,
        able,
        rounds=args.rounds,
        most_rounds=args.rounds * (1 if args.quick else 3),
        limit=args.limit,
        unit=args.unit,
        note=_note,
    ).as_dict()
    found = {"name": case.name, "case": case._asdict(), "time": time.strftime("%F %T")}
    found |= {"machine": now, "limit": args.limit, "unit": args.unit, **outcome}
    found["summary"] = summarize(outcome, args.limit)
    record.append(args.json, found)
    ratios = ", ".join(f"{n} {f['ratio']:.2f}" for n, f in found["summary"]["peers"].items())
    kept, dropped = found["summary"]["kept"], found["summary"]["dropped"]
    _say(f"{case.name}: {ratios or 'no figures'} ({kept} rounds, {dropped} dropped)")
    for name, peer in found["peers"].items():
        if peer["failed"]:
            _say(f"{case.name}: {name} failed: {peer['failed']}")
    return found


def _minutes(seconds):
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _say(text):
    print(f"{_CLEAR}{text}", file=sys.stderr, flush=True)


def _note(text):
    if _CLEAR:
        print(f"{_CLEAR}{text}", end="", file=sys.stderr, flush=True)


_CLEAR = "\r\033[K" if sys.stderr.isatty() else ""


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
