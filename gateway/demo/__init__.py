"""The sample shop that `penstock demo` starts: typed processes over a SQLite database, and a small upstream."""
