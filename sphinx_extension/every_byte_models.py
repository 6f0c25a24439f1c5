"""The page "Size your own model": its scripts, and the library as data beside them."""

SCRIPTS = (
    "your_model_data.js", "your_model_text.js", "your_model_reader.js",
    "your_model_report.js", "your_model_inputs.js", "your_model.js",
)  # fmt: skip


def offer(app, config):
    """Name the scripts to every page; `repair` drops them from all but one."""
    for name in SCRIPTS:
        app.add_js_file(name, defer="defer")
    app.add_css_file("your_model.css")
