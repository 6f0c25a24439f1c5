"""What runs on GitHub: pinned, with few rights, and nothing but what `make` has."""

import re

import newest
import pytest
import yaml
from conftest import ROOT
from test_style import TARGETS

GITHUB = ROOT / ".github"
WORKFLOWS = sorted(GITHUB.glob("workflows/*.yml"))
ON_RUNNER = {'git diff requirements*.in >> "$GITHUB_STEP_SUMMARY"'}


def read(path):
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def steps(workflow):
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


def test_the_workflows_are_there():
    names = {path.stem for path in WORKFLOWS}
    assert names == {"test", "publish", "links", "newest"}
    when = {path.stem: read(path)[True] for path in WORKFLOWS}  # YAML reads on as true
    assert {"push", "pull_request"} <= set(when["test"])
    assert len(when["links"]["schedule"][0]["cron"].split()) == 5
    assert when["links"]["schedule"][0]["cron"].endswith("* * 1")
    assert re.search(r" \d+ \* \*$", when["newest"]["schedule"][0]["cron"])


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_actions_are_pinned_by_commit_and_named_by_version(path):
    uses = re.findall(r"uses: (.+)", path.read_text(encoding="utf-8"))
    assert uses
    for use in uses:
        assert re.fullmatch(r"actions/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", use), use


def test_one_action_has_one_version():
    text = "".join(path.read_text(encoding="utf-8") for path in WORKFLOWS)
    found = set(re.findall(r"uses: ([^@\n]+)@(\w+)", text))
    assert len(found) == len({name for name, _ in found})


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_they_run_what_make_has(path):
    for command in [step["run"] for step in steps(read(path)) if "run" in step]:
        target = re.fullmatch(r"make ([a-z-]+)", command)
        assert command in ON_RUNNER or target[1] in TARGETS, command


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_they_may_read_only(path):
    workflow = read(path)
    assert workflow["permissions"] == {"contents": "read"}
    rights = {name: job.get("permissions") for name, job in workflow["jobs"].items()}
    assert rights.pop("deploy", None) in (None, {"pages": "write", "id-token": "write"})
    assert not any(rights.values())
    assert "secrets." not in path.read_text(encoding="utf-8")


def test_only_the_newest_packages_may_fail():
    loose = {path.stem for path in WORKFLOWS if "continue-on-error" in path.read_text()}
    assert loose == {"newest"}


def test_a_report_of_a_wrong_number_has_config_and_reference():
    form = read(GITHUB / "ISSUE_TEMPLATE" / "wrong_number.yml")
    asked = {part["id"]: part for part in form["body"] if "id" in part}
    for name in ("where", "got", "expected", "config", "setting", "reference"):
        assert asked[name]["validations"]["required"] is True, name
        assert asked[name]["attributes"]["label"]
    assert asked["config"]["attributes"]["render"] == "json"
    assert {part["type"] for part in form["body"]} <= {"markdown", "input", "textarea"}


def test_the_newest_versions_replace_the_pins_and_nothing_else():
    text = (ROOT / "requirements.in").read_text(encoding="utf-8")
    loose = newest.loosened(text)
    assert "==" not in loose and "jupyter-book<2 " in loose
    versions = {name.lower(): "9.9" for name, *_ in newest.PIN.findall(text)}
    moved = newest.pinned(text, versions)
    pins = newest.PIN.findall(moved)
    assert len(pins) > 20 and {version for _, version, _ in pins} == {"9.9"}
    comments = [line.partition("#")[2] for line in text.splitlines()]
    assert [line.partition("#")[2] for line in moved.splitlines()] == comments
