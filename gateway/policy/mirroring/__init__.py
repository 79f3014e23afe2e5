"""What the kind `mirror` is made of."""
