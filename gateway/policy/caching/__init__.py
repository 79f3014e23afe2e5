"""What `cache` and `idempotency` are made of."""
