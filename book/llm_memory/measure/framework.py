"""Build models of the pinned framework, without memory, on the meta device."""

import copy
import re
from collections import Counter

import torch
import transformers
from transformers import CONFIG_MAPPING, AutoModelForCausalLM

from ..fields import table


def build(config: dict, dtype: torch.dtype = torch.bfloat16, device: str = "meta"):
    """Return the model of a config, on the meta device, ready for inference."""
    fields = copy.deepcopy(dict(config))  # whose objects a config class fills in
    del fields["model_type"]
    fields.pop("quantization_config", None)
    entry = table()["families"][config["model_type"]]
    model_type = entry.get("like", config["model_type"])
    settings = CONFIG_MAPPING[model_type](**fields)
    settings._experts_implementation = "batched_mm"
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(
            settings, dtype=dtype, attn_implementation="eager"
        )
    return model.eval()


def versions() -> dict[str, str]:
    """Return the versions that a record was made with."""
    torch_version = torch.__version__.split("+")[0]
    return {"torch": torch_version, "transformers": transformers.__version__}


def short_name(dtype: torch.dtype) -> str:
    """Return a data type's name without its module.

    >>> short_name(torch.bfloat16)
    'bfloat16'
    """
    return str(dtype).removeprefix("torch.")


def grouped(tensors) -> list[dict]:
    """Return rows of (name, tensor) pairs: `{i}` for the layer, alike ones counted."""
    counts = Counter(
        (
            re.sub(r"\b(layers|h)\.\d+\.", r"\1.{i}.", name),
            tuple(tensor.shape),
            short_name(tensor.dtype),
        )
        for name, tensor in tensors
    )
    return [
        {"name": name, "shape": list(shape), "dtype": dtype, "count": count}
        for (name, shape, dtype), count in counts.items()
    ]
