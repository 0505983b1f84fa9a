"""Style transfer and texture synthesis started from the page: watched, stopped, saved.

A search runs in a thread of its own, by the same job as the verb. What is saved is what the verb
would have written: `minicnn rerun` makes it again where the pictures lie beside it.
"""

import threading
from pathlib import Path
from types import SimpleNamespace

from minicnn.errors import MinicnnError, one_line
from minicnn.methods.style.verb import STYLE
from minicnn.methods.texture.verb import TEXTURE
from minicnn.pictures.html import data_uri
from minicnn.pictures.writer import save_image
from minicnn.runs.options import default_of
from minicnn.runs.picture_run import check_memory, main_losses, metadata_of
from minicnn.runs.provenance import checked_weights
from minicnn.runs.settings import refusal, settings_of

VERBS = {verb.name: verb for verb in (STYLE, TEXTURE)}
# settings that the page offers, with what it proposes: "" is the default
FIELDS = {
    "style": {
        "size": "192",
        "iterations": "60",
        "content_weight": "",
        "style_weight": "",
        "tv_weight": "",
        "optimizer": "",
        "seed": "",
    },
    "texture": {"width": "192", "iterations": "100", "tv_weight": "", "optimizer": "", "seed": ""},
}
KEPT = 8  # searches that can be looked at still


class Searches:
    """All searches of this run; one goes on at a time.

    Parameters
    ----------
    networks : list of dict
        The settings that name each network that is explored: "network", "weights".
    folder : Path
    seed : int, where none is asked for
    threads : int, optional
    """

    def __init__(self, networks, folder, seed=0, threads=None):
        self.networks, self.folder = networks, Path(folder)
        self.seed, self.threads = seed, threads
        self._searches, self._lock, self._count = {}, threading.Lock(), 0

    def forms(self):
        """Tell of each verb the settings that the page offers."""
        return {name: [_field(name, *entry) for entry in FIELDS[name].items()] for name in VERBS}

    def start(self, network, verb, pictures, values):
        """Start a search; return its number.

        Parameters
        ----------
        network : int
        verb : {"style", "texture"}
        pictures : list of (name, Path), what the verb takes
        values : dict, setting -> text
        """
        if verb not in VERBS:
            raise MinicnnError(f"no search {verb[:20]!r}; use {', '.join(VERBS)}")
        settings = {"seed": self.seed, **_settings(verb, [name for name, _ in pictures], values)}
        own = {**self.networks[network], "threads": self.threads}
        settings = settings_of(VERBS[verb].settings, SimpleNamespace(**settings), **own)
        with self._lock:
            if self.going() is not None:
                raise MinicnnError("a picture is being made already; stop it first")
            number = str(self._count)
            files = dict(zip(settings.inputs(), [path for _, path in pictures], strict=True))
            try:
                search = LiveSearch(VERBS[verb], settings, files, self.folder / f"{number}.png")
            except MinicnnError as error:  # in the names that the reader knows
                text = str(error)
                for name, path in pictures:
                    text = text.replace(str(path), name)
                raise MinicnnError(text) from None
            self._count += 1
            self._searches[number] = search
            self._searches.pop(str(self._count - 1 - KEPT), None)
            search.thread.start()
        return {"number": number, "iterations": search.job.steps}

    def going(self):
        """Return the number of the search that goes on, or None."""
        searches = self._searches.items()
        return next((number for number, search in searches if search.ended is None), None)

    def find(self, number):
        """Return the `LiveSearch` of a number, a text."""
        if number not in self._searches:
            raise MinicnnError("this search is no longer kept; start another")
        return self._searches[number]

    def stop_all(self):
        """Let all searches end, and wait until they have."""
        for search in list(self._searches.values()):
            search.stop()
            search.thread.join()


class LiveSearch:
    """A style transfer or a texture on its way.

    Attributes
    ----------
    ended : str or None
        Why it has ended, in words.
    failed : bool
        It has ended without a picture.
    """

    def __init__(self, verb, settings, files, path):
        self.job = verb.open_job(settings, files)
        check_memory(verb, self.job, settings, files)
        self.weights, self.path = checked_weights(self.job.net), path
        self.losses, self.terms = [], {}
        self.ended, self.failed = None, False
        self._latest, self._stopping = (0, None), threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def told(self, since=-1):
        """Tell how far it is, the losses, and the picture if it is newer than iteration `since`."""
        ended, (iteration, x) = self.ended, self._latest
        told = {
            "verb": self.job.verb,
            "iteration": iteration,
            "iterations": self.job.steps,
            "losses": self.losses[:],
            "terms": self.terms,
            "ended": ended,
            "failed": self.failed,
            "notes": self.job.notes,
        }
        if x is not None and (iteration > since or ended):
            rgb = self.outcome.picture if ended and not self.failed else self.job.snapshot(x)
            told["image"] = data_uri(rgb, compress_level=1)
        return told

    def stop(self):
        """End it behind this iteration; the best picture so far is the result."""
        self._stopping.set()
        return {}

    def saved(self):
        """Return the bytes of the picture, PNG, with the settings that made it inside."""
        if self.ended is None or self.failed:
            raise MinicnnError("there is no finished picture to save; stop the search first")
        return self.path.read_bytes()

    def _run(self):
        try:
            self.outcome = self.job.run(self._note)
            result = self.outcome.result
            if result.value != result.value:
                raise MinicnnError(f"no picture: {result.reason}")
            metadata = metadata_of(self.job, self.outcome, self.weights)
            save_image(self.path, self.outcome.picture, metadata=metadata, force=True)
            ended = result.reason
        except Exception as error:  # whatever it is, the page is told
            self.failed, kind = True, type(error).__name__
            ended = str(error) if isinstance(error, MinicnnError) else f"{kind}: {error}"
        self.ended = one_line(ended)

    def _note(self, iteration, x, value, info):
        self.losses.append(value)
        self.terms = main_losses({"total": value, **info["terms"]})
        self._latest = (iteration, x)
        if self._stopping.is_set():
            raise KeyboardInterrupt  # ends all sizes, as Ctrl-C does


def _field(verb, name, proposed):
    """Tell the page a setting: what it is called, what is allowed, what it is for."""
    kind = VERBS[verb].settings
    field, declared = kind.__dataclass_fields__[name], kind.by_name()[name]
    return {
        "name": name,
        "label": {"width": "size"}.get(name, name).replace("_", " "),
        "proposed": proposed,
        "default": default_of(field, declared),
        "choices": declared.kind.choices,
        "help": declared.help.replace("%%", "%"),
    }


def _settings(verb, names, values):
    """Return {setting: value} of texts that the page has sent; "" leaves one out."""
    known = VERBS[verb].settings.by_name()
    found = {"content": names[0], "style": names[1:]} if verb == "style" else {"sources": names}
    for name, text in values.items():
        if name not in FIELDS[verb]:
            raise MinicnnError(f"{verb} has no setting {name[:40]!r} here")
        if text.strip():
            try:
                found[name] = known[name].kind.read(text.strip())
            except ValueError:
                raise MinicnnError(refusal(name, repr(text[:40]), known[name].kind)) from None
    return found
