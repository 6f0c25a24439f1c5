"""ruff and codespell find nothing; the hooks and workflows call what `make` has."""

import re
import subprocess
import sys

import pytest
import yaml
from conftest import ROOT

COMMANDS = (
    ("ruff", "check", "--quiet", "."),
    ("ruff", "format", "--diff", "--quiet", "."),
    ("codespell_lib",),
)
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.M))


def run(*command, cwd=ROOT):
    done = subprocess.run(
        (sys.executable, "-m", *command), cwd=cwd, capture_output=True, text=True
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_nothing_is_found(command):
    code, output = run(*command)
    assert code == 0, output


def test_codespell_would_find_something(tmp_path):
    (tmp_path / "text.md").write_text("T" + "eh weights.")
    assert run("codespell_lib", cwd=tmp_path)[0] != 0


def test_the_hook_before_a_commit_is_make_lint():
    text = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    (repository,) = yaml.safe_load(text)["repos"]
    assert repository["repo"] == "local"  # nothing is downloaded
    (hook,) = repository["hooks"]
    assert (hook["entry"], hook["language"]) == ("make lint", "system")
    recipe = MAKEFILE.partition("\nlint:")[2].partition("\n\n")[0]
    for program in ("ruff check", "ruff format --check", "codespell", "hygiene.py"):
        assert program in recipe
