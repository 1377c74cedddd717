# From a pinned source to the arrays that training and metrics read.
#
# In all rules `ancient` and the input `renewal` take the place of Snakemake's triggers, which compare times: a job runs
# again when content says so. For an output that is out of date the plan writes a file with the reason
# (bench/outdated.py, WorkflowPlan.renewal). note_renewal depends on nothing else, so it is sure to run, and with it the
# jobs that wait for it.


rule note_renewal:
    input:
        f"{RENEWALS}/{{job}}.reason",
    output:
        temp(f"{RENEWALS}/{{job}}.noted"),
    log:
        "logs/outdated/{job}.log",
    localrule: True
    shell:
        "tee {log} < {input} > {output}"


rule fetch_dataset:
    input:
        renewal=plan.renewal("fetch"),
    output:
        "data/sources/{dataset}.json",
    log:
        "logs/data/{dataset}.fetch.log",
    resources:
        dvc=1,
    params:
        folder=plan.folder_option,
    shell:
        "slim-bench fetch {wildcards.dataset} {params.folder} 2>&1 | tee {log}"


rule prepare_dataset:
    input:
        receipt=ancient(plan.receipt),
        renewal=plan.renewal("prepare"),
    output:
        "data/prepared/{dataset}-{size}/manifest.json",
    log:
        "logs/data/{dataset}-{size}.prepare.log",
    params:
        folder=plan.folder_option,
    shell:
        "slim-bench prepare {wildcards.dataset} --size {wildcards.size} {params.folder} 2>&1 | tee {log}"


rule fetch_weights:
    output:
        touch("data/sources/{weights}.fetched"),
    log:
        "logs/data/{weights}.fetch.log",
    resources:
        dvc=1,
    shell:
        "slim-bench fetch {wildcards.weights} 2>&1 | tee {log}"
