"""Pack what a reviewer needs into one zip."""

from pathlib import Path

from stage import stage

with stage(snakemake) as said:
    from flopline.atomic import replacing
    from flopline.decision import headline_lines
    from flopline.numbers import count
    from flopline.outputs import bundle
    from flopline.report.provenance import provenance
    from flopline.storage import read_json, read_parquet

    study, inputs = snakemake.params.study, snakemake.input
    base = Path("results", study["name"])
    runs = read_parquet(Path(inputs.runs))
    copied = [inputs.page, inputs.table, *inputs.latex, *inputs.methods, *inputs.figures]
    copied += inputs.fits
    files = {Path(path).relative_to(base).as_posix(): Path(path).read_bytes() for path in copied}
    for path in map(Path, inputs.audits):
        files[f"audit/{path.parent.name}.json"] = path.read_bytes()
    packed, entries = bundle.pack(
        {**study, "synthetic": snakemake.params.synthetic},
        files,
        runs,
        read_parquet(Path(inputs.dropped)),
        provenance(study, runs, snakemake.params.run_table, snakemake.params.code),
        headline_lines(read_json(Path(inputs.verdict)), study["families"]),
        bundle.folders_of(study, Path.cwd(), Path.home()),
    )
    with replacing(Path(snakemake.output.zip)) as part:
        part.write_bytes(packed)
    said.append(f"{count(entries, 'file')}, {len(packed) / 1e6:.1f} MB")
