"""Write the report page."""

from pathlib import Path

from stage import stage

with stage(snakemake) as summary:
    from flopline.next_step import grouped_runs
    from flopline.report.interactive import panels
    from flopline.report.page import ReportInputs, methods_files, render_both
    from flopline.report.provenance import commit, provenance
    from flopline.results import read_results
    from flopline.storage import read_json, write_text

    study, code, inputs = snakemake.params.study, snakemake.params.code, snakemake.input
    synthetic = snakemake.params.synthetic
    drawn = {*inputs.figures, *inputs.words}
    left = [Path(path) for path in inputs if path not in drawn]
    results = read_results(Path("results", study["name"]), left)
    families = {family: results.families[family] for family in study["families"]}
    figures = [
        {**read_json(words), "svg": words.with_suffix(".svg").read_text(encoding="utf-8")}
        for words in map(Path, inputs.words)
    ]
    notes = results.notes
    if synthetic:
        from flopline.simulation import described

        notes = [*described(study["source"], study["families"]), *notes]
    headline = results.decision["headline"]
    grouped = (
        grouped_runs(families[headline["family"]], headline["law"])
        if headline and headline["family"] in families
        else None
    )
    made_from = provenance(study, results.runs, snakemake.params.run_table, code)
    made_from["commit"] = commit(Path.cwd(), study["file"])
    page_inputs = ReportInputs(
        study={**study, "synthetic": synthetic, "notes": notes},
        decision=results.lines,
        verdict=results.decision,
        fits={family: of_family.fits for family, of_family in families.items()},
        runs=results.runs,
        dropped=results.dropped,
        figures=figures,
        provenance=made_from,
        audits={family: of_family.findings for family, of_family in families.items()},
        downloads=snakemake.params.downloads,
        panels=panels(
            families,
            study,
            results.runs,
            results.lines,
            headline["family"] if headline else "",
            results.decision["silent"],
        ),
        grouped=grouped,
    )
    pages = render_both(page_inputs, Path(snakemake.scriptdir).parent / "report")
    for name, page in zip(("page", "appendix"), pages, strict=True):
        write_text(page, Path(snakemake.output[name]))
    for ending, text in methods_files(page_inputs).items():
        write_text(text, Path(snakemake.output[ending]))
    sizes = (len(page.encode()) / 1e6 for page in pages)
    summary.append("{:.1f} MB, appendix {:.1f} MB".format(*sizes))
