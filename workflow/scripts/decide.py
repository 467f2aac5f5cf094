"""Put every law and estimator side by side at every target budget, and recommend one line."""

from pathlib import Path

from stage import stage

with stage(snakemake) as summary:
    from flopline.audit.audit_options import AuditOptions
    from flopline.bearing import span_of
    from flopline.decision import decide, demand_a_fit
    from flopline.question_forecasts import with_forecasts
    from flopline.question_options import QuestionOptions
    from flopline.questions import answers_json, asked, study_answers
    from flopline.results import read_results
    from flopline.schema import KEPT
    from flopline.storage import write_json, write_parquet, write_text

    study, wildcards = snakemake.params.study, snakemake.wildcards
    results = read_results(Path("results", wildcards.study), map(Path, snakemake.input))
    kept = results.runs[results.runs["status"] == KEPT]
    demand_a_fit({family: results.families[family].fits for family in study["families"]}, kept)
    families = {family: results.families[family] for family in study["families"]}
    spans = {str(family): span_of(runs) for family, runs in kept.groupby("family")}
    table, verdict = decide(
        families,
        study["targets"],
        study["families"],
        spans,
        AuditOptions(**study["audit"]),
        comparable=study["comparable_losses"],
        first=study["headline_family"],
        runs=kept,
        loss_split=study["loss_split"],
    )
    table["loss_unit"] = verdict["loss_unit"] = study["loss_unit"]
    questions = asked(QuestionOptions(**study["questions"]), study["targets"][0])
    if questions:
        answers = study_answers(families, verdict["choices"], verdict["silent"], spans, questions)
        answers = with_forecasts(answers, families, verdict["choices"])
        text = answers.to_csv(index=False, lineterminator="\n")
        write_text(text, Path(snakemake.output.questions))
        verdict["questions"] = answers_json(answers)
    table["synthetic"] = verdict["synthetic"] = snakemake.params.synthetic
    write_parquet(table, Path(snakemake.output.table))
    write_text(table.to_csv(index=False, lineterminator="\n"), Path(snakemake.output.csv))
    write_json(verdict, Path(snakemake.output.verdict))
    summary.append(f"{len(table)} lines")
