"""Record a CUDA device: `python -m llm_memory.measure.gpu`, from the folder `book`.

It needs a GPU, and torch, transformers and pydantic in whatever versions there are.
The model gets random weights, so nothing is downloaded. The record holds readings only;
what they are compared with is derived when a page shows it (`llm_memory.gpu_record`).
"""

import argparse
import csv
import json
import os
import platform
import re
import subprocess
import sys
from datetime import UTC, datetime

from ..fields import DATA
from ..gpu_record import Record
from ..model import MODELS, names
from ..units import MiB

RECORDS = DATA / "measured"
QUERY = ("name", "driver_version")
SETTINGS = ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF", "CUBLAS_WORKSPACE_CONFIG")


def main(arguments: list[str] | None = None) -> None:
    """Measure, write data/measured/gpu-<card>.json, and print the comparison."""
    chosen = _parser().parse_args(arguments)
    torch = _torch()
    from . import gpu_steps

    config = json.loads((MODELS / f"{chosen.model}.json").read_text(encoding="utf-8"))
    shapes = gpu_steps.Shapes(chosen.batch, chosen.tokens)
    meter = gpu_steps.CudaMeter(_process_bytes)
    readings = gpu_steps.run(config, shapes, meter)
    card = torch.cuda.get_device_name()
    record = make_record(card, _driver(card), versions(torch), chosen, readings)
    path = RECORDS / f"gpu-{slug(card)}.json"
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(f"recorded: {path}")
    print(Record(record))


def make_record(card, driver, versions, chosen, readings) -> dict:
    """Return what is written: where, with what, which shapes, and the readings."""
    return {
        "card": card,
        "driver": driver,
        "versions": versions,
        "allocator": {
            name: os.environ[name] for name in SETTINGS if name in os.environ
        },
        "date": datetime.now(UTC).date().isoformat(),
        "model": chosen.model,
        "batch": chosen.batch,
        "tokens": chosen.tokens,
        "cases": readings,
    }


def slug(card: str) -> str:
    """Return a card's name as a part of a file's name.

    >>> slug("NVIDIA GeForce RTX 4090")
    'geforce-rtx-4090'
    """
    words = re.sub("[^a-z0-9]+", "-", card.lower()).strip("-")
    return words.removeprefix("nvidia-")


def process_bytes(listed: str, pid: int) -> int | None:
    """Return a process's bytes from nvidia-smi's list of "pid, MiB", or None.

    >>> process_bytes("7, 100\\n4242, 512\\n", 4242)
    536870912
    """
    for line in csv.reader(listed.splitlines(), skipinitialspace=True):
        if len(line) == 2 and line[0] == str(pid) and line[1].isdigit():
            return int(line[1]) * MiB
    return None


def versions(torch) -> dict[str, str]:
    """Return the versions of what measured."""
    import transformers

    return {
        "torch": torch.__version__,
        "CUDA": str(torch.version.cuda),
        "transformers": transformers.__version__,
        "Python": platform.python_version(),
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m llm_memory.measure.gpu")
    parser.add_argument("--model", default="Qwen3-0.6B", choices=names())
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--tokens", type=int, default=1024)
    return parser


def _torch():
    """Return torch, or end with one line that says what is missing."""
    try:
        import torch
        import transformers  # noqa: F401
    except ImportError as error:
        sys.exit(f"measure-gpu needs torch and transformers: {error}")
    if not torch.cuda.is_available():
        sys.exit(
            f"measure-gpu needs a CUDA device: torch {torch.__version__} sees none"
        )
    return torch


def _smi(*options: str) -> str:
    """Return what nvidia-smi prints, or nothing where there is no nvidia-smi."""
    command = ("nvidia-smi", "--format=csv,noheader,nounits", *options)
    try:
        return subprocess.run(command, capture_output=True, text=True).stdout
    except FileNotFoundError:
        return ""


def _process_bytes() -> int | None:
    return process_bytes(_smi("--query-compute-apps=pid,used_memory"), os.getpid())


def _driver(card: str) -> str | None:
    listed = csv.reader(
        _smi("--query-gpu=" + ",".join(QUERY)).splitlines(), skipinitialspace=True
    )
    return next((line[1] for line in listed if line and line[0] == card), None)


if __name__ == "__main__":
    main()
