"""Every command of the task pages is typed as it stands there, and ends as the page says."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.docs import pages
from tests.docs.pages import Type, Write
from tests.docs.running import Reader

INDEX = (pages.GUIDE / "README.md").read_text()
# The first link of each row of the index: pages that are followed from their top to their end.
TASKS = sorted(set(re.findall(r"^\| [^|]+ \| \[[^]]+\]\(([\w-]+\.md)\)", INDEX, re.MULTILINE)))
# What a page only shows, and who runs that instead.
SHOWN = {
    "install.md": "docker: tests/image runs the Dockerfile's steps and starts what they make",
    "image.md": "docker: tests/image, likewise",
    "command-line.md": "what is never over, or asks people: tests/cli runs the example of every command",
    "monitoring.md": "names of an example's machines: the tests of telemetry scrape a real Prometheus",
    "runtimes.md": "two machines: tests/server/test_node_runtimes.py starts runtimes and gateways that call them",
    "deploy.md": "helm and a cluster: tests/charts renders the chart and runs its pods",
}
ELSEWHERE = {"disaster.md": "tests/e2e/test_e2e_disaster.py"}  # which types its commands on two nodes and a store
INDEXED = {"install.md": "PENSTOCK_REQUIRE_INSTALL"}  # takes libraries from the package index: .ci/run does


def _typed(page: str) -> list[Type]:
    return [each for each in pages.steps((pages.GUIDE / page).read_text()) if isinstance(each, Type)]


TYPED = [each for each in TASKS if each not in ELSEWHERE and _typed(each)]
# A page that another one continues is typed where that one begins.
CONTINUED = {pages.predecessor((pages.GUIDE / each).read_text()) for each in TYPED}


@pytest.mark.parametrize("page", [each for each in TYPED if each not in CONTINUED])
def test_what_the_page_says_can_be_done(page: str, tmp_path: Path) -> None:
    if page in INDEXED and not os.environ.get(INDEXED[page]):
        pytest.skip(f"takes libraries from the package index; {INDEXED[page]}=1 runs it")
    folder = tmp_path / "reader"
    folder.mkdir()
    with Reader(folder) as reader:
        reader.read(page)


def test_a_page_that_only_shows_commands_is_listed_with_the_reason() -> None:
    showing = {
        page.name
        for page in pages.GUIDE.glob("*.md")
        if any(language == "console" for language, *_ in pages.blocks(page.read_text()))
    }
    assert showing == set(SHOWN)


@pytest.mark.parametrize("page", ELSEWHERE)
def test_the_other_test_speaks_of_the_page(page: str) -> None:
    assert f'"{page}"' in (pages.GUIDE.parents[1] / ELSEWHERE[page]).read_text()


@pytest.mark.parametrize("page", TASKS)
def test_a_task_page_marks_its_commands_as_typed_or_shown(page: str) -> None:
    for language, content, line, _ in pages.blocks((pages.GUIDE / page).read_text()):
        assert language or not re.search(r"^(penstock|curl|helm|kubectl|docker)\b", content, re.MULTILINE), line


def test_the_index_names_every_page_of_the_guide() -> None:
    assert {each.name for each in pages.GUIDE.glob("*.md")} - set(re.findall(r"\(([\w-]+\.md)\)", INDEX)) == {
        "README.md"
    }


@pytest.mark.parametrize("page", TASKS)
def test_a_page_writes_a_file_before_it_is_added_to(page: str) -> None:
    written: set[str] = set()
    for step in pages.steps((pages.GUIDE / page).read_text()):
        if isinstance(step, Write):
            assert not step.appends or step.name in written, step.name
            written.add(step.name)
