"""ruff finds nothing, in modules and notebooks; the formatting is ruff's."""

import subprocess
import sys

import pytest
from conftest import ROOT


@pytest.mark.parametrize("command", [("check",), ("format", "--diff")])
def test_ruff_finds_nothing(command):
    ruff = (sys.executable, "-m", "ruff", *command, "--quiet", ".")
    found = subprocess.run(ruff, cwd=ROOT, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout + found.stderr
