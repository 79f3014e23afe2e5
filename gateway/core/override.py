"""How one exchange is to be sent to its backend where that differs from the backend's own settings. A step leaves it
on the exchange (`exchange.note(Override, …)`) or a frontend on the call; the relay looks for it once."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace


@dataclass(frozen=True, slots=True)
class Override:
    """None: as the backend's settings say. Times in seconds: `timeout` from the request to the response's head,
    `idle_timeout` between two pieces of its body, `total_timeout` for all of it with every attempt. `retry_on`:
    statuses for which what may be sent again is. `keyed`: a request that carries this field may be sent again
    whatever its method, as the backend knows it by that. `past_circuits`: it goes also where a circuit is open, and
    counts for none."""

    timeout: float | None = None
    idle_timeout: float | None = None
    total_timeout: float | None = None
    retries: int | None = None
    retry_on: frozenset[int] | None = None
    keyed: bytes | None = None
    past_circuits: bool | None = None

    @property
    def special(self) -> bool:
        """It is more than other settings."""
        return self.keyed is not None or bool(self.past_circuits)

    def over(self, outer: Override) -> Override:
        """This one's settings, and the outer one's where it says nothing."""
        given = {each.name: getattr(self, each.name) for each in fields(self)}
        return replace(outer, **{name: value for name, value in given.items() if value is not None})
