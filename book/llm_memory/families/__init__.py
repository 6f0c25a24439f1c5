"""One file per layer family: its forward, once, on a tape."""

from ..errors import ConfigError, choose
from ..operations import Run
from ..tape import Tape
from ..timeline import Timeline
from . import falcon, gpt2, gpt_oss, gptj, llama, mla, opt, qwen3_next

FORWARDS = {
    "gpt2": gpt2.forward,
    "opt": opt.forward,
    "llama": llama.forward,
    "mla": mla.forward,
    "gpt_oss": gpt_oss.forward,
    "falcon": falcon.forward,
    "gptj": gptj.forward,
    "qwen3_next": qwen3_next.forward,
}


def forward(
    model,
    mtp: bool = False,
    run: Run | None = None,
    timeline: Timeline | None = None,
) -> Tape:
    """Return the tape of a model's forward.

    Args:
        model: a `Model`, its sizes integers or symbols.
        mtp: append the multi-token-prediction layers that the checkpoint holds.
        run: kernel and precision; they matter for what is made and saved only.
        timeline: what is alive after each kernel is recorded there.

    Raises:
        ConfigError: no `Model`, a family without a tape, or a model without such
            layers.
    """
    if not hasattr(model, "family"):
        raise ConfigError("model", model, "must be a Model, as load_model returns it")
    tape = Tape(run, timeline)
    tape.output = choose("family", model.family, FORWARDS)(tape, model)
    if mtp:
        mla.multi_token_prediction(tape, model)
    return tape
