"""Every Byte: the GPU memory of large language models as exact ledgers.

>>> import llm_memory as lm
>>> model = lm.load_model("LLaMA-13B")
>>> lm.weights(model).bytes, lm.kv_cache(model).evaluate(b=1, t=2048)
(26031728640, 1677721600)
"""

from .activations import layer_activations, training_activations
from .errors import ConfigError
from .explorer import Explorer
from .hardware import Hardware, load_hardware
from .kv_cache import kv_cache
from .ledger import Ledger, Tensor
from .model import Model, load_model, symbolic
from .training import training_states
from .weights import active_weights, weights

__all__ = [
    "ConfigError",
    "Explorer",
    "Hardware",
    "Ledger",
    "Model",
    "Tensor",
    "active_weights",
    "kv_cache",
    "layer_activations",
    "load_hardware",
    "load_model",
    "symbolic",
    "training_activations",
    "training_states",
    "weights",
]
