"""What kinds that inspect or encode bodies share."""
