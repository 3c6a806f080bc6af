"""What every Python that a step starts finds first: see `sitecustomize`."""
