"""The policies in Python that a node hosts: the classes marked with `policy_kind` in the packages that it knows."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any, get_type_hints

from pydantic import BaseModel, ConfigDict, ValidationError

from gateway.core.findings import DocumentsRefused, Finding, Place
from gateway.core.policy_code import MARK, Mark
from gateway.runtime.registry import modules


class Nothing(BaseModel):
    """The configuration of a policy that takes none."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True, slots=True)
class PythonPolicy:
    """A marked class, read: `configured` tells whether `__init__` takes a `config`."""

    mark: Mark
    target: type
    config: type[BaseModel]
    configured: bool
    asynchronous: bool
    summary: str

    def make(self, config: BaseModel) -> Any:
        """An instance, which serves all requests of its step."""
        return self.target(config) if self.configured else self.target()

    @property
    def has_request(self) -> bool:
        return hasattr(self.target, "request")

    @property
    def has_response(self) -> bool:
        return hasattr(self.target, "response")

    def described(self) -> dict[str, Any]:
        """Plain JSON, for a node that does not import the class."""
        mark = self.mark
        return {
            "name": mark.name,
            "protects": mark.protects,
            "body": mark.body,
            "response_body": mark.response_body,
            "conceals": list(mark.conceals),
            "example": dict(mark.example),
            "timeout": mark.timeout,
            "summary": self.summary,
            "request": self.has_request,
            "response": self.has_response,
            "config": self.config.model_json_schema(),
        }


def load_policies(packages: Iterable[str], taken: Iterable[str] = ()) -> dict[str, PythonPolicy]:
    """Every policy of the packages, by name. `taken` are names of other kinds. DocumentsRefused holds everything that
    is wrong: modules that cannot be imported, names taken twice, classes that are no policies."""
    findings: list[Finding] = []
    found: dict[str, PythonPolicy] = {}
    for package in packages:
        for module in modules(package, findings):
            for target in _marked(module):
                policy = read_policy(target, findings)
                if policy is not None:
                    _keep(policy, found, set(taken), findings)
    if findings:
        raise DocumentsRefused(findings)
    return found


def _marked(module: ModuleType) -> Iterator[type]:
    for value in vars(module).values():
        if inspect.isclass(value) and isinstance(vars(value).get(MARK), Mark):
            yield value


def _keep(policy: PythonPolicy, found: dict[str, PythonPolicy], taken: set[str], findings: list[Finding]) -> None:
    name = policy.mark.name
    if name in taken:
        message = f"The gateway itself has a policy kind named {name}."
        findings.append(Finding(class_place(policy.target), "policy-name", message, "Give this one another name."))
        return
    first = found.setdefault(name, policy)
    if first.target is not policy.target:
        message = f"Two policies are named {name}: here and at {class_place(first.target)}."
        findings.append(Finding(class_place(policy.target), "policy-name", message, "Rename one of them."))


def class_place(target: type) -> Place:
    """Where the class stands."""
    try:
        return Place(inspect.getsourcefile(target) or "", inspect.getsourcelines(target)[1])
    except (OSError, TypeError):
        return Place(path=f"{target.__module__}.{target.__qualname__}")


def read_policy(target: type, findings: list[Finding]) -> PythonPolicy | None:
    """None when something is wrong with it, which `findings` then tell."""
    return _Reading(target, findings).read()


class _Reading:
    """One marked class, with what is wrong with it."""

    def __init__(self, target: type, findings: list[Finding]) -> None:
        self.target = target
        self.mark: Mark = vars(target)[MARK]
        self.place: Place = class_place(target)
        self.findings = findings
        self.before = len(findings)

    def refuse(self, message: str, hint: str) -> None:
        self.findings.append(Finding(self.place, "policy", f"The policy {self.mark.name}: {message}.", hint))

    def read(self) -> PythonPolicy | None:
        config = self._config()
        asynchronous = self._methods()
        if config is not None:
            self._example(config)
        if len(self.findings) > self.before or config is None:
            return None
        text = (inspect.getdoc(self.target) or "").partition("\n")[0].strip().rstrip(".")
        return PythonPolicy(
            self.mark, self.target, config, config is not Nothing, asynchronous, text or f"The policy {self.mark.name}"
        )

    def _config(self) -> type[BaseModel] | None:
        """The model that `__init__` takes."""
        parameters = list(inspect.signature(self.target).parameters.values())
        if not parameters:
            return Nothing
        hint = "Write __init__(self, config: Settings), with a pydantic model; or no parameter at all."
        if len(parameters) > 1:
            self.refuse("its __init__ takes more than a config", hint)
            return None
        try:
            annotation = get_type_hints(self.target.__init__).get(parameters[0].name)  # type: ignore[misc]
        except NameError as error:
            self.refuse(f"the annotation of its config cannot be read: {error}", hint)
            return None
        if not (inspect.isclass(annotation) and issubclass(annotation, BaseModel)):
            self.refuse("its config is not annotated with a pydantic model", hint)
            return None
        if annotation.model_config.get("extra") != "forbid":
            message = f"{annotation.__name__} takes settings that it does not know, so that a misspelt one is lost"
            self.refuse(message, 'Write model_config = ConfigDict(extra="forbid") in it.')
        return annotation

    def _methods(self) -> bool:
        """Whether `request` is asynchronous."""
        request, response = getattr(self.target, "request", None), getattr(self.target, "response", None)
        if request is None and response is None:
            self.refuse("it has neither `request` nor `response`", "Write def request(self, request: Request).")
        for method, count, wanted in (
            (request, 2, "request(self, request: Request) -> Response | None"),
            (response, 3, "response(self, request: Request, response: Response) -> None"),
        ):
            if method is not None and len(inspect.signature(method).parameters) != count:
                self.refuse(f"`{method.__name__}` has other parameters than it is called with", f"Write def {wanted}.")
        if self.mark.protects and request is None:
            self.refuse("it protects and has no `request`, which alone can refuse", "Write def request(self, request).")
        if response is not None and inspect.iscoroutinefunction(response):
            self.refuse("`response` is asynchronous", "Write def response(…): what it needs is at hand.")
        return inspect.iscoroutinefunction(request)

    def _example(self, config: type[BaseModel]) -> None:
        """The example has to hold; without one, so has the empty configuration, or there must be one."""
        try:
            made = config.model_validate(dict(self.mark.example))
            self.target(made) if config is not Nothing else self.target()
        except ValidationError as error:
            where = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
            what = "its example does not hold" if self.mark.example else "it needs an example, as it has no defaults"
            self.refuse(f"{what} ({where})", "Write @policy_kind(…, example={…}).")
        except Exception as error:
            self.refuse(f"it cannot be made from its example: {type(error).__name__}: {error}", "Mend its __init__.")
