"""The running form of a snapshot: router, build, swap, drain."""
