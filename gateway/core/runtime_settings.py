"""Every setting of `penstock runtime`: a flag, a `PENSTOCK_RUNTIME_…` variable, or a line of one file."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from gateway.core.listening import Listen, Listener
from gateway.core.secrets import Secret

PREFIX = "PENSTOCK_RUNTIME_"
ADDRESS = "127.0.0.1:8090"


class RuntimeSettings(BaseModel):
    """Sizes are bytes, times are seconds."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    processes: tuple[str, ...] = Field((), description="packages whose processes this runtime hosts")
    listen: Listen = Field(
        Listener(address=ADDRESS),
        description="where gateways connect: HOST:PORT or unix:PATH, then words such as certificate=FILE key=FILE",
    )
    token: Secret | None = Field(
        None, description="what this runtime and its gateways both know, their runtime_token; must be given for a port"
    )
    name: str | None = Field(None, min_length=1, max_length=255, description="as gateways tell it; default: host name")
    threads: int = Field(16, ge=1, le=1024, description="that run plain functions; async ones need none")
    waiting: int = Field(256, ge=1, description="calls of plain functions that run or wait for a thread; then 503")
    max_message: int = Field(64 * 1024 * 1024, ge=65_536, description="bytes of one call's input or output")
    metrics_host: str = Field("127.0.0.1", description="where /metrics, /live and /ready are, with metrics_port")
    metrics_port: int | None = Field(None, ge=0, le=65535, description="its port; none: off")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="of this runtime's own log")
    log_format: Literal["text", "json"] = Field("text", description="of this runtime's own log")
    drain_delay: float = Field(
        0.0, ge=0, description="seconds after SIGTERM for which it goes on as before: until gateways have found others"
    )
    grace: Annotated[float, Field(gt=0, description="seconds that calls which run then have to end")] = 30.0

    @model_validator(mode="after")
    def _can_stand(self) -> Self:
        if not self.processes:
            raise ValueError("processes: name a package, as in --processes shop.processes; there is nothing to host")
        if self.listen.proxy_protocol is not False:
            raise ValueError("listen: proxy_protocol is of a gateway's listeners, not of a runtime's")
        if self.listen.unix is None and self.token is None:
            raise ValueError(
                "token: give one by PENSTOCK_RUNTIME_TOKEN, and the same to the gateways; only a unix socket, whose "
                "mode says who may connect, needs none"
            )
        if self.token is not None and len(self.token.reveal()) < TOKEN_LENGTH:
            raise ValueError(f"token: give at least {TOKEN_LENGTH} characters, as of: openssl rand -hex 32")
        return self


TOKEN_LENGTH = 16
