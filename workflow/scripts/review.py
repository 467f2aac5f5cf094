"""Pack what a reviewer needs into one zip."""

from pathlib import Path

from stage import stage

with stage(snakemake) as summary:
    from flopline.atomic import replacing
    from flopline.decision_lines import headline_lines
    from flopline.numbers import count
    from flopline.outputs import bundle
    from flopline.report.provenance import provenance
    from flopline.results import place_in, read_results

    study, inputs = snakemake.params.study, snakemake.input
    base = Path("results", study["name"])
    paths = [inputs.runs, inputs.dropped, inputs.verdict]
    results = read_results(base, map(Path, paths))
    copied = [
        inputs.page,
        inputs.appendix,
        inputs.table,
        *inputs.latex,
        *inputs.methods,
        *inputs.figures,
    ]
    copied += inputs.fits
    files = {place_in(base, path).as_posix(): path.read_bytes() for path in map(Path, copied)}
    for path in map(Path, inputs.audits):
        files[f"audit/{path.parent.name}.json"] = path.read_bytes()
    packed, entries = bundle.pack(
        {**study, "synthetic": snakemake.params.synthetic},
        files,
        results.runs,
        results.dropped,
        provenance(study, results.runs, snakemake.params.run_table, snakemake.params.code),
        headline_lines(results.decision, study["families"]),
        bundle.folders_of(study, Path.cwd(), Path.home()),
    )
    with replacing(Path(snakemake.output.zip)) as part:
        part.write_bytes(packed)
    summary.append(f"{count(entries, 'file')}, {len(packed) / 1e6:.1f} MB")
