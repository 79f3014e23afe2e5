"""Where the admin REST is."""

from typing import Final

PREFIX: Final = "/admin/v1"
