"""Composition: supervisor, workers, control, the protocol class, the kinds list."""
