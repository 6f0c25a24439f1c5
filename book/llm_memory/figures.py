"""One matplotlib style: colour-blind palette with hatches, units on axes, SVG.

The caption and the alt text of a figure stand in its cell's metadata.
"""

from io import StringIO

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

# Okabe and Ito's palette for colour-blind readers, and a hatch for each colour.
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#999999")
# Hatches of lines only: a tile of dots is 150 kB of SVG paths.
HATCHES = ("", "///", "---", "\\\\\\", "xxx", "|||", "+++")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")

STYLE = {
    "axes.axisbelow": True,
    "axes.edgecolor": "#555555",
    "axes.grid": True,
    "axes.prop_cycle": mpl.cycler(color=COLOURS, marker=MARKERS),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.facecolor": "white",
    "figure.figsize": (7, 3.2),
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial"],
    "font.size": 11,
    "grid.color": "#dddddd",
    "hatch.linewidth": 0.6,
    "legend.frameon": False,
    "lines.markersize": 5,
    "savefig.bbox": "tight",
    "svg.fonttype": "none",  # text stays text; each glyph as a path is 20 kB a figure
    "svg.hashsalt": "every-byte",
}


class Drawing:
    """A finished figure as SVG, the same bytes on every run."""

    def __init__(self, figure: Figure):
        with mpl.rc_context(STYLE):
            text = StringIO()
            figure.savefig(text, format="svg", metadata={"Date": None})
        plt.close(figure)
        self.svg = text.getvalue()

    def __repr__(self) -> str:
        return "<figure>"

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict:
        return {"image/svg+xml": self.svg, "text/plain": repr(self)}


def draw(plot, width: float = 7, height: float = 3.2) -> Drawing:
    """Return the figure that `plot(axes)` draws, in the book's style.

    Args:
        plot: a function that draws on the matplotlib axes it is given.
        width, height: inches.
    """
    with mpl.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(width, height))
        plot(axes)
        return Drawing(figure)


def stacked(axes, labels: list[str], parts: dict[str, list[float]]) -> None:
    """Draw one horizontal bar per label, made of parts with colour and hatch.

    Args:
        axes: matplotlib axes.
        labels: one per bar, the first on top.
        parts: name → one length per bar.
    """
    left = [0.0] * len(labels)
    for index, (name, lengths) in enumerate(parts.items()):
        axes.barh(
            labels, lengths, left=left, label=name, height=0.6, edgecolor="white",
            color=COLOURS[index % len(COLOURS)], hatch=HATCHES[index % len(HATCHES)],
        )  # fmt: skip
        left = [start + length for start, length in zip(left, lengths, strict=True)]
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    if len(parts) > 1:
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.22), ncols=4)
