"""Hosting processes: contracts read from annotations, and running them."""
