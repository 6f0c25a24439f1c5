"""Every bundled fact says where it comes from."""

import json

import pytest

from llm_memory import load_hardware, load_model
from llm_memory.fields import DATA
from llm_memory.hardware import accelerators
from llm_memory.model import names, source


def test_every_bundled_model_has_a_source_and_every_source_a_model():
    known = json.loads((DATA / "sources.json").read_text(encoding="utf-8"))["models"]
    assert sorted(known) == sorted(names())


@pytest.mark.parametrize("name", names())
def test_a_source_is_a_repository_of_one_owner(name):
    host, owner, repository = source(name).split("/")
    assert host == "huggingface.co" and owner and repository
    assert load_model(name).name == name


@pytest.mark.parametrize("name", accelerators())
def test_an_accelerator_has_a_source_and_sizes_that_make_sense(name):
    card = load_hardware(name)
    assert card.source and card.bandwidth and card.flops
    assert 0.9 < card.bytes / card.label_bytes < 1.1
