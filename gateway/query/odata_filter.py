"""`$filter` as an abstract syntax tree of odata-query's node classes, which are the common language of queries.

The only importer of odata_query. Its node classes serve; its grammar does not: it takes `anything` for `any`, cannot
read `in (1)`, `12:30`, enumerations or flags of 4.01, and answers long chains with RecursionError. So the expression
is read here, by precedence (OData 4.01 URL conventions, section 5.1.1.16), within limits, and with positions in its
errors. What OData defines and nothing here evaluates is NotImplementedHere; what is wrong is BadRequest.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from odata_query import ast

from gateway.core.errors import BadRequest, NotImplementedHere
from gateway.query import typed
from gateway.query.names import nearest
from gateway.query.tokens import Token, refuse, split
from gateway.schema.types import Record, Types

MAX_NODES: Final = 100
MAX_DEPTH: Final = 32  # parentheses within parentheses
OPTION: Final = "$filter"

_PRECEDENCE: Final = {
    "or": 1,
    "and": 2,
    "eq": 3,
    "ne": 3,
    "lt": 4,
    "le": 4,
    "gt": 4,
    "ge": 4,
    "add": 5,
    "sub": 5,
    "mul": 6,
    "div": 6,
    "mod": 6,
    "in": 8,
}
_UNARY: Final = 7
_COMPARE: Final = {"eq": ast.Eq, "ne": ast.NotEq, "lt": ast.Lt, "le": ast.LtE, "gt": ast.Gt, "ge": ast.GtE}
_LOGIC: Final = {"and": ast.And, "or": ast.Or}
_ARITHMETIC: Final = {"add": ast.Add, "sub": ast.Sub, "mul": ast.Mult, "div": ast.Div, "mod": ast.Mod}
_LITERALS: Final = {"guid": ast.GUID, "date": ast.Date, "time": ast.Time, "datetime": ast.DateTime}
_UNSUPPORTED: Final = frozenset(
    (
        *("isof", "cast", "case", "now", "mindatetime", "maxdatetime", "fractionalseconds", "totalseconds", "time"),
        *("totaloffsetminutes", "matchespattern", "hassubset", "hassubsequence"),
        *("geo.distance", "geo.length", "geo.intersects"),
    )
)


@dataclass(frozen=True)
class EnumLiteral:
    """An enumeration's literal, `Namespace.Type'Member'`: what odata-query has no node for."""

    type: str
    members: str


@dataclass(frozen=True)
class Binary:
    """`binary'T0RhdGE='`: base64url (what odata-query has no node for)."""

    val: str


def parse_filter(text: str, record: Record, types: Types) -> Any:
    """The tree of a filter whose names and types fit `record`. BadRequest with the position or the name;
    NotImplementedHere naming the part."""
    tree = parse(text)
    typed.check_filter(tree, record, types)
    return tree


@lru_cache(maxsize=512)
def parse(text: str) -> Any:
    """The tree of an expression, its names unchecked. Trees are shared: they are read, never changed."""
    parser = _Parser(split(text, OPTION), text)
    return parser.whole()


def literal(text: str, option: str) -> Any:
    """The node of one literal alone: a key's or a parameter's value."""
    parser = _Parser(split(text, option), text, option)
    node = parser.literal_only()
    if node is None or parser.token.kind != "end":
        raise BadRequest(
            f"{option}: {text[:80]!r} is not a literal. Strings stand in single quotes, as in 'DE'.", target=option
        )
    return node


