"""`penstock import database`: entity sets over the tables and views of a database, with navigation along foreign keys.

Nothing writes: entity sets over tables are read only. A password of the URL becomes `secret:NAME`."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from gateway.core.findings import DocumentsRefused
from gateway.manifest import reflect
from gateway.manifest.bundle import Column, Table
from gateway.manifest.imports.draft import Draft, component_name, identifier, refused
from gateway.query.columns import Dialect
from gateway.query.database import connect
from gateway.query.names import nearest

_DRIVERS: Final = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg", "postgres": "postgresql+asyncpg"}
_IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_SECRET_KEYS: Final = re.compile(r"(?i)pass|secret|token|key")
_BACKEND: Final = "database"


class DatabaseImport:
    """`secrets` are the values that the draft names as secrets: for checking it, and for nothing else."""

    def __init__(self, url: str, name: str, version: str, tables: Sequence[str], schema: str | None = None) -> None:
        self.url = _url(url)
        self.wanted = list(dict.fromkeys(tables))
        self.schema = schema
        self.secrets: dict[str, str] = {}
        self.draft = Draft(name or component_name(self._name()), version or "v1", self._shown())

    def _name(self) -> str:
        return re.split(r"[/\\]", self.url.database or "")[-1].partition(".")[0] or "database"

    def _shown(self) -> str:
        return self.url.set(username=None, password=None, query={}).render_as_string()

    def make(self) -> Draft:
        """DocumentsRefused: the database cannot be read, or has nothing that can be a set."""
        tables = asyncio.run(self._read())
        names: dict[str, str] = {}
        for table in tables:
            names[_full(table)] = identifier(_camel(table.name), names.values())
        sets = {names[_full(table)]: self._set(table) for table in tables}
        sets = {name: each for name, each in sets.items() if each is not None}
        if not sets:
            hint = str(self.draft.notes[0]) if self.draft.notes else ""
            raise refused(self.draft.origin, "it has no table that can be an entity set.", hint)
        for table in tables:
            self._navigate(table, tables, names, sets)
        self.draft.title = f"Tables of {self._name()}"
        self.draft.backends = {_BACKEND: {"sql": {"url": self._written()}}}
        self.draft.odata = {"entity_sets": sets}
        self.draft.protect()
        return self.draft

    def _written(self) -> str:
        """The URL without its secrets. What else may hold one (options of the driver) is refused."""
        query = {key: value for key, value in self.url.query.items() if _SECRET_KEYS.search(key)}
        if query:
            names = ", ".join(query)
            hint = "Write user:password@ into the URL; it becomes secret:NAME."
            raise refused("SOURCE", f"its options {names} may hold a secret.", hint, "import-secret")
        if not self.url.password:
            return self.url.render_as_string(hide_password=False)
        name = identifier(f"{self.draft.name}_password")
        self.secrets[name] = str(self.url.password)
        mark = "PENSTOCKPASSWORD"
        text = self.url.set(password=mark).render_as_string(hide_password=False)
        self.draft.comment("backends", text=f"The password is the secret {name} of the Environment, percent-encoded.")
        self.draft.note("SOURCE", f"the password is secret:{name}; check and publish need an Environment that gives it")
        return text.replace(f":{mark}@", f":secret:{name}@", 1)

    async def _read(self) -> list[Table]:
        try:
            engine, _ = connect(self.url.render_as_string(hide_password=False), 1)
        except ValueError as error:
            raise refused("SOURCE", f"{error}.", "", "database_url") from None
        try:
            reflect.check_file(engine.url)
            async with asyncio.timeout(reflect.TIMEOUT), engine.connect() as connection:
                return await connection.run_sync(self._tables)
        except TimeoutError:
            raise refused(self.draft.origin, f"it did not answer within {reflect.TIMEOUT:g} seconds.") from None
        except (SQLAlchemyError, OSError) as error:
            reason = type(getattr(error, "orig", None) or error).__name__
            hint = "Check its url, its user and that it runs."
            raise refused(self.draft.origin, f"it cannot be read ({reason}).", hint, "database_unreachable") from None
        finally:
            await engine.dispose()

    def _tables(self, connection: sa.Connection) -> list[Table]:
        inspector = sa.inspect(connection)
        views = inspector.get_view_names(self.schema)
        known = sorted({*inspector.get_table_names(self.schema), *views})
        for name in self.wanted:
            if name not in known:
                hint = nearest(name, known).strip() or f"There are: {', '.join(known[:20]) or 'none'}."
                raise refused(self.draft.origin, f"there is no table {name}.", hint, "no_such_table")
        dialect: Dialect = "postgresql" if connection.dialect.name == "postgresql" else "sqlite"
        found = []
        for name in self.wanted or known:
            if not _IDENTIFIER.fullmatch(name):
                self.draft.note(name, "left out: a table's name is letters, digits and _")
                continue
            try:
                found.append(reflect.read_table(inspector, name, self.schema, None, dialect))
            except DocumentsRefused as problem:
                self.draft.note(name, f"left out: {problem.findings[0].message.rstrip('.')}")
        return found

    def _set(self, table: Table) -> dict[str, Any] | None:
        name = table.name
        if not any(column.primary_key for column in table.columns):
            self.draft.note(name, "left out: it has no primary key; write the set with `key: […]` to have it")
            return None
        shown = [column for column in table.columns if self._shows(name, column)]
        hidden_key = [column.name for column in table.columns if column.primary_key and column not in shown]
        if hidden_key:
            self.draft.note(name, f"left out: its key {', '.join(hidden_key)} cannot be shown")
            return None
        full = f"{self.schema}.{name}" if self.schema else name
        made: dict[str, Any] = {"table": f"{_BACKEND}.{full}"}
        if len(shown) < len(table.columns):
            made["columns"] = [column.name for column in shown]
        return made

    def _shows(self, table: str, column: Column) -> bool:
        if not _IDENTIFIER.fullmatch(column.name):
            self.draft.note(f"{table}.{column.name}", "left out: a column's name is letters, digits and _")
            return False
        if column.type == {}:
            self.draft.note(f"{table}.{column.name}", "left out: its type has no counterpart")
            return False
        return True

    def _navigate(self, table: Table, tables: list[Table], names: dict[str, str], sets: dict[str, Any]) -> None:
        """To one along its own keys, to many along those that lead here; each where there is only one such way."""
        here = names[_full(table)]
        if here not in sets:
            return
        found: dict[str, Any] = {}
        columns = {column.name for column in table.columns}
        for other in tables:
            there = names[_full(other)]
            if there not in sets:
                continue
            one = [key for key in table.foreign_keys if key.table == other.name]
            many = [key for key in other.foreign_keys if key.table == table.name]
            for ways, is_many in ((one, False), (many, True)):
                if len(ways) > 1:
                    self.draft.note(table.name, f"no navigation to {there}: {len(ways)} foreign keys lead there")
                elif ways:
                    name = identifier(there if is_many else _one(there), {*found, *columns})
                    found[name] = {"to": there, "many": is_many}
        if found:
            sets[here]["navigation"] = found


def _full(table: Table) -> str:
    return f"{table.schema_name}.{table.name}" if table.schema_name else table.name


def _camel(name: str) -> str:
    return "".join(part[:1].upper() + part[1:] for part in name.split("_")) or name


def _one(name: str) -> str:
    """`Orders` → `Order`, `Categories` → `Category`."""
    if name.endswith("ies") and len(name) > 4:
        return f"{name[:-3]}y"
    return name[:-1] if name.endswith("s") and not name.endswith("ss") and len(name) > 2 else name


def _url(text: str) -> sa.URL:
    """With the driver that serves. DocumentsRefused without the text: it may hold a password."""
    try:
        url = sa.make_url(text)
    except (ArgumentError, ValueError):
        hint = "Such as sqlite:///shop.db or postgresql://user:password@host/shop."
        raise refused("SOURCE", "it is no URL of a database.", hint, "database_url") from None
    driver = _DRIVERS.get(url.drivername, url.drivername)
    if driver not in _DRIVERS.values():
        hint = "SQLite and PostgreSQL serve."
        raise refused("SOURCE", f"the driver {driver} does not serve.", hint, "database_url")
    return url.set(drivername=driver)
