"""Compile, check, order, diff, explain, dump: bundles and policies become one frozen snapshot. Pure."""
