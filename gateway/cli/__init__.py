"""Parse, call, print. Talks to a gateway by its admin REST only."""
