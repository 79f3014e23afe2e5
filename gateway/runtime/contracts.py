"""An annotated function as an operation: its types, its declared errors, the digest of its code."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn

from gateway.core.call import Context
from gateway.core.errors import InternalError, Problem
from gateway.core.findings import DocumentsRefused, Finding, Place
from gateway.core.process import MARK, Mark
from gateway.runtime.annotations import Annotations, Convert
from gateway.runtime.constraints import Unsupported
from gateway.runtime.members import MISSING, Member, hints
from gateway.schema import contract
from gateway.schema.json_codec import writer
from gateway.schema.json_schema import write_types
from gateway.schema.types import DeclaredError, Operation, Record, Types

_CALLABLE: Final = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


@dataclass(frozen=True, slots=True)
class Process:
    """A function that a manifest may name. `loads` converts parameters that need it, `dump` the result (None: as it
    is); `context` is the parameter that gets the call's Context."""

    name: str
    function: Callable[..., Any]
    operation: Operation
    types: Types
    digest: str
    place: Place
    loads: Mapping[str, Convert]
    dump: Convert | None
    context: str | None
    asynchronous: bool

    def described(self) -> dict[str, Any]:
        """Plain JSON for the control process: {"contract": {…, "digest"}, "types": {Name: schema}}."""
        written = contract.write_operation(self.operation)
        return {"contract": written | {"digest": self.digest}, "types": write_types(self.types)}


def read_process(function: Callable[..., Any]) -> Process:
    """The process that a function marked with `process` is. DocumentsRefused holds everything that its annotations
    leave open, with the function's file and line, and what to write instead."""
    return _Reading(function).read()


class _Reading:
    """One function, with what is wrong with it."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.mark: Mark = getattr(function, MARK)
        self.place = place_of(function)
        self.annotations = Annotations()
        self.findings: list[Finding] = []

    def refuse(self, message: str, hint: str) -> None:
        text = f"The process {self.mark.name}: {message}."
        self.findings.append(Finding(self.place, "process", text, hint))

    def stop(self) -> NoReturn:
        raise DocumentsRefused(self.findings)

    def read(self) -> Process:
        self.check_kind()
        try:
            resolved = hints(self.function)
        except Unsupported as error:
            self.refuse(str(error), error.hint)
            self.stop()
        parameters = list(self.parameters(resolved))
        context = next((member.name for member in parameters if _is_context(member.annotation)), None)
        fields, loads = [], {}
        for member in parameters:
            if _is_context(member.annotation):
                continue
            with _Refusing(self, f"the parameter {member.name}"):
                field, shape = self.annotations.field(member, f"{self.mark.name}_input")
                fields.append(field)
                if shape.load is not None:
                    loads[member.name] = shape.load
        operation, dump = self.operation(Record(f"{self.mark.name}_input", tuple(fields)), resolved)
        if self.findings:
            self.stop()
        self.check_defaults(operation)
        return Process(
            self.mark.name,
            self.function,
            operation,
            self.annotations.types,
            digest_of(self.function),
            self.place,
            loads,
            dump,
            context,
            inspect.iscoroutinefunction(inspect.unwrap(self.function)),
        )

    def check_kind(self) -> None:
        if inspect.isasyncgenfunction(self.function) or inspect.isgeneratorfunction(self.function):
            self.refuse("it yields", "Return a list instead.")
            self.stop()

    def parameters(self, resolved: Mapping[str, Any]) -> Iterator[Member]:
        for parameter in inspect.signature(self.function).parameters.values():
            if parameter.kind not in _CALLABLE:
                self.refuse(f"{parameter} cannot be named by a caller", "Write one named parameter per input.")
            elif parameter.name not in resolved:
                hint = f"Write {parameter.name}: int, or what it is."
                self.refuse(f"the parameter {parameter.name} has no annotation", hint)
            else:
                required = parameter.default is inspect.Parameter.empty
                default = MISSING if required else parameter.default
                yield Member(parameter.name, parameter.name, resolved[parameter.name], (), required, default)

    def operation(self, input_: Record, resolved: Mapping[str, Any]) -> tuple[Operation, Convert | None]:
        output, nullable, dump = None, False, None
        if "return" not in resolved:
            self.refuse("it does not say what it returns", "Write -> Order, or -> None when nothing comes back.")
        elif resolved["return"] is not type(None):
            with _Refusing(self, "the result"):
                shape = self.annotations.read(resolved["return"], f"{self.mark.name}_output")
                output, nullable, dump = shape.type, shape.nullable, shape.dump
        summary, _, text = (inspect.getdoc(self.function) or "").partition("\n")
        return (
            Operation(
                self.mark.name,
                self.mark.effect,
                input_,
                output,
                nullable,
                tuple(self.errors()),
                summary.strip(),
                text.strip(),
            ),
            dump,
        )

    def errors(self) -> Iterator[DeclaredError]:
        seen: set[str] = set()
        for raised in self.mark.raises:
            if not issubclass(raised, Problem) or not 400 <= raised.status <= 599:
                hint = "Derive it from Problem and give it a status from 400 to 599."
                self.refuse(f"{raised.__name__} cannot be declared", hint)
            elif raised.code in seen:
                self.refuse(f"two declared errors have the code {raised.code}", "Give one of them another code.")
            else:
                seen.add(raised.code)
                yield DeclaredError(raised.code, raised.status, raised.title)

    def check_defaults(self, operation: Operation) -> None:
        types = self.annotations.types
        records = [operation.input, *(type_ for type_ in types.values() if isinstance(type_, Record))]
        for record in records:
            for field in record.fields:
                try:
                    if field.default is not None:
                        writer(field.type, field.nullable, types)(field.default)
                except InternalError:
                    message = f"the default of {field.name} in {record.name} does not fit its own annotation"
                    self.refuse(message, "Change one of the two.")
        if self.findings:
            self.stop()


def _is_context(annotation: Any) -> bool:
    return annotation is Context or annotation == (Context | None)


class _Refusing:
    """Turns what an annotation raises into a finding about one part of the function."""

    def __init__(self, reading: _Reading, part: str) -> None:
        self.reading = reading
        self.part = part

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> bool:
        if isinstance(error, Unsupported):
            self.reading.refuse(f"{self.part}: {error}", error.hint)
            return True
        if isinstance(error, TypeError | ValueError | AttributeError):
            self.reading.refuse(f"{self.part}: its default does not fit ({error})", "Change the default.")
            return True
        return False


def place_of(function: Callable[..., Any]) -> Place:
    """Where the function stands."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    return Place(code.co_filename, code.co_firstlineno) if code is not None else Place(path=repr(function))


def digest_of(function: Callable[..., Any]) -> str:
    """32 hexadecimal digits of SHA-256 over the source file of the function's module; over its byte code where there
    is no file. Two processes of one module share it: a change to either pins both anew."""
    code = inspect.unwrap(function).__code__
    file = Path(code.co_filename)
    content = file.read_bytes() if file.is_file() else code.co_code + repr(code.co_names).encode()
    return hashlib.sha256(content).hexdigest()[:32]
