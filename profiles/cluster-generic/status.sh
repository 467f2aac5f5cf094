#!/bin/sh
# Prints success, failed or running for one Slurm job, as Snakemake asks.
state=$(scontrol --oneliner show job "$1" 2>/dev/null | sed -n 's/.* JobState=\([A-Z_]*\).*/\1/p')
case "$state" in
    COMPLETED) echo success ;;
    # No answer: a controller that is being restarted knows all its jobs again afterwards.
    "" | PENDING | CONFIGURING | RUNNING | COMPLETING | SUSPENDED | PREEMPTED | REQUEUED) echo running ;;
    *) echo failed ;;
esac
