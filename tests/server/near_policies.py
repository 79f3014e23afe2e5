"""A policy that the nodes of these tests host in their workers."""

from __future__ import annotations

import os

from gateway import Request, Response, policy_kind


@policy_kind("near")
class Near:
    """Marks responses with the process that served them."""

    def response(self, request: Request, response: Response) -> None:
        response.headers.set("X-Served-By", str(os.getpid()))
