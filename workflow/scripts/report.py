"""Write the report page."""

from pathlib import Path

from stage import stage

with stage(snakemake) as said:
    from findings import read_findings

    from flopline.figures import captions
    from flopline.report.page import ReportInputs, render
    from flopline.report.provenance import provenance
    from flopline.storage import read_json, read_parquet, write_text

    study, code = snakemake.params.study, snakemake.params.code
    synthetic = snakemake.params.synthetic
    fits = {family: {} for family in study["families"]}
    for fit in map(read_json, map(Path, snakemake.input.fits)):
        fits[fit["family"]][fit["law"]] = fit
    runs = read_parquet(Path(snakemake.input.runs))
    notes = read_json(Path(snakemake.input.notes))
    audits = {path.parent.name: read_findings(path) for path in map(Path, snakemake.input.audits)}
    svgs = map(Path, snakemake.input.figures)
    figures = captions.captioned(svgs, fits, study["families"], audits)
    if synthetic:
        from flopline.simulate import described

        notes = [*described(study["source"], study["families"]), *notes]
        figures = [{**f, "caption": f"Synthetic data. {f['caption']}"} for f in figures]
    page = render(
        ReportInputs(
            study={**study, "synthetic": synthetic, "notes": notes},
            decision=read_parquet(Path(snakemake.input.table)),
            verdict=read_json(Path(snakemake.input.verdict)),
            fits=fits,
            runs=runs,
            dropped=read_parquet(Path(snakemake.input.dropped)),
            figures=figures,
            provenance=provenance(study, runs, snakemake.params.run_table, code),
            audits=audits,
        ),
        Path(snakemake.scriptdir).parent / "report",
    )
    write_text(page, Path(snakemake.output.page))
    said.append(f"{len(page.encode()) / 1e6:.1f} MB")
