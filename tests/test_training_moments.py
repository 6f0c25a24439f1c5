"""Every recorded small step, with adapters too, after each of its operations."""

from itertools import accumulate

import pytest

from llm_memory import load_model
from llm_memory.check import record
from llm_memory.training_peak import training_moments

RECORDS = [record(f"{name}_moments")["cases"] for name in ("training", "adapter")]
MOMENTS = {name: case for cases in RECORDS for name, case in cases.items()}


def test_no_two_steps_have_one_name():
    assert len(MOMENTS) == sum(map(len, RECORDS))


@pytest.mark.parametrize("name", MOMENTS)
def test_after_every_operation_what_pytorch_has_is_alive(name):
    """PyTorch tells it once per operation, which may make several tensors."""
    case = MOMENTS[name]
    choices = dict(case["choices"])
    choices |= {key: case[key] for key in ("loss", "chunks") if key in case}
    moments = training_moments(load_model(case["config"]), **choices)
    alive = [each.evaluate(b=case["b"], s=case["s"]) for each in moments.values()]
    last = [end - 1 for end in accumulate(case["made"])]
    assert last[-1] == len(alive) - 1
    assert [alive[index] for index in last] == case["alive"]
