"""What a shell offers when TAB is pressed.

Somebody waits for it: but for overrides, nothing is imported here that is slow to import, such as
dataclasses.
"""
