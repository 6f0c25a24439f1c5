"""Start the classroom's hub and let several users run a chapter at the same time.

    .venv-classroom/bin/python classroom/try_it.py 4 07_kv_cache

Each user logs in over HTTP, gets a server, and runs every cell over a websocket, as a
browser would. Prints medians, and the memory of a user's server and kernel together.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

import psutil
import requests
import websocket

HERE = Path(__file__).resolve().parent
PASSWORD = "trying it"
PORT = 18500
HUB = f"http://127.0.0.1:{PORT}"
PATIENCE = 120  # seconds


class Student:
    """One user of the hub, and how long everything took."""

    def __init__(self, name: str, chapter: str):
        self.name, self.web, self.seconds = name, requests.Session(), {}
        self.base, self.chapter = f"{HUB}/user/{name}", chapter

    def run(self) -> "Student":
        """Log in, get a server, run every cell; raise what goes wrong."""
        for step in (self.log_in, self.start_server, self.run_cells):
            start = time.monotonic()
            step()
            self.seconds[step.__name__] = time.monotonic() - start
        self.memory = memory_of(self.name)
        return self

    def log_in(self):
        page = self.web.get(f"{HUB}/hub/login", timeout=PATIENCE)
        page.raise_for_status()
        token = self.web.cookies.get("_xsrf", path="/hub/")
        form = {"username": self.name, "password": PASSWORD, "_xsrf": token}
        done = self.web.post(f"{HUB}/hub/login", form, timeout=PATIENCE)
        done.raise_for_status()

    def start_server(self):
        self.web.get(f"{HUB}/hub/spawn", timeout=PATIENCE)
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            answer = self.web.get(f"{self.base}/lab", timeout=PATIENCE)
            if answer.ok and answer.url.startswith(f"{self.base}/lab"):
                return
            time.sleep(0.5)
        raise TimeoutError(f"{self.name}: no server after {PATIENCE} seconds")

    def run_cells(self):
        path = f"{self.chapter}.ipynb"
        file = self.web.get(f"{self.base}/api/contents/{path}", timeout=PATIENCE)
        cells = file.json()["content"]["cells"]
        sources = [cell["source"] for cell in cells if cell["cell_type"] == "code"]
        token = self.web.cookies.get("_xsrf", path=f"/user/{self.name}/")
        wanted = {"path": path, "name": path, "type": "notebook",
                  "kernel": {"name": "python3"}}  # fmt: skip
        session = self.web.post(
            f"{self.base}/api/sessions",
            headers={"X-XSRFToken": token}, json=wanted, timeout=PATIENCE,
        )  # fmt: skip
        session.raise_for_status()
        kernel = session.json()["kernel"]["id"]
        address = f"{self.base}/api/kernels/{kernel}/channels"
        request = requests.Request("GET", self.base + "/")
        cookies = self.web.prepare_request(request).headers["Cookie"]
        socket = websocket.create_connection(
            address.replace("http", "ws", 1), timeout=PATIENCE, cookie=cookies
        )
        for source in sources:
            execute(socket, source)
        self.cells = len(sources)
        socket.close()


def execute(socket, source: str) -> None:
    """Run one cell; raise its error."""
    header = {"msg_id": uuid.uuid4().hex, "msg_type": "execute_request",
              "username": "", "session": "try-it", "version": "5.3"}  # fmt: skip
    content = {"code": source, "silent": False, "allow_stdin": False}
    message = {"header": header, "parent_header": {}, "metadata": {},
               "content": content, "channel": "shell", "buffers": []}  # fmt: skip
    socket.send(json.dumps(message))
    while True:
        answer = json.loads(socket.recv())
        if answer["parent_header"].get("msg_id") != header["msg_id"]:
            continue
        if answer["msg_type"] == "error":
            raise RuntimeError("\n".join(answer["content"]["traceback"]))
        if answer["msg_type"] == "execute_reply":
            return


def memory_of(name: str) -> int:
    """Return the bytes of a user's processes; shared pages are counted in parts."""
    total = 0
    for process in psutil.process_iter():
        try:
            if process.environ().get("JUPYTERHUB_USER") == name:
                total += process.memory_full_info().pss
        except psutil.Error:
            continue
    return total


def main(users: int, chapter: str) -> None:
    """Start a hub in a folder of its own, and print what the users saw."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        variables = {"CLASSROOM_FOLDER": folder, "CLASSROOM_PORT": str(PORT),
                     "CLASSROOM_PASSWORD": PASSWORD}  # fmt: skip
        command = (
            sys.executable, "-m", "jupyterhub", "-f", HERE / "jupyterhub_config.py"
        )  # fmt: skip
        with Path(folder, "log.txt").open("w+") as log:
            hub = subprocess.Popen(
                command, cwd=folder, env=os.environ | variables, stdout=log, stderr=log
            )
            try:
                wait_for(hub)
                names = [f"student{number}" for number in range(1, users + 1)]
                with ThreadPoolExecutor(users) as pool:
                    done = list(pool.map(lambda n: Student(n, chapter).run(), names))
            except Exception:
                log.seek(0)
                print(log.read(), file=sys.stderr)
                raise
            finally:
                hub.terminate()
                hub.wait(60)
    cells = done[0].cells
    print(f"{users} users at once, {cells} cells each of {chapter}, no error; medians:")
    for step in done[0].seconds:
        print(f"{step:14}{median(each.seconds[step] for each in done):7.1f} s")
    print(
        f"{'memory':14}{median(each.memory for each in done) / 2**20:7.0f} MiB a user"
    )


def wait_for(hub) -> None:
    """Return when the hub answers."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and hub.poll() is None:
        try:
            requests.get(f"{HUB}/hub/api/", timeout=5).raise_for_status()
            return
        except requests.RequestException:
            time.sleep(0.5)
    raise RuntimeError("the hub did not start")


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
