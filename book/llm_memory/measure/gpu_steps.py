"""The steps of inference and training, with a reading after each.

A meter says what is allocated: on a GPU PyTorch's allocator, in a rehearsal on the CPU
a count of storages. Both run the same steps.
"""

import gc
from dataclasses import asdict, dataclass, field

import torch
from transformers.cache_utils import DynamicCache

from . import cases, framework
from .activations import kernel_name
from .live import Live

KERNELS = ("flash", "eager")
OPTIMIZERS = ("fused", "foreach")


@dataclass(frozen=True)
class Shapes:
    """Batch and tokens of all steps; tokens are prefilled, cached and trained on."""

    batch: int = 2
    tokens: int = 1024


REHEARSALS = (
    ("qwen3", Shapes(2, 17)),
    ("llama multi-query", Shapes(1, 9)),
)


@dataclass
class Log:
    """The readings so far; `beside` holds tensors that no ledger counts, by name."""

    meter: object
    readings: dict = field(default_factory=dict)
    beside: dict = field(default_factory=dict)

    def note(self, moment: str, when: str = "current", **choices) -> None:
        """Read, and add moment, choices and what lies beside the ledgers."""
        words = (f"step {c}" if c in (1, 2) else c for c in choices.values())
        name = ", ".join([moment, *words])
        self.readings[name] = {
            "moment": moment,
            **choices,
            "beside": dict(self.beside),
            "bytes": self.meter.read(when),
        }


class CudaMeter:
    """Reads the statistics of PyTorch's caching allocator.

    Args:
        process: a function without arguments that gives nvidia-smi's number of bytes
            for this process, or None.
    """

    device = "cuda"

    def __init__(self, process):
        self._process = process

    def read(self, when: str = "current") -> dict:
        """Return bytes: requested, allocated, reserved, the process's, the device's."""
        torch.cuda.synchronize()
        stats = torch.cuda.memory_stats()
        read = {
            name: stats[f"{name}_bytes.all.{when}"]
            for name in ("requested", "allocated", "reserved")
        }
        free, total = torch.cuda.mem_get_info()
        return read | {"process": self._process(), "device": total - free}

    def reset(self) -> None:
        """Forget peaks, and give back what is cached."""
        gc.collect()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


class CountMeter:
    """Counts storages on the CPU: what is requested, and nothing of an allocator."""

    device = "cpu"

    def __init__(self, live: Live):
        self._live = live

    def read(self, when: str = "current") -> dict:
        """Return the bytes of storages that are alive, or were at most."""
        gc.collect()
        return {"requested": self._live.now if when == "current" else self._live.peak}

    def reset(self) -> None:
        """Forget the peak."""
        gc.collect()
        self._live.peak = self._live.now


def run(config: dict, shapes: Shapes, meter, kernels=KERNELS, kinds=OPTIMIZERS) -> dict:
    """Return the readings of all steps by name, in order."""
    log = Log(meter)
    _warm(log)
    for kernel in kernels:
        _infer(log, config, shapes, kernel)
        _train(log, config, shapes, kernel, kinds)
    return log.readings


def _warm(log: Log) -> None:
    """Let the libraries make their workspaces; the backward's thread has its own."""
    log.note("start")
    before = log.meter.read()["requested"]
    weight = torch.ones(
        (64, 64), dtype=torch.bfloat16, device=log.meter.device, requires_grad=True
    )
    (weight @ weight).sum().backward()
    del weight
    gc.collect()
    log.beside["workspaces"] = log.meter.read()["requested"] - before
    log.note("workspaces")


def _model(log: Log, config: dict, kernel: str):
    log.meter.reset()
    model = framework.build(config, torch.bfloat16, log.meter.device)
    model.config._attn_implementation = kernel_name(kernel)
    storages = (each.untyped_storage() for each in model.buffers())
    sizes = {storage.data_ptr(): storage.nbytes() for storage in storages}
    log.beside["buffers"] = sum(sizes.values())
    return model


def _inputs(log: Log, model, shapes: Shapes) -> dict:
    """Return ids and a full mask, which the caller holds."""
    b, s = shapes.batch, shapes.tokens
    ids = torch.zeros((b, s), dtype=torch.long, device=log.meter.device)
    mask = torch.zeros((b, 1, s, s), dtype=torch.bfloat16, device=log.meter.device)
    log.beside["inputs"] = ids.nbytes + mask.nbytes
    return {"input_ids": ids, "attention_mask": mask}


def _forget(log: Log) -> None:
    log.beside.pop("inputs", None)
    log.beside.pop("buffers", None)


def _infer(log: Log, config: dict, shapes: Shapes, kernel: str) -> None:
    model = _model(log, config, kernel)
    log.note("weights", attention=kernel)
    inputs = _inputs(log, model, shapes)
    cache = DynamicCache(config=model.config)
    options = {"past_key_values": cache, "use_cache": True, "logits_to_keep": 1}
    with torch.no_grad():
        log.meter.reset()
        model(**inputs, **options)
        log.note("peak of prefill", "peak", attention=kernel)
        log.note("prefill", attention=kernel)
        b, t = shapes.batch, shapes.tokens
        inputs["input_ids"] = inputs["input_ids"][:, :1].clone()
        inputs["attention_mask"] = inputs["attention_mask"].new_zeros((b, 1, 1, t + 1))
        log.beside["inputs"] = sum(each.nbytes for each in inputs.values())
        log.meter.reset()
        model(**inputs, **options)
        log.note("peak of decode", "peak", attention=kernel)
        log.note("decode", attention=kernel)
    _forget(log)


def _train(log: Log, config: dict, shapes: Shapes, kernel: str, kinds) -> None:
    for kind in kinds:
        model = _model(log, config, kernel).train()
        inputs = _inputs(log, model, shapes)
        inputs |= {"labels": inputs["input_ids"].clone(), "use_cache": False}
        log.beside["inputs"] += inputs["labels"].nbytes
        optimizer = torch.optim.AdamW(model.parameters(), **{kind: True})
        for step in (1, 2):
            choices = {"attention": kernel, "optimizer": kind, "step": step}
            log.meter.reset()
            output = model(**inputs)
            log.note("forward", **choices)
            output.loss.backward()
            del output
            log.note("peak of forward and backward", "peak", **choices)
            log.note("backward", **choices)
            log.meter.reset()
            optimizer.step()
            log.note("peak of optimizer step", "peak", **choices)
            log.note("optimizer step", **choices)
            optimizer.zero_grad()
        del model, optimizer, inputs
        _forget(log)


def rehearse(config: dict, shapes: Shapes) -> dict:
    """Run the steps on the CPU, eager; return readings that count storages only."""
    with Live() as live:
        readings = run(config, shapes, CountMeter(live), kernels=("eager",))
    return {"config": config, **asdict(shapes), "cases": readings}


def measure() -> dict:
    """Return rehearsals with small models: what a GPU would be asked for."""
    return {
        f"{name}, b = {shapes.batch}, s = {shapes.tokens}": rehearse(
            cases.SWITCHES[name], shapes
        )
        for name, shapes in REHEARSALS
    }
