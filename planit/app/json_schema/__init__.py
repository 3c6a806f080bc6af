"""The JSON Schema of plan files, which editors complete and check with; draft 7, as they do."""
