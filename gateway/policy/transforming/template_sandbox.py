"""Templates in a sandbox that bounds their work, compiled once and rendered many times.

`template_environment` lists what a template can do, `template_filters` what it can call, `template_budget` counts.
Sizes are known before a text is made, so that none is ever made that is too large. Loaded only where a step has a
template.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import jinja2
from jinja2 import meta
from jinja2.exceptions import SecurityError

from gateway.policy.transforming.rewriting import Later, TooMuch
from gateway.policy.transforming.template_budget import LONGEST, Budget, running
from gateway.policy.transforming.template_environment import Output, environment

_LINE: Final = re.compile(r"\s+")


class Compiled:
    """A template. `names` are the variables that it is given."""

    def __init__(self, source: str, output: Output, names: frozenset[str]) -> None:
        """ValueError says what is wrong, and in which line."""
        if len(source) > LONGEST:
            raise ValueError(f"a template has at most {LONGEST} characters")
        try:
            sandbox = environment(output)
            unknown = meta.find_undeclared_variables(sandbox.parse(source)) - names - {"range"}
            if unknown:
                given = ", ".join(sorted(names))
                raise ValueError(f"the template reads {', '.join(sorted(unknown))}; there are {given}")
            self._template = sandbox.from_string(source)
        except jinja2.TemplateSyntaxError as error:
            raise ValueError(f"line {error.lineno} of the template: {error.message}") from None
        except (TooMuch, SecurityError, TypeError, RecursionError, SyntaxError, OverflowError) as error:
            raise ValueError(f"the template cannot be compiled: {_LINE.sub(' ', str(error))[:300]}") from None

    def render(self, variables: Mapping[str, Any], budget: Budget) -> str:
        """The text. TooMuch beyond the budget, Later where it is not the final one, ValueError where the template
        does not fit what it is given."""
        token = running.set(budget)
        try:
            pieces = []
            for piece in self._template.generate(variables):
                budget.made(len(piece))
                pieces.append(piece)
            return "".join(pieces)
        except (TooMuch, Later):
            raise
        except MemoryError:
            raise TooMuch("needs more memory than there is") from None
        except (
            jinja2.TemplateError,
            TypeError,
            ArithmeticError,
            LookupError,
            AttributeError,
            RecursionError,
            ValueError,
        ) as error:
            raise ValueError(f"the template does not fit: {_LINE.sub(' ', str(error))[:300].rstrip('.')}") from error
        finally:
            running.reset(token)
