"""What a request costs. `make bench` measures and prints; results are kept in `benchmarks/results.md`."""
