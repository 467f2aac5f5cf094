# Only for a source of kind simulate: logs and a run table such as a lab would have, below results/.

if SYNTHETIC:

    rule simulate:
        output:
            table="results/{study}/simulated/runs.csv",
            logs=[
                f"results/{{study}}/simulated/logs/{file['run']}.jsonl"
                for file in RAW.logs
            ],
        log:
            "results/{study}/logs/simulate.log",
        conda:
            "../../environment.yml"
        threads: 1
        resources:
            mem_mb=grows(1000),
            runtime=grows(30),
        params:
            simulation=simulation_of(STUDY),
            code=code("simulate.py"),
        script:
            "../scripts/simulate.py"
