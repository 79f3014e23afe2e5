"""How a node's settings say what is traced."""

from __future__ import annotations

from gateway.core.settings import Settings
from gateway.telemetry.tracing import Sampling


def sampling_of(settings: Settings) -> Sampling:
    """Without an endpoint there is nobody to whom spans could go."""
    return Sampling(settings.otlp_endpoint is not None, settings.traces_ratio, settings.traces_parent)
