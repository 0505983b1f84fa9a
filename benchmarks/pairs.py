"""Peers of one case, each in a process of its own, timed in turn by one coordinator.

In one process the thread pools of two libraries ruin each other's times, and one after the other
would compare two moments of the machine. So a round asks each process once, in an order that
turns, and what is compared is the two times of the same round.
"""

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

import checks

HERE = Path(__file__).resolve().parent
PAUSE = 0.1  # seconds before each turn: thread pools that spin after their work go to sleep
UNIT = 0.3  # seconds that a turn takes at least
MOST_UNITS = 200
PATIENCE = 1800.0  # seconds that a process may take to answer


class Failed(Exception):
    """A peer cannot take part, or not any more; the message says why."""


@dataclass
class Peer:
    """What is known of a peer in one case; see `summary` for what follows from it."""

    title: str
    group: str
    versions: dict = field(default_factory=dict)
    seconds: list = field(default_factory=list)  # of a unit of work, a round after the other
    peak_mb: float = 0.0
    imports_mb: float = 0.0
    setup_s: float = 0.0  # from the start of the process to its first timed turn
    differences: dict = field(default_factory=dict)  # {result: relative difference from ours}
    failed: str = ""


@dataclass
class Outcome:
    """A case, timed. `others` are processors used by other processes, a number for each round."""

    peers: dict
    others: list = field(default_factory=list)

    def as_dict(self):
        """Return plain values."""
        return {**asdict(self), "peers": {name: asdict(p) for name, p in self.peers.items()}}


def about(name):
    """Return what a peer says of itself; see `serve.about`."""
    process = Process(name, "--about")
    try:
        return process.answer(PATIENCE)
    except Failed as failed:
        return {"why_not": str(failed)}
    finally:
        process.end()


def run(case, peers, *, rounds, most_rounds, limit, unit=UNIT, note=lambda _: None):
    """Time a case.

    Parameters
    ----------
    case : cases.Case
    peers : dict, name -> what `about` returned; the first is the one that others are checked
        against
    rounds, most_rounds : int
        Undisturbed rounds wanted, and rounds made at most.
    limit : float
        A round is disturbed if other processes used more than so many processors in any turn.
    unit : float
        Seconds that a turn takes at least: short work is repeated.
    note : callable, note(text)

    Returns
    -------
    Outcome
        Every peer with its times, or with the reason why it has none.
    """
    outcome = Outcome({n: Peer(a["title"], a["group"], a["versions"]) for n, a in peers.items()})
    with tempfile.TemporaryDirectory() as folder:
        running = {}
        try:
            for name, peer in outcome.peers.items():
                note(f"{case.name}: {name} gets ready")
                _try(peer, lambda n=name: running.update({n: _start(n, case, folder, peers)}))
                if name in running:
                    peer.imports_mb, first = running[name].facts["imports_mb"], running[name].facts
                    peer.setup_s, peer.differences = first["setup_s"], first["differences"]
                elif name == next(iter(peers)):
                    return outcome  # nothing to compare with
            units = {n: _units(p.facts["wall"], unit) for n, p in running.items()}
            kept = 0
            while kept < rounds and len(outcome.others) < most_rounds:
                dropped = len(outcome.others) - kept
                note(f"{case.name}: {kept} of {rounds} rounds, {dropped} dropped")
                others = _round(outcome, running, units)
                if len(running) < 1:
                    break
                outcome.others.append(others)
                kept += others <= limit
        finally:
            for process in running.values():
                process.end()
    return outcome


def _start(name, case, folder, peers):
    """Return the process of a peer that is ready and computes what the first one computes."""
    file, first = f"{folder}/{name}.npz", next(iter(peers))
    started, process = time.perf_counter(), Process(name, json.dumps(case._asdict()), file)
    try:
        process.facts = process.answer(PATIENCE) | process.answer(PATIENCE)
        process.facts["setup_s"] = time.perf_counter() - started
        process.facts["differences"] = {}
        if name != first:
            process.facts["differences"] = checks.differences(f"{folder}/{first}.npz", file)
    except ValueError as error:
        process.end()
        raise Failed(f"checked against {first}, {error}") from None
    except BaseException:
        process.end()
        raise
    return process


def _round(outcome, running, units):
    """Ask everyone once; return the most that others used during a turn, in processors."""
    names = list(running)
    turn = len(outcome.others) % len(names)
    found, others = {}, [0.0]
    for name in names[turn:] + names[:turn]:
        time.sleep(PAUSE)
        before, started = busy_of_others(running.values()), time.perf_counter()
        _try(outcome.peers[name], lambda n=name: found.update({n: running[n].ask(units[n])}))
        if name in found:
            used = busy_of_others(running.values()) - before
            others.append(used / (time.perf_counter() - started))
        else:
            running.pop(name).end()
    for name, answer in found.items():
        outcome.peers[name].seconds.append(answer["seconds"])
        outcome.peers[name].peak_mb = answer["peak_mb"]
    return max(others)


def _try(peer, action):
    try:
        action()
    except Failed as failed:
        peer.failed, peer.seconds = str(failed), []


def _units(seconds, unit):
    return max(1, min(MOST_UNITS, round(unit / max(seconds, 1e-6))))


class Process:
    """`serve.py`, on the other end of two pipes; what it writes to stderr is kept for a failure."""

    def __init__(self, *arguments, program=None):
        self.facts = {}
        self._errors = tempfile.TemporaryFile("w+")
        self._process = subprocess.Popen(
            [*(program or (sys.executable, str(HERE / "serve.py"))), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        self.pid, self._lines = self._process.pid, queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def ask(self, units):
        """Have `units` units of work done; return the answer."""
        with suppress(OSError):  # it has ended: the answer says so
            self._process.stdin.write(f"{units}\n")
            self._process.stdin.flush()
        return self.answer(PATIENCE)

    def answer(self, seconds):
        """Return the next answer.

        Raises
        ------
        Failed
            If the process says so, ends, or takes longer than `seconds`.
        """
        try:
            line = self._lines.get(timeout=seconds)
        except queue.Empty:
            raise Failed(f"no answer within {seconds:.0f} s") from None
        if not line:
            raise Failed(f"its process ended with code {self._process.wait()}{self._last_words()}")
        facts = json.loads(line)
        if "failed" in facts:
            raise Failed(facts["failed"])
        return facts

    def end(self):
        """End the process, at once if it does not end by itself."""
        with suppress(OSError):  # it has ended already, with something unread
            self._process.stdin.close()
        try:
            self._process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(timeout=1)
        self._process.stdout.close()
        self._errors.close()

    def _read(self):
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put("")

    def _last_words(self):
        self._errors.seek(0)
        words = self._errors.read().strip().split("\n")[-1]
        return f": {words}" if words else ""


def busy_of_others(processes):
    """Return processor seconds since boot that neither we nor `processes` used (Linux; else 0).

    Time that a virtual machine's host gave to others counts, since it was taken from us.
    """
    try:
        with open("/proc/stat") as file:
            user, nice, system, _, _, irq, softirq, steal = map(int, file.readline().split()[1:9])
        own = sum(_ticks(process.pid) for process in processes) + _ticks("self")
    except (OSError, ValueError):
        return 0.0
    return (user + nice + system + irq + softirq + steal - own) / os.sysconf("SC_CLK_TCK")


def _ticks(pid):
    """Return the ticks of a process and of those it has started and waited for."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return sum(map(int, fields[11:15]))
