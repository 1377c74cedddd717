# Download of sources, and preparation of the arrays that training and metrics read.
#
# In all rules `ancient` and the input `outdated` replace Snakemake's triggers, which compare modification times. A job
# reruns when content has changed. For an outdated output, the plan writes a file with the reason
# (bench/outdated.py, WorkflowPlan.outdated_input). The new file is the only input of note_outdated, which therefore
# runs and triggers the job.
#
# On a cluster, too, a local rule runs on the machine of Snakemake, because compute nodes often have no network and a
# cluster job takes longer than a short command.
#
# Snakemake deletes the log of a job before each attempt. The log of a job that a cluster may interrupt is therefore a
# link, and the file it refers to keeps the output of all attempts.


rule note_outdated:
    input:
        f"{OUTDATED_REASONS}/{{job}}.reason",
    output:
        temp(f"{OUTDATED_REASONS}/{{job}}.noted"),
    log:
        "logs/outdated/{job}.log",
    localrule: True
    shell:
        "tee {log} < {input} > {output}"


rule fetch_dataset:
    input:
        outdated=plan.outdated_input("fetch"),
    output:
        f"{plan.sources}/{{dataset}}.json",
    log:
        "logs/data/{dataset}.fetch.log",
    priority: 100  # training jobs wait for the data
    localrule: True
    resources:
        dvc=1,
    params:
        folder=plan.folder_option,
        sources=plan.source_options,
    shell:
        "slim-bench fetch {wildcards.dataset} {params.sources} {params.folder} 2>&1 | tee {log}"


rule prepare_dataset:
    input:
        receipt=ancient(plan.receipt),
        outdated=plan.outdated_input("prepare"),
    output:
        "data/prepared/{dataset}-{size}/manifest.json",
    log:
        "logs/data/{dataset}-{size}.prepare.log",
    priority: 100
    resources:
        mem_mb=8000,
        runtime=240,
    params:
        folder=plan.folder_option,
        limit=plan.limit_option,
    shell:
        "ln -sf {wildcards.dataset}-{wildcards.size}.prepare.attempts.log {log}; "
        "slim-bench prepare {wildcards.dataset} --size {wildcards.size} {params.limit} {params.folder} 2>&1 | tee -a {log}"


# A problem that the audit finds does not fail the workflow. The report shows it, and `prepare` refuses a dataset that
# cannot be used.
rule audit_dataset:
    input:
        receipt=ancient(plan.receipt),
        prepared=ancient(plan.audited),
        outdated=plan.outdated_input("audit"),
    output:
        "data/prepared/{dataset}-{size}.audit.json",
    log:
        "logs/data/{dataset}-{size}.audit.log",
    resources:
        mem_mb=8000,
        runtime=240,
    params:
        folder=plan.folder_option,
        limit=plan.limit_option,
    shell:
        "slim-bench audit {wildcards.dataset} --size {wildcards.size} --out {output} {params.limit} {params.folder}"
        " 2>&1 | tee {log}"


rule fetch_weights:
    output:
        touch(f"{plan.sources}/{{weights}}.fetched"),
    log:
        "logs/data/{weights}.fetch.log",
    priority: 100
    localrule: True
    resources:
        dvc=1,
    params:
        sources=plan.source_options,
    shell:
        "slim-bench fetch {wildcards.weights} {params.sources} 2>&1 | tee {log}"
