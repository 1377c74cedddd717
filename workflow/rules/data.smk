# From a pinned source to the arrays that training and metrics read.


rule fetch_dataset:
    input:
        plan.pointers,
    output:
        "data/sources/{dataset}.json",
    log:
        "logs/data/{dataset}.fetch.log",
    resources:
        dvc=1,
    params:
        entry=plan.entry,
        folder=plan.folder_option,
    shell:
        "slim-bench fetch {wildcards.dataset} {params.folder} 2>&1 | tee {log}"


rule prepare_dataset:
    input:
        plan.receipt,
    output:
        "data/prepared/{dataset}-{size}/manifest.json",
    log:
        "logs/data/{dataset}-{size}.prepare.log",
    params:
        entry=plan.entry,
        folder=plan.folder_option,
        code=plan.code("bench.data.prepare"),
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
