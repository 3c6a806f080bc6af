"""The two plans of the specification, with functions that do nothing."""

from __future__ import annotations

from planit import Chain, Parallel, Plan, SlurmArgs, Step
from tests.helpers import nothing as work


def experiment(cpu: SlurmArgs, gpu: SlurmArgs) -> Plan:
    return Plan(
        "experiment",
        Chain(
            Step("download", work, cpu),
            Step("preprocess", work, cpu),
            Parallel(
                Step("train_model_a", work, gpu, "model_a"),
                Step("train_model_b", work, gpu, "model_b"),
            ),
            Step("evaluate", work, cpu),
        ),
    )


def thesis(cpu: SlurmArgs, gpu: SlurmArgs) -> Plan:
    return Plan(
        "thesis",
        Chain(
            Step("download_data", work, cpu),
            Parallel(
                Chain(
                    Step("preprocess_en", work, cpu, "en"),
                    Parallel(
                        Step("train_bert", work, gpu, "bert", epochs=10, lr=3e-5),
                        Step("train_roberta", work, gpu, "roberta", epochs=5),
                        Chain(
                            Step("hyperparam_search", work, gpu, "xlm-r"),
                            Step("train_xlm-r", work, gpu, "xlm-r"),
                        ),
                    ),
                ),
                Chain(
                    Step("preprocess_nl", work, cpu, "nl"),
                    Step("train_nl", work, gpu, "nl"),
                ),
            ),
            Step("evaluate_all", work, cpu),
            Step("generate_plots", work, cpu),
        ),
    )
