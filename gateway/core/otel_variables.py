"""The standard variables of OpenTelemetry, as settings: those that mean what a setting here means. One that asks for
what is not done here is refused; what others made for other programs is left alone, and named in the log."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

_SAMPLERS: Final[Mapping[str, tuple[str, float | None]]] = {  # traces_parent, traces_ratio; None: the argument's
    "always_on": ("none", 1.0),
    "always_off": ("none", 0.0),
    "traceidratio": ("none", None),
    "parentbased_always_on": ("any", 1.0),
    "parentbased_always_off": ("any", 0.0),
    "parentbased_traceidratio": ("any", None),
}
_PLAIN: Final = {
    "OTEL_SERVICE_NAME": "traces_service",
    "OTEL_EXPORTER_OTLP_ENDPOINT": "otlp_endpoint",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "otlp_endpoint",
    "OTEL_EXPORTER_OTLP_HEADERS": "otlp_headers",
    "OTEL_EXPORTER_OTLP_TRACES_HEADERS": "otlp_headers",
    "OTEL_EXPORTER_OTLP_TIMEOUT": "otlp_timeout",
    "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT": "otlp_timeout",
}
_ONLY: Final = {  # what may be asked for
    "OTEL_EXPORTER_OTLP_PROTOCOL": {"http/protobuf"},
    "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": {"http/protobuf"},
    "OTEL_PROPAGATORS": {"tracecontext", "baggage", "tracecontext,baggage", "baggage,tracecontext"},
    "OTEL_METRICS_EXPORTER": {"none", "prometheus"},
    "OTEL_LOGS_EXPORTER": {"none"},
}
# The exporter itself reads these.
_EXPORTERS: Final = frozenset(
    f"OTEL_EXPORTER_OTLP_{which}{what}"
    for which in ("", "TRACES_")
    for what in ("CERTIFICATE", "CLIENT_CERTIFICATE", "CLIENT_KEY", "COMPRESSION")
)
_OTHERS: Final = frozenset(
    (
        "OTEL_TRACES_SAMPLER",
        "OTEL_TRACES_SAMPLER_ARG",
        "OTEL_TRACES_EXPORTER",
        "OTEL_SDK_DISABLED",
        "OTEL_RESOURCE_ATTRIBUTES",
    )
)
KNOWN: Final = frozenset((*_PLAIN, *_ONLY, *_EXPORTERS, *_OTHERS))


class NotDone(ValueError):
    """A variable asks for what is not done here; the text names it and the way out."""


def from_variables(environ: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    """Settings, and for each the variable that says it. A variable that is empty counts as not set, as the
    specification says. NotDone."""
    given = {name: value.strip() for name, value in environ.items() if name.startswith("OTEL_") and value.strip()}
    for name, may in _ONLY.items():
        if name in given and given[name].replace(" ", "").lower() not in may:
            raise NotDone(f"{name}={given[name]} is not done here; take it away, or say {' or '.join(sorted(may))}.")
    found: dict[str, Any] = {}
    sources: dict[str, str] = {}

    def say(setting: str, value: Any, name: str) -> None:
        found[setting], sources[setting] = value, name

    for name, setting in _PLAIN.items():
        if name in given:
            say(setting, _value(name, given[name]), name)
    if "OTEL_RESOURCE_ATTRIBUTES" in given:
        entries = [each.strip() for each in given["OTEL_RESOURCE_ATTRIBUTES"].split(",") if each.strip()]
        say("traces_attributes", tuple(entries), "OTEL_RESOURCE_ATTRIBUTES")
    _sampler(given, say)
    if _off(given):
        return {}, {}
    return found, sources


def _value(name: str, text: str) -> Any:
    """Times are milliseconds there; a base URL gets its path later, one for traces alone is taken as it is."""
    if name.endswith("_TIMEOUT"):
        try:
            return float(text) / 1000
        except ValueError:
            raise NotDone(f"{name} is not a number of milliseconds.") from None
    return text


def _sampler(given: Mapping[str, str], say: Callable[[str, Any, str], None]) -> None:
    name = given.get("OTEL_TRACES_SAMPLER")
    if name is None:
        return
    if name not in _SAMPLERS:
        raise NotDone(f"OTEL_TRACES_SAMPLER={name} is not done here; known are {', '.join(_SAMPLERS)}.")
    parent, ratio = _SAMPLERS[name]
    say("traces_parent", parent, "OTEL_TRACES_SAMPLER")
    say(
        "traces_ratio",
        given.get("OTEL_TRACES_SAMPLER_ARG", "1.0") if ratio is None else ratio,
        "OTEL_TRACES_SAMPLER_ARG",
    )


def _off(given: Mapping[str, str]) -> bool:
    exporter = given.get("OTEL_TRACES_EXPORTER", "otlp").lower()
    if exporter not in {"otlp", "none"}:
        raise NotDone(f"OTEL_TRACES_EXPORTER={exporter} is not done here; say otlp or none.")
    return exporter == "none" or given.get("OTEL_SDK_DISABLED", "").lower() == "true"


def unused(environ: Mapping[str, str]) -> list[str]:
    """Names of variables of OpenTelemetry that say nothing here."""
    return sorted(name for name, value in environ.items() if name.startswith("OTEL_") and value and name not in KNOWN)
