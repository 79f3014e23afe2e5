"""Penstock, an API management gateway. The names here are all that a process or a policy needs: its whole public
surface. `gateway.testing` tries a policy without a gateway."""

from gateway.core.call import Context
from gateway.core.errors import Problem
from gateway.core.identity import Identity
from gateway.core.policy_code import Headers, Request, Response, policy_kind
from gateway.core.process import process

__all__ = ["Context", "Headers", "Identity", "Problem", "Request", "Response", "policy_kind", "process"]
__version__ = "0.1.0"
