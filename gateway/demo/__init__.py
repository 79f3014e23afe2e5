"""The sample processes and upstream that `penstock demo` starts."""
