"""Small real pipelines on scikit-learn's digits, which the plans in conf/plan/ run."""
