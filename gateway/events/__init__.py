"""Topics and queues: delivery, retries, dead letters."""
