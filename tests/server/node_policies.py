"""Policies that the nodes of these tests host in an isolated runtime."""

from __future__ import annotations

import asyncio
import os
import signal

from pydantic import BaseModel, ConfigDict, field_validator

from gateway import Problem, Request, Response, policy_kind


class TeamSettings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    teams: list[str] = ["red"]

    @field_validator("teams")
    @classmethod
    def _few(cls, teams: list[str]) -> list[str]:
        if len(teams) > 3:
            raise ValueError("at most three teams")
        return teams


class NoSuchTeam(Problem):
    status, title, code = 403, "No such team", "no_such_team"


@policy_kind("team", conceals=["X-Team"])
class Team:
    """Lets known teams in."""

    def __init__(self, config: TeamSettings) -> None:
        self.teams = config.teams

    def request(self, request: Request) -> Response | None:
        team = request.headers.get("X-Team")
        if team not in self.teams:
            raise NoSuchTeam(f"{team} is none of {', '.join(self.teams)}.")
        request.headers.set("X-Known-Team", team)
        request.headers.remove("X-Secret-Hint")
        return None

    def response(self, request: Request, response: Response) -> None:
        response.headers.set("X-Team-Served", request.headers.get("X-Known-Team", ""))


@policy_kind("token", protects=True, timeout=2, conceals=["X-Token"])
class Token:
    """Says who calls."""

    async def request(self, request: Request) -> Response | None:
        await asyncio.sleep(0)
        token = request.headers.get("X-Token")
        if token == "crash":
            os.kill(os.getpid(), signal.SIGKILL)
        if token == "hang":
            while True:
                pass
        if token == "fail":
            raise RuntimeError("planted-in-an-error")
        if token == "slow":
            await asyncio.sleep(60)
        if token != "good":
            raise NoSuchTeam("The token is not known.")
        request.admit("token:1", application="partner", scopes=["read"])
        return None


@policy_kind("look")
class Look:
    """Answers with what this process can see."""

    def request(self, request: Request) -> Response | None:
        names = ",".join(sorted(os.environ))
        return Response(200, body=f"{os.getpid()} {names}".encode())


@policy_kind("shout", body=True)
class Shout:
    """Makes bodies loud."""

    def request(self, request: Request) -> Response | None:
        assert request.body is not None
        request.body = request.body.upper()
        return None
