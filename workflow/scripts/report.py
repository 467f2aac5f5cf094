"""Write the report page."""

from pathlib import Path

from stage import stage

with stage(snakemake) as said:
    from findings import read_findings

    from flopline.report.interactive import Evidence, panels
    from flopline.report.page import ReportInputs, methods_files, render
    from flopline.report.provenance import provenance
    from flopline.storage import read_json, read_parquet, write_text

    study, code = snakemake.params.study, snakemake.params.code
    synthetic = snakemake.params.synthetic
    fits = {family: {} for family in study["families"]}
    for fit in map(read_json, map(Path, snakemake.input.fits)):
        fits[fit["family"]][fit["law"]] = fit
    draws = {family: {} for family in study["families"]}
    # Draws are listed in the order of the fits: every law of every family.
    for fit, drawn in zip(map(Path, snakemake.input.fits), snakemake.input.draws, strict=True):
        draws[fit.parent.name][fit.stem] = read_parquet(Path(drawn))
    tables = {family: {} for family in study["families"]}
    for table in map(Path, snakemake.input.tables):
        tables[table.parent.name][table.stem.split(".")[1]] = read_parquet(table)
    evidence = {
        family: Evidence(fits[family], draws[family], **tables[family])
        for family in study["families"]
    }
    decision = read_parquet(Path(snakemake.input.table))
    verdict = read_json(Path(snakemake.input.verdict))
    headline = verdict["headline"] or {"family": ""}
    runs = read_parquet(Path(snakemake.input.runs))
    notes = read_json(Path(snakemake.input.notes))
    audits = {path.parent.name: read_findings(path) for path in map(Path, snakemake.input.audits)}
    figures = [
        {**read_json(words), "svg": words.with_suffix(".svg").read_text(encoding="utf-8")}
        for words in map(Path, snakemake.input.words)
    ]
    if synthetic:
        from flopline.simulation import described

        notes = [*described(study["source"], study["families"]), *notes]
    inputs = ReportInputs(
        study={**study, "synthetic": synthetic, "notes": notes},
        decision=decision,
        verdict=verdict,
        fits=fits,
        runs=runs,
        dropped=read_parquet(Path(snakemake.input.dropped)),
        figures=figures,
        provenance=provenance(study, runs, snakemake.params.run_table, code),
        audits=audits,
        downloads=snakemake.params.downloads,
        panels=panels(evidence, study, runs, decision, headline["family"]),
    )
    page = render(inputs, Path(snakemake.scriptdir).parent / "report")
    write_text(page, Path(snakemake.output.page))
    for ending, text in methods_files(inputs).items():
        write_text(text, Path(snakemake.output[ending]))
    said.append(f"{len(page.encode()) / 1e6:.1f} MB")
