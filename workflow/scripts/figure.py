"""Draw one figure, and write what stands beside it."""

import gc
from pathlib import Path

from stage import stage

# Parts of a figure refer to one another until the job ends: to look for some that are free again
# and again would take an eighth of its CPU.
gc.disable()

with stage(snakemake) as summary:
    from flopline.figures.answered import answered
    from flopline.figures.spec import Setting, figure_spec
    from flopline.figures.style import save
    from flopline.results import read_results
    from flopline.storage import write_json

    params, wildcards = snakemake.params, snakemake.wildcards
    spec = figure_spec(params.figure)
    results = read_results(Path("results", wildcards.study), map(Path, snakemake.input))
    setting = Setting(params.study, wildcards.get("family", ""), params.width, params.synthetic)
    formats = [end for end, _ in snakemake.output.items() if end != "json"]
    results, setting = answered(results, setting)
    save(spec.drawn(results, setting), Path(snakemake.output.svg).with_suffix(""), formats)
    write_json(spec.words(results, setting), Path(snakemake.output.json))
    summary.append(", ".join(formats))
