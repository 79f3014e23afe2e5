"""Access log lines and counters, collected per node."""
