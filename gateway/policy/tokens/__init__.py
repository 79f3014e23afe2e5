"""What the kinds share that take bearer tokens: where they stand, whose keys they are signed by, what they say."""
