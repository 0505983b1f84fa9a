"""The settings of a projection: what the papers leave open, and which units of which picture."""

from dataclasses import dataclass, fields

from minicnn.methods.deconvnet.projection import POLICIES, Policy
from minicnn.runs.settings import Declared, choice, setting


def _policy(name, words, shown=None):
    default = getattr(Policy, name)
    return setting(choice(POLICIES[name]), default, words, group="projection", shown=shown)


@dataclass(frozen=True, kw_only=True)
class PolicySettings(Declared):
    """What the papers leave open, see `projection.Policy`."""

    rule: str = _policy("rule", "of the ReLUs on the way down; `gradient` alone is a gradient")
    overlap: str = _policy(
        "overlap", "where pooling windows share a winner", "sum, which is the adjoint"
    )
    order: str = _policy("order", "which comes first", "unpool-rectify, as published")
    zero_windows: str = _policy(
        "zero_windows", "a pooling window that is all 0 has its switch at the first pixel, or none"
    )
    lrn: str | None = _policy(
        "lrn",
        "pass response normalisations by, or differentiate them",
        "identity for the rule deconvnet, else gradient",
    )

    @property
    def policy(self):
        """The `projection.Policy` of these settings."""
        return Policy(**{entry.name: getattr(self, entry.name) for entry in fields(Policy)})