class _Parser:
    def __init__(self, tokens: list[Token], text: str, option: str = OPTION) -> None:
        self._tokens = tokens
        self._text = text
        self._option = option
        self._at = 0
        self._nodes = 0
        self._depth = 0

    @property
    def token(self) -> Token:
        return self._tokens[self._at]

    def whole(self) -> Any:
        if self.token.kind == "end":
            raise BadRequest(f"{self._option} is empty.", target=self._option)
        node = self._expression(1)
        if self.token.kind != "end":
            raise self._refuse(f"an operator was expected, not {self.token.text[:40]!r}.")
        return node

    def literal_only(self) -> Any:
        negative = self._is_sign()
        if negative:
            self._next()
        return self._literal(negative)

    def _refuse(self, message: str, token: Token | None = None) -> BadRequest:
        return refuse(self._option, (token or self.token).start, message)

    def _missing(self, part: str) -> NotImplementedHere:
        return NotImplementedHere(
            f"{self._option}, character {self.token.start + 1}: {part} is not supported here.", target=self._option
        )

    def _next(self) -> Token:
        token = self.token
        self._at += 1
        return token

    def _count(self) -> None:
        """One more node; called before what is below it is read, so that no chain runs deep."""
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise self._refuse(f"the expression has more than {MAX_NODES} parts. Ask for less at once.")

    def _is_mark(self, mark: str) -> bool:
        return self.token.kind == "mark" and self.token.text == mark

    def _expect(self, mark: str) -> None:
        if not self._is_mark(mark):
            found = repr(self.token.text[:40]) if self.token.text else "the end"
            raise self._refuse(f"{mark!r} was expected, not {found}.")
        self._next()

    def _expression(self, least: int) -> Any:
        left = self._operand()
        while (operator := self._operator()) and _PRECEDENCE[operator] >= least:
            self._check_blanks()
            self._next()
            self._count()
            left = self._combined(operator, left)
        return left

    def _operator(self) -> str:
        if self.token.kind != "word":
            return ""
        word = self.token.text.lower()
        if word in ("has", "divby"):
            raise self._missing(f"the operator {word}")
        return word if word in _PRECEDENCE else ""

    def _check_blanks(self) -> None:
        start, end = self.token.start, self.token.end
        if self._text[start - 1] not in " \t" or self._text[end : end + 1] not in (" ", "\t", ""):
            raise self._refuse(f"the operator {self.token.text} stands between blanks.")

    def _combined(self, operator: str, left: Any) -> Any:
        if operator == "in":
            return ast.Compare(ast.In(), left, self._list())
        right = self._expression(_PRECEDENCE[operator] + 1)
        if operator in _COMPARE:
            return ast.Compare(_COMPARE[operator](), left, right)
        if operator in _LOGIC:
            return ast.BoolOp(_LOGIC[operator](), left, right)
        return ast.BinOp(_ARITHMETIC[operator](), left, right)

    def _list(self) -> Any:
        if not self._is_mark("("):
            raise self._missing("`in` with anything but a list in parentheses")
        return ast.List(self._arguments())

    def _arguments(self) -> list[Any]:
        """Expressions between parentheses, with commas between them; at least one."""
        self._enter()
        items = [self._expression(1)]
        while self._is_mark(","):
            self._next()
            items.append(self._expression(1))
        self._leave()
        return items

    def _enter(self) -> None:
        self._expect("(")
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self._refuse(f"parentheses are nested deeper than {MAX_DEPTH}.")

    def _leave(self) -> None:
        self._expect(")")
        self._depth -= 1

    def _is_sign(self) -> bool:
        """A minus that belongs to the number behind it."""
        following = self._tokens[min(self._at + 1, len(self._tokens) - 1)]
        return self._is_mark("-") and following.start == self.token.end and following.kind == "number"

    def _operand(self) -> Any:
        self._count()
        if self._is_mark("("):
            self._enter()
            node = self._expression(1)
            self._leave()
            return node
        if self._is_mark("-") and not self._is_sign():
            self._next()
            return ast.UnaryOp(ast.USub(), self._expression(_UNARY))
        if self.token.kind == "word" and self.token.text.lower() == "not":
            self._next()
            return ast.UnaryOp(ast.Not(), self._expression(_UNARY))
        node = self.literal_only()
        return self._named() if node is None else node

    def _literal(self, negative: bool) -> Any:
        """The literal that stands here, or None."""
        kind, text = self.token.kind, self.token.text
        if kind == "number":
            self._next()
            text = "-" + text if negative else text
            return ast.Float(text) if set(text) & set(".eE") else ast.Integer(text)
        if kind == "string":
            self._next()
            return ast.String(text[1:-1].replace("''", "'"))
        if kind in _LITERALS:
            self._next()
            return _LITERALS[kind](text)
        return self._typed() if kind == "typed" else self._word_literal()

    def _word_literal(self) -> Any:
        following = self._tokens[min(self._at + 1, len(self._tokens) - 1)]
        if self.token.kind != "word" or (following.kind == "mark" and following.text in "(/"):
            return None
        text = self.token.text
        if text in ("INF", "NaN"):
            raise self._missing(f"the literal {text}")
        if text not in ("null", "true", "false"):
            return None
        self._next()
        return ast.Null() if text == "null" else ast.Boolean(text)

    def _typed(self) -> Any:
        prefix, quoted = self.token.text.split("'", 1)
        body = quoted[:-1].replace("''", "'")
        lower = prefix.lower()
        if lower in ("geography", "geometry"):
            raise self._missing("a geographic literal")
        if lower not in ("duration", "binary") and "." not in prefix:
            raise self._refuse(f"{prefix!r} is not a type of literals. An enumeration's name has its namespace.")
        self._next()
        if lower == "duration":
            return ast.Duration(body.upper())
        return Binary(body) if lower == "binary" else EnumLiteral(prefix, body)

    def _named(self) -> Any:
        token = self.token
        if token.kind == "special":
            raise self._missing(f"{token.text} in an expression")
        if token.kind != "word":
            found = repr(token.text[:40]) if token.text else "the end"
            raise self._refuse(f"a property, a function or a literal was expected, not {found}.")
        self._next()
        if self._is_mark("("):
            return self._call(token)
        if "." in token.text:
            raise self._missing(f"the type cast or bound function {token.text}")
        return self._path(ast.Identifier(token.text))

    def _path(self, node: Any) -> Any:
        while self._is_mark("/"):
            self._next()
            segment = self._next()
            if segment.kind == "special" or (segment.kind == "word" and self._is_mark("(")):
                self._at -= 1
                raise self._missing(f"/{segment.text}")
            if segment.kind != "word" or "." in segment.text:
                raise self._refuse("a property's name was expected behind the slash.", segment)
            self._count()
            node = ast.Attribute(node, segment.text)
        return node

    def _call(self, token: Token) -> Any:
        name = token.text.lower()
        if name in _UNSUPPORTED:
            self._at -= 1
            raise self._missing(f"the function {token.text}")
        if name not in typed.FUNCTIONS:
            raise self._refuse(f"there is no function {token.text}.{nearest(token.text, typed.FUNCTIONS)}", token)
        if self._tokens[self._at + 1].text == ")":
            raise self._refuse(f"the function {name} needs arguments.", token)
        arguments = self._arguments()
        self._check_arity(name, len(arguments), token)
        return ast.Call(ast.Identifier(name), arguments)

    def _check_arity(self, name: str, given: int, token: Token) -> None:
        least, most = typed.FUNCTIONS[name].arity
        if not least <= given <= most:
            wanted = str(least) if least == most else f"{least} or {most}"
            raise self._refuse(f"the function {name} takes {wanted} arguments, not {given}.", token)
