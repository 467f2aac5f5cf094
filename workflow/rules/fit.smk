# Each law is fitted to each family on its own; points and bootstrap draws stand side by side.

from flopline.units import open_counts

for law in STUDY["laws"]:

    rule:
        name:
            f"fit_{law}"
        input:
            runs="results/{study}/clean/runs.parquet",
            curves=CLEAN_CURVES if reads_curves(law) else [],
        output:
            **law_files(law),
        log:
            f"results/{{study}}/logs/fit_{law}.{{family}}.log",
        cache: SHARED
        group:
            gathered("family")
        conda:
            "../../environment.yml"
        threads: 1
        resources:
            mem_mb=grows(spec_of(law).mem_mb),
            runtime=grows(spec_of(law).minutes),
        params:
            family=family_of,
            law=law,
            study=options(*fit_options(law), "file"),
            # A function, since what people write may hold braces.
            open_counts=lambda wildcards: (
                [] if SYNTHETIC else open_counts(STUDY["source"])
            ),
            code=code("fit.py", *fit_modules(law)),
        script:
            "../scripts/fit.py"
