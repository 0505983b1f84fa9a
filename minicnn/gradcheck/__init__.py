"""Every gradient against central differences, every linear operation against its adjoint."""

from minicnn.gradcheck.checks import check_adjoint, check_vjp

__all__ = ["check_adjoint", "check_vjp"]
