"""The Python of the specification, as it is written there."""

QUICK_START = """\
import logging

import submitit

from planit import Parallel, Plan, Chain, SlurmArgs, Step

logging.basicConfig(level=logging.INFO, format="%(message)s")

GPU = SlurmArgs(time="02:00:00", partition="gpu_a100", gpus_per_node=1, cpus_per_gpu=18)
CPU = SlurmArgs(time="01:00:00", partition="batch", cpus_per_task=8)

plan = Plan(
    "experiment",
    Chain(
        Step("download", download_data, CPU),
        Step("preprocess", preprocess, CPU),
        Parallel(
            Step("train_model_a", train, GPU, "model_a"),
            Step("train_model_b", train, GPU, "model_b"),
        ),
        Step("evaluate", evaluate, CPU),
    ),
)

plan.describe()

executor = submitit.AutoExecutor(folder="slurm_logs")
plan.submit(executor)
"""

NODES = """\
Chain(
    Step("setup", setup_fn, CPU), # no arguments for 'setup_fn'
    Parallel(
        Step("branch_a", work_a, GPU, "config_a"), # 'work_a' will be called as work_a("config_a")
        Chain(
            Step("branch_b_prep", prep_b, CPU, option=1), # prep_b(option=1)
            Step("branch_b_run", work_b, GPU),
        ),
    ),
    Step("aggregate", combine_results, CPU),
)
"""

THESIS = """\
Plan("thesis", Chain(
    Step("download_data", download, CPU),
    Parallel(
        Chain(
            Step("preprocess_en", preprocess, CPU, "en"),
            Parallel(
                Step("train_bert", train, GPU, "bert", epochs=10, lr=3e-5),
                Step("train_roberta", train, GPU, "roberta", epochs=5),
                Chain(
                    Step("hyperparam_search", search, GPU, "xlm-r"),
                    Step("train_xlm-r", train, GPU, "xlm-r"),
                ),
            ),
        ),
        Chain(
            Step("preprocess_nl", preprocess, CPU, "nl"),
            Step("train_nl", train, GPU, "nl"),
        ),
    ),
    Step("evaluate_all", evaluate, CPU),
    Step("generate_plots", plot, CPU),
))
"""

SLURM_ARGS = """\
from planit import MailType, SlurmArgs

args = SlurmArgs(
    time="03:00:00",
    partition="gpu_a100",
    gpus_per_node=1,
    cpus_per_gpu=18,
    cluster="wice",
    account="my-account",
    mail_type=[MailType.BEGIN, MailType.END, MailType.FAIL],
    mail_user="me@university.edu",
)
"""

RAW_DICT = """\
args = {
    "slurm_time": "02:00:00",
    "slurm_partition": "gpu_v100",
    "gpus_per_node": 1,
    "slurm_additional_parameters": {
        "clusters": "my-cluster",
        "account": "my-account",
        "cpus_per_gpu": 4,
    },
}
Step("train", train_fn, args)
"""

DEBUGGING = """\
executor = submitit.AutoExecutor(folder="slurm_logs", cluster="debug")
plan.submit(executor)
plan.wait()  # blocks until done, runs parallel branches concurrently
"""
