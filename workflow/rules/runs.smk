# A run is an experiment on a dataset with a seed at a scale. Training resumes from checkpoints in
# results/{scale}/state. No rule declares that folder, because Snakemake deletes declared outputs of a killed job. The
# declared output is model.json, which is written last. `tee` shows progress, and ignores INT and TERM, which the whole
# process group receives, so that the job can still print and finish. The shell ignores SLURM's warning signal, USR1. On
# TERM, the shell waits for the job, which may be writing a checkpoint, because SLURM kills the remaining processes of a
# job step as soon as the first has ended. The shell exits with the exit code of the job.

RUN = run_folder("{scale}", "{experiment}", "{dataset}", "{seed}")
LOGS = f"logs/{RUN.relative_to(RESULTS)}"


rule freeze_run:
    input:
        outdated=plan.outdated_input("freeze"),
    output:
        f"{RUN}/run.json",
    log:
        f"{LOGS}/freeze.log",
    priority: 100
    localrule: True
    params:
        folder=plan.folder_option,
    shell:
        "slim-bench freeze --scale {wildcards.scale} --experiment {wildcards.experiment}"
        " --dataset {wildcards.dataset} --seed {wildcards.seed} {params.folder} --out {output} 2>&1 | tee {log}"


rule train:
    input:
        run=ancient(f"{RUN}/run.json"),
        data=ancient(plan.manifest),
        weights=ancient(plan.training_weights),
        outdated=plan.outdated_input("train"),
    output:
        f"{RUN}/model.json",
    log:
        f"{LOGS}/train.log",
    benchmark:
        f"{LOGS}/train.tsv"
    priority: plan.priority("train")
    threads: plan.threads
    resources:
        gpu=plan.request("train", "gpus"),
        mem_mb=plan.request("train", "mem_mb"),
        runtime=plan.request("train", "minutes"),
    shell:
        "ln -sf train.attempts.log {log}; "
        "trap '' USR1; trap : TERM; slim-bench train --run {input.run} 2>&1 | (trap '' INT TERM; exec tee -ap {log})"


rule evaluate:
    input:
        run=ancient(f"{RUN}/run.json"),
        model=ancient(f"{RUN}/model.json"),
        data=ancient(plan.manifest),
        weights=ancient(plan.scoring_weights),
        outdated=plan.outdated_input("evaluate"),
    output:
        f"{RUN}/scores/{COMPLETE}",
    log:
        f"{LOGS}/evaluate.log",
    benchmark:
        f"{LOGS}/evaluate.tsv"
    priority: plan.priority("evaluate")
    threads: plan.threads
    resources:
        gpu=plan.request("evaluate", "gpus"),
        mem_mb=plan.request("evaluate", "mem_mb"),
        runtime=plan.request("evaluate", "minutes"),
    shell:
        "ln -sf evaluate.attempts.log {log}; "
        "trap '' USR1; trap : TERM; slim-bench evaluate --run {input.run} 2>&1 | (trap '' INT TERM; exec tee -ap {log})"
