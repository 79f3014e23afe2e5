"""What `openapi` is made of."""
