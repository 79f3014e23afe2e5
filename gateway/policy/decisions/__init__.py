"""What `external-decision` is made of."""
