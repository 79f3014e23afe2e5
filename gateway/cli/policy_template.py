"""What `penstock policies new` writes: a package with a policy, and its tests."""

from __future__ import annotations

from string import Template
from typing import Final

CODE: Final = Template('''\
"""$title: a policy for Penstock."""

from pydantic import BaseModel, ConfigDict, Field

from gateway import Problem, Request, Response, policy_kind


class ${Class}Settings(BaseModel):
    """What documents may write under `with`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    header: str = Field("X-Tenant", description="the request header that has to be there")


class ${Class}Missing(Problem):
    status, title, code = 400, "A header is missing", "${code}_missing"


@policy_kind("$name", example={"header": "X-Tenant"})
class $Class:
    """Refuses requests without a header, and marks the responses of others."""

    def __init__(self, config: ${Class}Settings) -> None:
        self.header = config.header

    def request(self, request: Request) -> Response | None:
        if request.headers.get(self.header) is None:
            raise ${Class}Missing(f"Send the header {self.header}.")
        return None

    def response(self, request: Request, response: Response) -> None:
        response.headers.set("X-Checked-By", "$name")
''')

TESTS: Final = Template("""\
from gateway.testing import Trial
from $package import $Class


def test_a_request_without_the_header_is_refused() -> None:
    assert Trial($Class).request("GET", "/orders/1").status == 400


def test_one_with_it_passes_and_its_response_is_marked() -> None:
    outcome = Trial($Class, header="X-Team").request("GET", "/orders/1", headers={"X-Team": "acme"})
    assert outcome.passed
    assert outcome.response.headers.get("X-Checked-By") == "$name"
""")
