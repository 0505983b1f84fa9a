"""PyTorch eager, channels last."""

from functools import partial

from peers import _torch

PACKAGES = ("torch",)
KINDS = _torch.KINDS
GROUP = "PyTorch eager"

prepare = partial(_torch.prepare, channels_last=True)
