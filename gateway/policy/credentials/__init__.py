"""What kinds that authenticate share: where credentials stand, who holds them, how they are proved."""
