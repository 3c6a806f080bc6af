"""``python -m planit``."""

from planit.app.main import console

if __name__ == "__main__":
    console()
