"""Audit the fits of one family: why to believe them, and what it costs if they are wrong."""

from pathlib import Path

from stage import stage

with stage(snakemake) as summary:
    from findings import write_findings
    from fitting import exponent_of, provenance_of, write_law
    from solved import solves_of

    from flopline.audit.audit_options import AuditOptions
    from flopline.audit.family_audits import FamilyRuns, audit_family
    from flopline.audit.judges import JUDGES, SURFACE
    from flopline.cleaning_options import CleaningOptions
    from flopline.laws.common.bootstrap_options import BootstrapOptions
    from flopline.laws.common.fit_result import FAILED
    from flopline.laws.parametric.stated_form import form_of
    from flopline.laws.spec import spec_of
    from flopline.options import StudyOptions
    from flopline.points import MOST_ROWS, SCHEDULE, fitted_to, read_curves
    from flopline.progress import heard
    from flopline.remembered import remembering
    from flopline.results import FamilyResults, read_results
    from flopline.verdict_scale import tally

    study, family = snakemake.params.study, snakemake.params.family
    results = read_results(Path("results", snakemake.wildcards.study), map(Path, snakemake.input))
    laws, shards = snakemake.params.laws, results.curves
    runs = results.runs
    runs = runs[runs["family"] == family].reset_index(drop=True)
    specs = [spec_of(law) for law in dict.fromkeys([*laws, *JUDGES])]
    groups = (AuditOptions, BootstrapOptions, CleaningOptions, *(spec.model for spec in specs))
    points = {spec.name: fitted_to(spec, runs, shards, study, family) for spec in specs}
    of_study = points[SURFACE.name]
    planned = ["run", *(c for c in snakemake.params.facts if c not in of_study)]
    family_runs = FamilyRuns(
        family,
        of_study.merge(runs[planned], on="run", how="left"),
        runs,
        read_curves(shards, runs, family, None, MOST_ROWS, SCHEDULE),
        points,
    )
    solves = solves_of(snakemake)
    with heard(summary.reached), remembering(solves):
        audited = audit_family(
            family_runs,
            results.families.get(family, FamilyResults()),
            StudyOptions.read(study, groups),
            study["targets"],
            params_convention=study["params_convention"],
            flops_convention=study["flops_convention"],
            loss_unit=study["loss_unit"],
        )
    findings = audited.findings
    write_findings(findings, Path(snakemake.output.findings), Path(snakemake.output.tables))
    if audited.law is not None:
        # Of the published form it is the study's own fit as it stands.
        content = {"family": family, **audited.law.content}
        content.setdefault("provenance", provenance_of(snakemake))
        write_law(content, audited.law.draws, audited.law.tables, snakemake)
        first = results.families[family].fits[SURFACE.name]
        if content["status"] != FAILED and form_of(content) is not form_of(first):
            summary.append(exponent_of(content))
    solves.write()
    summary.append(tally(finding.verdict for finding in findings))
