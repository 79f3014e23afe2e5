"""Where operations go. One file a kind."""
