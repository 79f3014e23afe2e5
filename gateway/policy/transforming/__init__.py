"""What kinds that change bodies share."""
