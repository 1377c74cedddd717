# `collect` has no run as input: it reads what exists, so a partial or failed sweep still gets its tables
# (`snakemake report`). Within a suite the marker of finish_suite gives the order.


rule finish_suite:
    input:
        lambda w: plan.scores(w.suite),
    output:
        touch("results/{scale}/suites/{suite}.finished"),
    log:
        "logs/{scale}/{suite}.finished.log",
    localrule: True
    shell:
        "echo {wildcards.suite}: {wildcards.scale} > {log}"


rule collect:
    input:
        lambda w: plan.finished(workflow.dag_settings.targets, w),
    output:
        "results/{scale}/scores.csv",
    log:
        "logs/{scale}/collect.log",
    params:
        options=plan.collect_options,
        code=plan.code("bench.report.collect"),
    shell:
        "slim-bench collect --scale {wildcards.scale} {params.options} 2>&1 | tee {log}"


rule render_report:
    input:
        "results/{scale}/scores.csv",
        "config/claims.yaml",
        "config/published.csv",
    output:
        [
            report(
                f"results/{{scale}}/{path}",
                caption=f"../report/{caption}",
                category=path.split("/")[0],
            )
            for path, caption in OUTPUTS.items()
        ],
    log:
        "logs/{scale}/report.log",
    params:
        code=plan.code("bench.report.page"),
    shell:
        "slim-bench report --scale {wildcards.scale} 2>&1 | tee {log}"


rule report:
    log:
        "logs/report.log",
    params:
        scale=plan.report_scale,
        options=plan.collect_options,
    shell:
        "(slim-bench collect --scale {params.scale} {params.options}"
        " && slim-bench report --scale {params.scale}) 2>&1 | tee {log}"
