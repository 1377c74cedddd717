# Download of sources, and preparation of the arrays that training and metrics read.
#
# In all rules `ancient` and the input `outdated` replace Snakemake's triggers, which compare modification times. A job
# reruns when content has changed. For an output that is out of date, the plan writes a file with the reason
# (bench/outdated.py, WorkflowPlan.outdated_input). The new file is the only input of note_outdated, which therefore
# runs and triggers the job.


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
        "data/sources/{dataset}.json",
    log:
        "logs/data/{dataset}.fetch.log",
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
    params:
        folder=plan.folder_option,
        limit=plan.limit_option,
    shell:
        "slim-bench prepare {wildcards.dataset} --size {wildcards.size} {params.limit} {params.folder} 2>&1 | tee {log}"


rule fetch_weights:
    output:
        touch("data/sources/{weights}.fetched"),
    log:
        "logs/data/{weights}.fetch.log",
    resources:
        dvc=1,
    shell:
        "slim-bench fetch {wildcards.weights} 2>&1 | tee {log}"
