"""From readings of a GPU to a record and its table, without a GPU.

What the ledgers say of each step is compared with a rehearsal: the same steps on the
CPU, recorded by `make measure`. Readings of an allocator are MADE UP here: they test
sums, and say nothing about any GPU.
"""

import json
from argparse import Namespace

import pytest

from llm_memory import check, gpu_record
from llm_memory.gpu_record import DERIVED, NONE, SPLIT, Record, records, split
from llm_memory.measure import gpu

REHEARSED = check.record("steps")["cases"]


@pytest.mark.parametrize("name", REHEARSED)
def test_what_is_derived_of_each_step_is_what_the_framework_asks_for(name):
    table = Record(REHEARSED[name] | {"card": "CPU, rehearsal"}).check
    assert table.holds, table
    assert len(table.lines) >= 19


def test_every_moment_that_is_derived_was_rehearsed():
    moments = {
        reading["moment"]
        for case in REHEARSED.values()
        for reading in case["cases"].values()
    }
    assert set(DERIVED) <= moments


MADE_UP = {
    "requested": 1_000_000,
    "allocated": 1_000_448,
    "reserved": 2_097_152,
    "process": 500_000_000,
    "device": 600_000_000,
}


def test_the_parts_of_a_made_up_reading_add_up_to_nvidia_smi():
    parts = split(900_000, {"inputs": 60_000, "workspaces": 30_000}, MADE_UP)
    assert tuple(parts) == SPLIT
    assert sum(parts.values()) == MADE_UP["process"]
    assert parts["unexplained"] == 10_000
    assert parts["rounding"] == 448


def test_a_process_that_nvidia_smi_does_not_list_means_the_device():
    parts = split(1_000_000, {}, MADE_UP | {"process": None})
    assert sum(parts.values()) == MADE_UP["device"]


def made_up_record():
    chosen = Namespace(model="Qwen3-0.6B", batch=2, tokens=16)
    reading = {
        "moment": "weights",
        "attention": "flash",
        "beside": {"workspaces": 512, "buffers": 256},
        "bytes": MADE_UP | {"requested": 2 * 596_049_920 + 512 + 256},
    }
    other = {"moment": "start", "beside": {}, "bytes": MADE_UP}
    tools = {"torch": "0.0", "CUDA": "0.0"}
    readings = {"start": other, "weights, flash": reading}
    return gpu.make_record("MADE UP card", "0", tools, chosen, readings)


def test_a_written_record_is_found_and_shown(tmp_path):
    assert records(tmp_path).records == [] and repr(records(tmp_path)) == NONE
    text = json.dumps(made_up_record())
    (tmp_path / "gpu-made-up.json").write_text(text, encoding="utf-8")
    (tmp_path / "weights.json").write_text("{}", encoding="utf-8")
    report = records(tmp_path)
    (record,) = report.records
    assert record.check.holds and len(record.check.lines) == 1
    assert "MADE UP card, driver 0, torch 0.0, CUDA 0.0" in repr(report)
    assert report._repr_html_().count("<table") == 2
    assert "1,192,099,840" in report._repr_html_()


def test_a_wrong_ledger_is_seen(monkeypatch):
    monkeypatch.setitem(gpu_record.DERIVED, "weights", lambda case: 1)
    record = Record(made_up_record())
    assert not record.check.holds
    assert record.splits["weights, flash"]["unexplained"] == 2 * 596_049_920 - 1


@pytest.mark.parametrize(
    "card, slug",
    [
        ("NVIDIA H100 80GB HBM3", "h100-80gb-hbm3"),
        ("NVIDIA GeForce RTX 4090", "geforce-rtx-4090"),
        ("Tesla T4", "tesla-t4"),
    ],
)
def test_a_card_names_its_file(card, slug):
    assert gpu.slug(card) == slug


@pytest.mark.parametrize(
    "listed, expected",
    [
        ("", None),
        ("41, 100\n", None),
        ("4, 100\n", None),
        ("42, 100\n7, 3\n", 100 * 2**20),
        ("42, [N/A]\n", None),
    ],
)
def test_nvidia_smis_number_for_a_process(listed, expected):
    assert gpu.process_bytes(listed, 42) == expected


def test_without_torch_there_is_one_clear_line():
    with pytest.raises(SystemExit, match=r"^measure-gpu needs torch and transformers"):
        gpu.main([])
