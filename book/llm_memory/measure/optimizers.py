"""What training keeps of a parameter: weights, gradients and optimizer states.

Tiny models on the CPU, with one forward, one backward and one step.
"""

import bitsandbytes
import torch
from bitsandbytes.functional import quantize_4bit
from torch import nn
from transformers import CONFIG_MAPPING, AutoModelForCausalLM

from . import cases, framework

CASES = ("gpt2 wide", "llama multi-query", "qwen3", "mixtral", "deepseek_v3")
STEPS = (
    ("fp32", "adamw"),
    ("fp32", "sgd"),
    ("fp32", "adafactor"),
    ("fp32", "muon"),
    ("bf16", "adamw"),
    ("bf16_mixed", "adamw"),
)
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
HIDDEN_ONLY = ("embed", "lm_head", "wte", "wpe")


def measure() -> dict:
    """Return for each case, recipe and optimizer what is kept, alike ones counted.

    "bf16_mixed" is made as mixed-precision trainers do: an fp32 copy of each bf16
    parameter, which is what the optimizer updates.
    """
    return {
        f"{name}, {recipe}, {optimizer}": kept(cases.SWITCHES[name], recipe, optimizer)
        for name in CASES
        for recipe, optimizer in STEPS
    }


def kept(config: dict, recipe: str, optimizer: str) -> dict:
    """Return the rows of weights, gradients, master copies and states."""
    model = build(config, DTYPES[recipe.removesuffix("_mixed")])
    backward(model)
    parameters = dict(model.named_parameters())
    updated = dict(parameters)
    if recipe == "bf16_mixed":
        for name, parameter in parameters.items():
            updated[name] = nn.Parameter(parameter.detach().float())
            updated[name].grad = parameter.grad.float()
    states = {}
    for each in optimizers(optimizer, updated):
        each.step()
        states |= each.state
    found = [
        *parameters.items(),
        *((f"{name}.grad", each.grad) for name, each in parameters.items()),
        *((f"{n}.master", p) for n, p in updated.items() if p is not parameters[n]),
        *(
            (f"{name}.{key}", tensor)
            for name, each in updated.items()
            for key, tensor in states[each].items()
        ),
    ]
    return {"config": config, "rows": framework.grouped(found)}


def optimizers(name: str, parameters: dict) -> list:
    """Return PyTorch's optimizers for the parameters.

    Muon takes the matrices of the hidden layers; what its documentation leaves to "a
    standard method such as AdamW" is given to that.
    """
    every = list(parameters.values())
    if name == "muon":
        hidden = [
            each
            for key, each in parameters.items()
            if each.ndim == 2 and not any(word in key for word in HIDDEN_ONLY)
        ]
        ids = set(map(id, hidden))
        rest = [each for each in every if id(each) not in ids]
        return [torch.optim.Muon(hidden), torch.optim.AdamW(rest)]
    makers = {
        "adamw": torch.optim.AdamW,
        "sgd": lambda each: torch.optim.SGD(each, momentum=0.9),
        "adafactor": torch.optim.Adafactor,
    }
    return [makers[name](every)]


def build(config: dict, dtype: torch.dtype):
    """Return the model of a config in real memory."""
    fields = {name: value for name, value in config.items() if name != "model_type"}
    settings = CONFIG_MAPPING[config["model_type"]](**fields)
    settings._experts_implementation = "batched_mm"
    return AutoModelForCausalLM.from_config(
        settings, dtype=dtype, attn_implementation="eager"
    )


def backward(model) -> None:
    """Run a forward and a backward over five tokens."""
    ids = torch.arange(5)[None]
    model(input_ids=ids, labels=ids, use_cache=False).loss.backward()


def measure_bitsandbytes() -> dict:
    """Return the states of 8-bit AdamW, and the tensors of a packed 4-bit matrix.

    It runs on the CPU, too.
    """
    result = {"version": bitsandbytes.__version__}
    for name in CASES:
        model = build(cases.SWITCHES[name], torch.bfloat16)
        backward(model)
        optimizer = bitsandbytes.optim.AdamW8bit(model.parameters())
        optimizer.step()
        found, tables = [], {}
        for parameter_name, parameter in model.named_parameters():
            for key, value in optimizer.state[parameter].items():
                if key.startswith("qmap"):
                    tables[key, value.data_ptr()] = value
                elif torch.is_tensor(value):
                    found.append((f"{parameter_name}.{key}", value))
        found += [(key, value) for (key, _), value in tables.items()]
        result[f"{name}, adamw_8bit"] = {
            "config": cases.SWITCHES[name],
            "rows": framework.grouped(found),
        }
    for rows, columns in ((300, 70), (64, 128), (1, 65), (1024, 3072)):
        for nested in (False, True):
            base = "nf4_double" if nested else "nf4"
            result[f"{base}, {rows} x {columns}"] = packed(rows, columns, nested)
    return result


def packed(rows: int, columns: int, nested: bool) -> dict:
    """Return name → bytes of the tensors that hold one 4-bit matrix."""
    values, state = quantize_4bit(
        torch.ones((rows, columns), dtype=torch.bfloat16),
        quant_type="nf4",
        compress_statistics=nested,
    )
    tensors = {"": values, ".absmax": state.absmax, ".quant_map": state.code}
    if nested:
        tensors[".nested_absmax"] = state.state2.absmax
        tensors[".nested_offset"] = state.offset
        tensors["nested_quant_map"] = state.state2.code
    return {name: each.untyped_storage().nbytes() for name, each in tensors.items()}
