"""The store: Redis or Valkey behind small seams, and the in-memory twin. The only importer of redis."""
