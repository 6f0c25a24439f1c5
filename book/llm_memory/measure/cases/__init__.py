"""What is measured: the bundled models, and small configs that turn every switch."""

from .forwards import activation_cases, adapter_cases, flop_cases, loss_cases
from .models import configs, shallow
from .steps import loss_peaks, moments, profiled, rank_steps, training_peaks
from .switches import CACHE_SHAPES, SWITCHES
from .trained import DESCRIBED, TRAINED, UNCAPPED

__all__ = [
    "CACHE_SHAPES",
    "DESCRIBED",
    "SWITCHES",
    "TRAINED",
    "UNCAPPED",
    "activation_cases",
    "adapter_cases",
    "configs",
    "flop_cases",
    "loss_cases",
    "loss_peaks",
    "moments",
    "profiled",
    "rank_steps",
    "shallow",
    "training_peaks",
]
