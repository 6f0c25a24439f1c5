"""Every Byte: the GPU memory of large language models as exact ledgers.

>>> import llm_memory as lm
>>> model = lm.load_model("LLaMA-13B")
>>> lm.weights(model).bytes, lm.kv_cache(model).evaluate(b=1, t=2048)
(26031728640, 1677721600)
"""

from . import answers, claims
from .activations import layer_activations, training_activations
from .compute import flops
from .count import Count
from .errors import ConfigError
from .explorer import Explorer
from .hardware import Hardware, load_hardware
from .inference import decode_peak, prefill_peak, total_inference
from .kv_cache import kv_cache
from .ledger import Ledger, Tensor
from .model import Model, load_model, symbolic
from .nodes import nodes_for, users_within
from .peak import Peak
from .ranks import rank_activations
from .roofline import expected_experts, roofline
from .serving import Capacity, capacity
from .simulation import simulate
from .traffic import Request, traffic
from .training import training_states
from .training_peak import training_peak
from .weights import active_weights, weights

__all__ = [
    "Capacity",
    "ConfigError",
    "Count",
    "Explorer",
    "Hardware",
    "Ledger",
    "Model",
    "Peak",
    "Request",
    "Tensor",
    "active_weights",
    "answers",
    "capacity",
    "claims",
    "decode_peak",
    "expected_experts",
    "flops",
    "kv_cache",
    "layer_activations",
    "load_hardware",
    "load_model",
    "nodes_for",
    "prefill_peak",
    "rank_activations",
    "roofline",
    "simulate",
    "symbolic",
    "total_inference",
    "traffic",
    "training_activations",
    "training_peak",
    "training_states",
    "users_within",
    "weights",
]
