"""The outputs that the specification fixes, byte for byte."""

EXPERIMENT = """\
Plan: experiment
└── ▼ Chain [5:00:00]
    ├── ● download [01:00:00]
    ├── ● preprocess [01:00:00]
    ├── ⇉ Parallel [2:00:00]
    │   ├── ● train_model_a [02:00:00]
    │   └── ● train_model_b [02:00:00]
    └── ● evaluate [01:00:00]
Time Estimate (not taking queuing into account): 5:00:00
"""

THESIS = """\
Plan: thesis
└── ▼ Chain [8:00:00]
    ├── ● download_data [01:00:00]
    ├── ⇉ Parallel [5:00:00]
    │   ├── ▼ Chain [5:00:00]
    │   │   ├── ● preprocess_en [01:00:00]
    │   │   └── ⇉ Parallel [4:00:00]
    │   │       ├── ● train_bert [02:00:00]
    │   │       ├── ● train_roberta [02:00:00]
    │   │       └── ▼ Chain [4:00:00]
    │   │           ├── ● hyperparam_search [02:00:00]
    │   │           └── ● train_xlm-r [02:00:00]
    │   └── ▼ Chain [3:00:00]
    │       ├── ● preprocess_nl [01:00:00]
    │       └── ● train_nl [02:00:00]
    ├── ● evaluate_all [01:00:00]
    └── ● generate_plots [01:00:00]
Time Estimate (not taking queuing into account): 8:00:00
"""
