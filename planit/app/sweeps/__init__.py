"""The branches of a multirun: composing them fast, and what is shared and joined."""
