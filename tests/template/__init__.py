"""What is about generating: rules, hooks, answers, what comes out, updates."""
