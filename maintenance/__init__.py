"""What the workflows in .github/ run beside Make's targets: `python -m maintenance.<name>`."""
