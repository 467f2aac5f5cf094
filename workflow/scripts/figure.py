"""Draw one figure, and write what stands beside it."""

import gc
from pathlib import Path

from stage import stage

# Parts of a figure refer to one another until the job ends: to look for some that are free again
# and again would take an eighth of its CPU.
gc.disable()

with stage(snakemake) as summary:
    from drawn import draw_or_find

    from flopline.figures.answered import answered
    from flopline.figures.first_target import FirstTarget
    from flopline.figures.spec import Setting, figure_spec
    from flopline.figures.style import save
    from flopline.results import read_results
    from flopline.storage import reading_once, write_json

    params, wildcards = snakemake.params, snakemake.wildcards
    spec, study, view = figure_spec(params.figure), params.study, None
    if spec.first_target and "targets" in study:
        study = {**study, "targets": study["targets"][:1]}
        view = FirstTarget(float(study["targets"][0]))
    formats = [end for end, _ in snakemake.output.items() if end != "json"]

    def draw(seen) -> None:
        """Write the figure in every format, and its words, by what `seen` shows."""
        read = read_results(Path("results", wildcards.study), map(Path, snakemake.input), seen)
        setting = Setting(study, wildcards.get("family", ""), params.width, params.synthetic)
        results, setting = answered(read, setting)
        save(spec.drawn(results, setting), Path(snakemake.output.svg).with_suffix(""), formats)
        write_json(spec.words(results, setting), Path(snakemake.output.json))

    # What is digested is read for it, and is then drawn.
    with reading_once():
        draw_or_find(snakemake, study, view, draw)
    summary.append(", ".join(formats))
