"""One query plan and its evaluators: in memory and over SQL."""
