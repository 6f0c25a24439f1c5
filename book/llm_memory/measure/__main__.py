"""Measure again, and compare with the record: `python -m llm_memory.measure`."""

import argparse
import json
import sys
from datetime import UTC, datetime

from ..errors import choose
from ..fields import DATA
from . import (
    activations,
    allocator,
    defaults,
    flops,
    framework,
    gpu_steps,
    kv_cache,
    losses,
    optimizers,
    parameters,
    peaks,
    profiler,
    ranks,
    sharding,
)

RECORDS = DATA / "measured"
OF_THE_MACHINE = ("scratch",)  # recorded, but not the same on every CPU
MEASUREMENTS = {
    "parameters": parameters.measure,
    "kv_cache": kv_cache.measure,
    "windowed_prefill": kv_cache.measure_prefill,
    "latent_expansion": kv_cache.measure_expansion,
    "activations": activations.measure,
    "adapters": activations.measure_adapters,
    "losses": losses.measure,
    "flops": flops.measure,
    "config_defaults": defaults.measure,
    "optimizers": optimizers.measure,
    "bitsandbytes": optimizers.measure_bitsandbytes,
    "sharded_states": sharding.measure,
    "allocator": allocator.measure,
    "inference_peaks": peaks.measure_inference,
    "rank_steps": ranks.measure,
    "training_peaks": peaks.measure_training,
    "training_moments": peaks.measure_moments,
    "adapter_peaks": peaks.measure_adapters,
    "adapter_moments": peaks.measure_adapter_moments,
    "loss_peaks": peaks.measure_losses,
    "optimizer_peaks": peaks.measure_optimizer,
    "profiler": profiler.measure,
    "steps": gpu_steps.measure,
}


def main() -> int:
    """Compare, or write with --write; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m llm_memory.measure")
    parser.add_argument("--write", action="store_true", help="record what is measured")
    parser.add_argument(
        "names", nargs="*", help=f"which of {', '.join(MEASUREMENTS)}; none: all"
    )
    chosen = parser.parse_args()
    write, wrong = chosen.write, 0
    for name in chosen.names or MEASUREMENTS:
        measure = choose("measurement", name, MEASUREMENTS)
        measured = json.loads(json.dumps(measure()))
        path = RECORDS / f"{name}.json"
        record = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        differences = list(_differences(record.get("cases"), measured, name))
        if record.get("versions") != framework.versions():
            differences.append(f"{name}: recorded with {record.get('versions')}")
        if differences and write:
            _write(path, measured)
        elif differences:
            wrong += 1
        state = ("recorded" if write else "DIFFERS") if differences else "as recorded"
        print(f"{name}: {len(measured)} cases measured, {state}")
        for line in differences[: 0 if write else 20]:
            print("  " + line)
    return 1 if wrong else 0


def _differences(recorded, measured, path: str):
    """Name every place where two JSON values are not equal."""
    if isinstance(recorded, dict) and isinstance(measured, dict):
        for key in sorted((recorded.keys() | measured.keys()) - {*OF_THE_MACHINE}):
            yield from _differences(
                recorded.get(key), measured.get(key), f"{path} / {key}"
            )
    elif recorded != measured:
        yield f"{path}: recorded {recorded}, measured {measured}"


def _write(path, cases: dict) -> None:
    record = {
        "versions": framework.versions(),
        "date": datetime.now(UTC).date().isoformat(),
        "cases": cases,
    }
    path.parent.mkdir(exist_ok=True)
    path.write_text(_text(record) + "\n", encoding="utf-8")


def _text(record: dict) -> str:
    """Give JSON with a line per case, so that a difference is a line."""
    cases = ",\n".join(
        f"  {json.dumps(name)}: {json.dumps(case, sort_keys=True)}"
        for name, case in record["cases"].items()
    )
    head = json.dumps(record | {"cases": {}}, indent=1).removesuffix("{}\n}")
    return f"{head}{{\n{cases}\n }}\n}}"


if __name__ == "__main__":
    sys.exit(main())
