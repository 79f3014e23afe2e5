"""Policy kinds. One file a kind."""
