#!/bin/sh
# Prints success, failed or running for one job of Grid Engine, as Snakemake asks.
unknown=results/.cluster/$1.unknown
if qstat -j "$1" >/dev/null 2>&1; then
    rm -f "$unknown"
    # A job in error (Eqw) waits for ever.
    case $(qstat 2>/dev/null | awk -v id="$1" '$1 == id { print $5 }') in
        *E*) echo failed ;;
        *) echo running ;;
    esac
    exit
fi
case $(qacct -j "$1" 2>/dev/null | awk '$1 == "failed" { f = $2 } $1 == "exit_status" { print f + $2 }' | tail -n 1) in
    0) echo success ;;
    # Accounting follows the end of a job by some seconds, and a master that is being restarted
    # knows its jobs again; what stays unknown for as many questions is lost.
    "")
        mkdir -p results/.cluster
        echo >>"$unknown"
        if [ "$(wc -l <"$unknown")" -gt 60 ]; then echo failed; else echo running; fi
        ;;
    *) echo failed ;;
esac
