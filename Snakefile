"""Flopline: from training-run logs to scaling laws, one stage per included file.

raw logs -> ingest -> clean -> fit (envelope, isoFLOP, parametric) -> audit -> decide -> figures
         -> report -> outputs
"""

import logging

from snakemake.utils import min_version

min_version("9.0")

# A full disk is one sentence, and not one at every line that Snakemake's log has no room for.
logging.raiseExceptions = False


configfile: "config/config.yaml"


# The first page of Snakemake's own report (--report).
report: "workflow/report/captions/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/simulate.smk"
include: "workflow/rules/ingest.smk"
include: "workflow/rules/clean.smk"
include: "workflow/rules/fit.smk"
include: "workflow/rules/audit.smk"
include: "workflow/rules/decide.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/outputs.smk"


CODE.save()


rule all:
    default_target: True
    input:
        report=f"results/{STUDY['name']}/report.html",
        appendix=f"results/{STUDY['name']}/appendix.html",
        decision=f"results/{STUDY['name']}/decision.csv",
        figures=all_figures(*FIGURE_FORMATS),
        review=f"results/{STUDY['name']}/{STUDY['name']}-review.zip",


# Asked for with the inputs of whatever is planned first: locks, room, damaged results.
for each in workflow.rules:
    each.set_input(GUARD.inputs)


onstart:
    GUARD.demand()
    start_jobs()


onsuccess:
    CONSOLE.stop(last_words())
    note_finished(RESULTS, STUDY)
    GUARD.end()


onerror:
    print_failures(CONSOLE, STARTED)
    GUARD.end()
