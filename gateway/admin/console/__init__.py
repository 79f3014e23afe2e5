"""The console: the admin REST as pages for people, rendered here, on the admin port below `/console`."""
