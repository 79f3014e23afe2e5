"""Penstock, an API management gateway. The names here are all that a process needs: its whole public surface."""

from gateway.core.call import Context
from gateway.core.errors import Problem
from gateway.core.process import process

__all__ = ["Context", "Problem", "process"]
__version__ = "0.1.0"
