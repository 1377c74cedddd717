# `collect` does not declare runs as input. It reads the results that exist, so `snakemake report` also works for partial
# and failed suites. In a suite, the file that finish_suite writes makes `collect` run after the suite's evaluations.


rule finish_suite:
    input:
        scores=lambda w: ancient(plan.scores(w.suite)),
        audits=lambda w: ancient(plan.audits(w.suite)),
        outdated=plan.outdated_input("finish"),
    output:
        touch("results/{scale}/suites/{suite}.finished"),
    log:
        "logs/{scale}/{suite}.finished.log",
    localrule: True
    shell:
        "echo {wildcards.suite}: {wildcards.scale} > {log}"


rule collect:
    input:
        suites=ancient(plan.finished),
        outdated=plan.outdated_input("collect"),
    output:
        "results/{scale}/scores.csv",
    log:
        "logs/{scale}/collect.log",
    localrule: True
    params:
        options=plan.collect_options,
    shell:
        "slim-bench collect --scale {wildcards.scale} {params.options} 2>&1 | tee {log}"


rule render_report:
    input:
        scores=ancient("results/{scale}/scores.csv"),
        audits=ancient(plan.audits_of_scale),
        outdated=plan.outdated_input("render"),
    output:
        [
            report(
                f"results/{{scale}}/{path}",
                caption=f"../../bench/report/templates/{caption}",
                category=path.split("/")[0],
            )
            for path, caption in OUTPUTS.items()
        ],
    log:
        "logs/{scale}/report.log",
    localrule: True
    shell:
        "slim-bench report --scale {wildcards.scale} 2>&1 | tee {log}"


rule report:
    log:
        "logs/report.log",
    localrule: True
    params:
        scale=plan.report_scale,
        options=plan.collect_options,
    shell:
        "(slim-bench collect --scale {params.scale} {params.options}"
        " && slim-bench report --scale {params.scale}) 2>&1 | tee {log}"
