"""What is written down for people is what the code does: names, commands, targets, the example."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from django.test import Client

from routing.configuration import document, plan
from routing.core.refusal import STATUS, Code

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
EXAMPLE = (ROOT / ".env.example").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()

# settings.py and gunicorn.py read the environment through these alone; the name comes first.
READERS = {
    *("one_of", "flag", "whole", "seconds", "fraction", "listed", "networks", "address", "count", "read"),
    "os.environ.get",
}


def variables(file: Path) -> set[str]:
    """Every name that one of the readers is called with."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if not isinstance(node, ast.Call) or ast.unparse(node.func) not in READERS:
            continue
        asked = node.args[0]
        if isinstance(asked, ast.Constant):
            found.add(str(asked.value))
    return found


SETTINGS = variables(ROOT / "byocgw/settings.py")
GUNICORN = variables(ROOT / "byocgw/gunicorn.py")
VARIABLES = sorted(SETTINGS | GUNICORN)


def rows(text: str) -> list[str]:
    """The first cells of Markdown's table rows."""
    return re.findall(r"^\| ([^|]*(?:\\\|[^|]*)*)\|", text, re.MULTILINE)


def section(title: str) -> str:
    """The README from this heading to the next of its level."""
    level, start = title.partition(" ")[0], README.index(f"\n{title}\n")
    end = README.find(f"\n{level} ", start + 1)
    return README[start : None if end < 0 else end]


def test_the_variables_are_found() -> None:
    assert {"SECRET_KEY", "DEBUG", "DATABASE_URL", "LOG_LEVEL", "BYOCGW_MAX_BODY", "BYOCGW_HTTPS"} <= SETTINGS
    assert {"BIND", "WEB_CONCURRENCY", "FORWARDED_ALLOW_IPS"} == GUNICORN


def test_nobody_else_reads_the_environment() -> None:
    """But for the two that pass it on: ASGI names the settings, the demo starts a gateway."""
    folders = [ROOT / name for name in ("byocgw", "orchestrators", "routing")]
    product = [file for folder in folders for file in folder.rglob("*.py")]
    reading = {file.relative_to(ROOT).as_posix() for file in product if "environ" in file.read_text()}
    assert reading <= {"byocgw/settings.py", "byocgw/gunicorn.py", "byocgw/asgi.py", "routing/demo/stage.py"}


@pytest.mark.parametrize("name", VARIABLES)
def test_every_variable_is_documented(name: str) -> None:
    """In `.env.example`, with its default, and in the README's table."""
    assert len(re.findall(rf"^#{name}=", EXAMPLE, re.MULTILINE)) == 1
    assert f"`{name}` " in rows(section("## Settings"))


def test_no_variable_is_documented_that_is_not_read() -> None:
    assert sorted(re.findall(r"^#?([A-Z][A-Z0-9_]*)=", EXAMPLE, re.MULTILINE)) == VARIABLES
    documented = [row.strip("` ") for row in rows(section("## Settings"))]
    assert sorted(name for name in documented if name.isupper()) == VARIABLES


@pytest.mark.parametrize("code", Code)
def test_every_refusal_is_documented(code: Code) -> None:
    table = section("## For clients")
    cells = [line.split("|") for line in table.splitlines() if line.startswith("| ")]
    (row,) = [each for each in cells if f"`{code}`" in each[1]]
    assert row[2].strip() == str(STATUS[code])


def commands() -> list[str]:
    found = ROOT.glob("*/management/commands/*.py")
    return sorted(file.stem for file in found if file.stem not in {"__init__", "migrate"})


def test_every_command_is_documented() -> None:
    """`migrate` is Django's own, with ours around it; the demo is reached through make."""
    text = section("## For operators")
    assert len(commands()) >= 7
    missing = [name for name in commands() if f"`manage.py {name}" not in text]
    assert missing in ([], ["demo"])
    assert "\nmake demo " in README


def test_no_command_is_documented_that_is_not_there() -> None:
    known = {*commands(), "migrate", "createsuperuser", "check", "collectstatic", "runserver", "axes_reset"}
    assert set(re.findall(r"manage\.py ([a-z_]+)", README)) <= known


def test_every_make_target_that_is_named_is_there() -> None:
    targets = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
    code = re.findall(r"```.*?```|`[^`]+`", README, re.DOTALL)
    named = {name for text in code for name in re.findall(r"(?:^|[`\n])make ([a-z-]+)", text)}
    assert {"demo", "test", "setup"} <= named
    assert named <= targets


def test_every_file_that_is_named_is_there() -> None:
    for name in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / name).exists(), name
    for name in re.findall(r"-c python:([a-z.]+)", README):
        assert (ROOT / (name.replace(".", "/") + ".py")).exists(), name


def examples() -> list[str]:
    """Every configuration in the README: the reference, and the file of the tour."""
    return re.findall(r"```yaml\n(.*?)```", README, re.DOTALL) + re.findall(
        r"<<'END'\n(.*?)^END$", README, re.DOTALL | re.MULTILINE
    )


@pytest.mark.parametrize(
    "example", examples(), ids=["reference", "tiers", "signatures", "discovery", "rates", "tour"]
)
def test_the_examples_are_accepted(example: str, db: None) -> None:
    result = plan(document.read(example.encode()))
    assert result.errors == []
    assert result.changes


def guides() -> list[str]:
    """Every configuration in the guides."""
    return [
        example
        for file in sorted((ROOT / "docs").glob("*.md"))
        for example in re.findall(r"```yaml\n(.*?)```", file.read_text(), re.DOTALL)
    ]


@pytest.mark.parametrize("example", [*examples(), *guides()])
def test_no_example_takes_away_what_is_shipped(example: str, db: None) -> None:
    """An omitted description means none."""
    changes = plan(document.read(example.encode())).changes
    assert [each for each in changes if each.endswith(' -> ""')] == []


@pytest.mark.parametrize("example", guides())
def test_the_guides_examples_are_accepted(example: str, db: None) -> None:
    result = plan(document.read(example.encode()))
    assert result.errors == []
    assert result.changes


def test_every_file_that_a_guide_names_is_there() -> None:
    for file in (ROOT / "docs").glob("*.md"):
        for name in re.findall(r"\]\(([^)#:]+)\)", file.read_text()):
            assert (file.parent / name).exists(), f"{file.name}: {name}"


@pytest.mark.django_db
def test_the_consoles_first_page_says_what_to_do(admin_client: Client) -> None:
    page = admin_client.get("/admin/").content.decode()
    assert "<title>Dashboard | byocgw</title>" in page
    assert set(re.findall(r"manage\.py ([a-z_]+)", page)) == {"probe_orchestrators", "explain"}
